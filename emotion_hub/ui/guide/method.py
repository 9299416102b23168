"""Purpose, method, training and limits of the demo, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion_hub.labels import FER2013
from emotion_hub.ui.charts import NetworkRecord
from emotion_hub.ui.charts.tables import interval, percent

__all__ = ["limits_section", "method_section", "purpose_section", "training_section"]


def purpose_section() -> str:
    """What the demo is for, in three sentences."""
    return (
        "<section><h3>What this is for</h3><p>This demo predicts which expression a face shows. It puts two networks"
        " side by side: one reads the face at 48×48 pixels, the other the same pixels enlarged to 224×224, so that you"
        " can see what the larger input is worth. It is made for teaching and research, not for decisions about"
        " people.</p></section>"
    )


def method_section(detector: str) -> str:
    """How a prediction is made, in steps; `detector` is the name of the face detector."""
    *labels, last = FER2013.labels
    steps = (
        f"<strong>Find.</strong> A face detector ({escape(detector)}) looks for faces in the photo.",
        "<strong>Crop.</strong> A square is cut out around each face, framed as the faces were that the networks"
        " learned from.",
        "<strong>Reduce.</strong> The square becomes gray and is reduced to 48×48 pixels. For the 224-pixel networks"
        " these pixels are enlarged again; no detail comes back.",
        f"<strong>Predict.</strong> The network gives each label a probability: {escape(', '.join(labels))} and"
        f" {escape(last)}. The most probable one is the prediction.",
    )
    items = "".join(f"<li>{step}</li>" for step in steps)
    return f"<section><h3>How a prediction is made</h3><ol>{items}</ol></section>"


def training_section(records: Sequence[NetworkRecord]) -> str:
    """What the networks were trained and measured on, with the figures of their records."""
    text = (
        "The networks were trained by this project on FER2013, faces that Goodfellow et al. (2013) collected with a web"
        " search."
    )
    data = next((record.training["stages"][-1]["data"] for record in records if record.training.get("stages")), None)
    if data:
        text += (
            f" Of its {data['total']:,} training images {data['kept']:,} were used: exact and near copies of validation"
            " and test images were left out, and surplus copies."
        )
    text += (
        " Validation images chose the best step of each training. The test images measured each network once, when it"
        " was finished."
    )
    measured = [record for record in records if record.report]
    if not measured:
        return f"<section><h3>How the networks were trained and measured</h3><p>{text}</p></section>"
    figures = "; ".join(
        f"<strong>{escape(record.name)}</strong> {percent(record.report['accuracy'])}"
        f" ({interval(record.report['interval']['accuracy'])})"
        for record in measured
    )
    return (
        f"<section><h3>How the networks were trained and measured</h3><p>{text}</p><p>Accuracy on the"
        f" {measured[0].report['n']:,} test images, with 95% intervals: {figures}. The Models tab has all"
        " measurements.</p></section>"
    )


def limits_section(records: Sequence[NetworkRecord]) -> str:
    """What the predictions cannot tell, with the share of wrong answers on test faces."""
    wrong = [1 - record.report["accuracy"] for record in records if record.report]
    often = (
        f" On test faces {percent(min(wrong), 0)} to {percent(max(wrong), 0)} of the predictions are wrong."
        if wrong
        else ""
    )
    items = (
        f"It predicts what a face looks like to others, not what the person feels.{often}",
        "The labels are opinions: on 23% of FER2013's images, none had a majority of the ten votes of FER+.",
        "Who is in FER2013 is not known: the shares of ages, skin tones and cultures were never recorded. The networks"
        " may be worse for some groups than for others.",
        "Small, blurred, dark, turned and covered faces are predicted worse, also where the confidence is high. The"
        " answer warns where it measures such a fault.",
        "Confidence and prediction sets hold on average for faces like those of FER2013, not for a single photo.",
    )
    return f"<section><h3>Limits</h3><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul></section>"
