"""Answer of the Predict tab: what one network says of every face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.results import Prediction
from emotion_hub.ui.html.bars import bars_of_one
from emotion_hub.ui.html.basics import definitions, fold, message, paragraph
from emotion_hub.ui.html.notices import not_a_face_notice, quality_notice
from emotion_hub.ui.html.photo import photo_with_tags, shown_label, thumbnail
from emotion_hub.ui.html.verdict import calibration_sentence, prediction_verdict, set_sentence

__all__ = ["MAX_CARDS", "prediction_answer"]

#: Further faces are boxed in the photo and have no card.
MAX_CARDS = 12


def prediction_answer(
    photo: Image.Image,
    predictions: Sequence[Prediction],
    *,
    side: str = "native48",
    sets: PredictionSets | None = None,
    figures: Mapping[str, Any] | None = None,
) -> str:
    """One card for a single face; for several the photo with numbered boxes and one row per face that expands.

    `side` gives the colour of the bars, `sets` is the rule of the prediction sets, and `figures` are those of the
    model's report.
    """
    figures = figures or {}
    if len(predictions) == 1:
        [face] = predictions
        body = f"{_card(0, face, side, figures)}{photo_with_tags(photo, predictions)}"
    else:
        rows = "".join(_row(photo, i, face, side, figures) for i, face in enumerate(predictions[:MAX_CARDS]))
        heading = f'<h3 class="eh-verdict">{len(predictions)} faces</h3>'
        body = f"{heading}{photo_with_tags(photo, predictions)}{rows}"
    if len(predictions) > MAX_CARDS:
        body += message(f"{len(predictions) - MAX_CARDS} smaller faces have a box in the photo and no row.")
    meaning = "" if sets is None else f'<p class="eh-soft">“Likely”: {escape(sets.meaning)}.</p>'
    return f"{body}{meaning}{_times(predictions)}"


def _row(photo: Image.Image, index: int, face: Prediction, side: str, figures: Mapping[str, Any]) -> str:
    summary = (
        f'{thumbnail(photo, face, index + 1)}<span class="eh-number">{index + 1}</span>'
        f'<span class="eh-said">{escape(shown_label(face))}</span>'
        f'<span class="eh-confidence">{face.confidence:.0%}</span>'
    )
    return fold(summary, _card(index, face, side, figures), is_open=index == 0, name=f"face-{index + 1}")


def _card(index: int, face: Prediction, side: str, figures: Mapping[str, Any]) -> str:
    body = _face(index, face, side, figures)
    return f'<div class="eh-card" data-face="{index}" data-label="{escape(face.label)}">{body}</div>'


def _face(index: int, face: Prediction, side: str, figures: Mapping[str, Any]) -> str:
    likely = set_sentence({"": face}).replace(" ()", "")
    meaning = calibration_sentence({"": (face.confidence, figures)})
    return (
        f"{not_a_face_notice(face.warnings)}"
        f'<h3 class="eh-verdict">{escape(prediction_verdict(face))}'
        f'<span class="eh-confidence">{face.confidence:.0%}</span></h3>'
        f"{paragraph(likely, 'eh-set')}{bars_of_one(index, face, side)}"
        f"{quality_notice(face.warnings)}{paragraph(meaning, 'eh-soft')}"
    )


def _times(predictions: Sequence[Prediction]) -> str:
    """The milliseconds of each step, folded."""
    first = predictions[0].timings
    steps = {
        "decode the photo": first["decode"],
        "find faces": first["detect"],
        "prepare the faces": sum(p.timings["preprocess"] for p in predictions),
        "run the network": sum(p.timings["inference"] for p in predictions),
    }
    total = f"Time: {sum(steps.values()):.0f} ms"
    rows = definitions({name: f"{ms:.1f} ms" for name, ms in steps.items()})
    return fold(total, f'<dl class="eh-times">{rows}</dl>', name="times")
