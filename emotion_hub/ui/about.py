"""About tab: embedded checkpoints, face detector and limits of use."""

from __future__ import annotations

from html import escape

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.detectors import default_detector
from emotion_hub.ui.choices import embedded_role
from emotion_hub.ui.render import definitions
from emotion_hub.version import __version__

__all__ = ["NOTICE", "about_tab", "checkpoint_cards", "detector_line"]

#: Shown above the photo fields.
NOTICE = (
    "<strong>Before you use a camera:</strong> this demo predicts which of seven <em>expressions</em> a face shows, not"
    " what a person feels, and it is often wrong. Pictures stay on this server, are neither logged nor kept, and their"
    " temporary copies are deleted within {minutes} minutes. Show only the faces of people who agree to it."
)

OUT_OF_SCOPE = """
### What it is not for
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)). It is not
made for hiring, policing, health, or any other decision about a person. The labels come from annotators who often
disagreed: on 23% of the images no label had a majority of FER+'s ten votes.

### How the networks were trained
They were trained by this project on FER2013 (Goodfellow et al. 2013), without the training images that are exact or
near duplicates of validation or test images. The epoch was chosen on the validation images; each candidate was
evaluated once on the test images. Code: MIT licence.
"""


def detector_line() -> str:
    """The name of the face detector, as HTML for the page's footer."""
    name = default_detector().name
    return f"Face detector: <strong>{escape(name)}</strong>."


def checkpoint_cards() -> str:
    """The embedded checkpoints with the figures of their reports, as HTML."""
    cards = []
    for name in embedded_checkpoints():
        summary = checkpoint_summary(name)
        facts = {"network": summary["model"], "accuracy": "not measured yet"}
        if summary["accuracy"] is not None:
            facts |= {
                "parameters": f"{summary['parameters']:,}",
                "accuracy": f"{summary['accuracy']:.2%}",
                "macro F1": f"{summary['macro_f1']:.3f}",
                "measured on": f"FER2013 {summary['split']}, {summary['n']:,} faces",
            }
        heading = f'<h3><span><span class="eh-key eh-{embedded_role(name)}"></span>{escape(name)}</span></h3>'
        cards.append(f'<section class="eh-card">{heading}<dl>{definitions(facts)}</dl></section>')
    return f'<div class="eh-cards">{"".join(cards)}</div>'


def about_tab() -> None:
    """Build the tab inside the current Blocks."""
    gr.HTML(checkpoint_cards())
    gr.Markdown(f"{OUT_OF_SCOPE}\nemotion_hub {__version__}")
