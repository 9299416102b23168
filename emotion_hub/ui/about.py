"""The About tab: the networks and their measured figures, the detector at work, what the demo is not for."""

from __future__ import annotations

from html import escape

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.detectors import default_detector
from emotion_hub.ui.choices import embedded_role
from emotion_hub.version import __version__

__all__ = ["NOTICE", "about_tab", "checkpoint_cards", "detector_line"]

#: Stands before every photo field.
NOTICE = (
    "<strong>Before you use a camera:</strong> this demo guesses which of seven <em>expressions</em> a face shows, not what a person feels, "
    "and it is often wrong. Pictures stay on this server, are neither logged nor kept, and their temporary copies are deleted within "
    "{minutes} minutes. Show only faces whose owners agree."
)

OUT_OF_SCOPE = """
### What it is not for
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)). It is not made for hiring,
policing, health, or any other decision about a person. The labels come from annotators who often disagreed: on 23% of the
images no label won a majority of FER+'s ten voters.

### Where the networks come from
Trained by this project on FER2013 (Goodfellow et al. 2013), without the training images whose exact or near copies stand among the validation
or the test images. The epoch was chosen on the validation images; each candidate was read once on the
test images. Code: MIT licence.
"""


def detector_line() -> str:
    """Which face detector answers, for the page's foot."""
    name = default_detector().name
    return f"Faces are found by <strong>{escape(name)}</strong>."


def checkpoint_cards() -> str:
    """The embedded checkpoints with the figures of their reports, as HTML."""
    cards = []
    for name in embedded_checkpoints():
        known = checkpoint_summary(name)
        facts = {"network": known["model"], "accuracy": "not measured yet"}
        if known["accuracy"] is not None:
            facts |= {
                "parameters": f"{known['parameters']:,}",
                "accuracy": f"{known['accuracy']:.2%}",
                "macro F1": f"{known['macro_f1']:.3f}",
                "measured on": f"FER2013 {known['split']}, {known['n']:,} faces",
            }
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
        heading = f'<h3><span><span class="eh-key eh-{embedded_role(name)}"></span>{escape(name)}</span></h3>'
        cards.append(f'<section class="eh-card">{heading}<dl>{rows}</dl></section>')
    return f'<div class="eh-cards">{"".join(cards)}</div>'


def about_tab() -> None:
    """Build the tab inside the current Blocks."""
    gr.HTML(checkpoint_cards())
    gr.Markdown(f"{OUT_OF_SCOPE}\nemotion_hub {__version__}")
