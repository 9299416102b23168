"""The About tab: the networks and their measured figures, the detector at work, what the demo is not for."""

from __future__ import annotations

import json
from html import escape

import gradio as gr

from emotion_hub import __version__
from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, embedded_checkpoints
from emotion_hub.detectors import YUNET_VARIABLE, default_detector

__all__ = ["NOTICE", "about_tab", "detector_line"]

#: Stands before every photo field.
NOTICE = (
    "<strong>Before you use a camera:</strong> this demo guesses which of seven <em>expressions</em> a face shows. It cannot know what a person "
    "feels, it is often wrong, and it must not be used to judge anyone. Pictures are processed on this server only, are not logged or kept "
    "for training, and their temporary copies are deleted within {minutes} minutes. Show it only faces whose owners agree."
)

OUT_OF_SCOPE = """
### What it is not for
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)). It is not made for hiring,
policing, health, or any other decision about a person. The labels come from annotators who often disagreed: on a fifth of the
images fewer than half of FER+'s ten voters chose the same label.

### Where the networks come from
Trained by this project on FER2013 (Goodfellow et al. 2013), without the training images that have copies in the validation or the
test images. The epoch was chosen on the validation images; the test images were read once. Code: MIT licence.
"""


def detector_line() -> str:
    """Which face detector answers, for the page's foot."""
    detector = default_detector()
    if detector.name == "YuNet":
        return "Faces are found by <strong>YuNet</strong>."
    return (
        f"Faces are found by scikit-image's <strong>{escape(detector.name)}</strong>, which misses turned or tilted faces. "
        f"For YuNet, set <code>{YUNET_VARIABLE}</code> to the path of <code>face_detection_yunet_2023mar.onnx</code>."
    )


def checkpoint_table() -> str:
    """A Markdown table of the embedded checkpoints, figures from their reports."""
    rows = ["| name | network | parameters | accuracy | macro F1 | measured on |", "|---|---|---|---|---|---|"]
    for name, folder in embedded_checkpoints().items():
        network = json.loads((folder / CONFIG_FILE).read_text())["model"]
        report = json.loads((folder / REPORT_FILE).read_text())
        figures = f"{report['parameters']:,} | {report['accuracy']:.2%} | {report['macro_f1']:.3f} | FER2013 {report['split']}, {report['n']:,} faces"
        rows.append(f"| {name} | {network} | {figures} |")
    return "\n".join(rows)


def about_tab() -> None:
    """Build the tab inside the current Blocks."""
    gr.Markdown(f"### The networks\n{checkpoint_table()}\n{OUT_OF_SCOPE}\nemotion_hub {__version__}")
