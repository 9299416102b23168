"""A model of the Hub that many tests of the demo use: its id and its card."""

from __future__ import annotations

__all__ = ["CARD", "ID", "note_of"]

ID = "someone/faces"
CARD = """---
license: mit
model-index:
- name: faces
  results:
  - task: {type: image-classification}
    dataset: {type: fer2013, name: FER2013}
    metrics:
    - {type: f1, value: 0.5}
    - {type: accuracy, value: 0.6123}
---
# Faces of someone
"""


def note_of(html: str) -> str:
    """The note at the start of a page's answer; empty where there is none."""
    return html.split("</div>")[0] if html.startswith('<div class="eh-note') else ""
