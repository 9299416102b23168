"""Answer of the Compare tab: what both networks say, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from emotion_hub.results import ComparedSide, Comparison
from emotion_hub.ui.html.bars import SIDE_NAMES, bars_of_both
from emotion_hub.ui.html.basics import face_url, factor, fold, message, paragraph
from emotion_hub.ui.html.notices import is_doubtful, not_a_face_notice, quality_notice
from emotion_hub.ui.html.photo import photo_with_tags, thumbnail
from emotion_hub.ui.html.verdict import (
    accuracy_sentence,
    calibration_sentence,
    comparison_verdict,
    cost_sentence,
    set_sentence,
)

__all__ = ["MAX_FACES", "comparison_answer"]

#: Further faces are not compared.
MAX_FACES = 12


def comparison_answer(
    photo: Image.Image,
    comparisons: Sequence[Comparison],
    upsample: str,
    *,
    left_out: int = 0,
    figures: Mapping[str, Mapping[str, Any]] | None = None,
    note: str = "",
) -> str:
    """The verdict on a single face; for several the photo with numbered boxes and one row per face that expands.

    `upsample` is the filter that enlarges the face, `left_out` the number of faces that were not compared, and
    `figures` those of both models' reports by side. `note` is HTML that stands before the technical part.
    """
    figures = figures or {}
    if len(comparisons) == 1 and not left_out:
        body = _card(0, comparisons[0], upsample, figures)
    else:
        rows = "".join(_row(photo, i, pair, upsample, figures) for i, pair in enumerate(comparisons))
        faces = [pair.native48.prediction for pair in comparisons]
        tagged = photo_with_tags(photo, faces, [_tag(pair) for pair in comparisons])
        body = f'<h3 class="eh-verdict">{escape(_summary(comparisons))}</h3>{tagged}{rows}'
    if left_out:
        body += message(f"{left_out} smaller faces are left out here; the Predict tab shows all of them.")
    accuracy = accuracy_sentence({SIDE_NAMES[side]: found for side, found in figures.items()})
    return f"{body}{paragraph(accuracy, 'eh-soft')}{note}"


def _summary(comparisons: Sequence[Comparison]) -> str:
    agreed = sum(pair.agree for pair in comparisons)
    if agreed == len(comparisons):
        return f"{len(comparisons)} faces: both networks say the same of each."
    return f"{len(comparisons)} faces: both networks say the same of {agreed}."


def _tag(pair: Comparison) -> str:
    small, large = pair.native48.prediction, pair.upscale224.prediction
    if is_doubtful(small.warnings):
        return "no face?"
    return small.label if pair.agree else f"{small.label} / {large.label}"


def _card(index: int, pair: Comparison, upsample: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    body = _face(index, pair, upsample, figures)
    agree = str(pair.agree).lower()
    return f'<div class="eh-card eh-compare" data-face="{index}" data-agree="{agree}">{body}</div>'


def _row(
    photo: Image.Image, index: int, pair: Comparison, upsample: str, figures: Mapping[str, Mapping[str, Any]]
) -> str:
    small, large = pair.native48.prediction, pair.upscale224.prediction
    sides = f"48: {small.confidence:.0%} · 224: {large.confidence:.0%}"
    summary = (
        f'{thumbnail(photo, small, index + 1)}<span class="eh-number">{index + 1}</span>'
        f'<span class="eh-said">{escape(_tag(pair))}</span><span class="eh-confidence">{sides}</span>'
    )
    return fold(summary, _card(index, pair, upsample, figures), is_open=index == 0, name=f"face-{index + 1}")


def _face(index: int, pair: Comparison, upsample: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    sides: dict[str, ComparedSide] = {"native48": pair.native48, "upscale224": pair.upscale224}
    predictions = {name: side.prediction for name, side in sides.items()}
    warnings = pair.native48.prediction.warnings
    views = "".join(_view(name, side, upsample) for name, side in sides.items())
    likely = set_sentence({SIDE_NAMES[name]: face for name, face in predictions.items()})
    meaning = calibration_sentence(
        {SIDE_NAMES[name]: (face.confidence, figures.get(name, {})) for name, face in predictions.items()}
    )
    return (
        f"{not_a_face_notice(warnings)}"
        f'<h3 class="eh-verdict">{escape(comparison_verdict(pair))}</h3><p>{escape(cost_sentence(pair))}</p>'
        f'<div class="eh-views">{views}</div>{quality_notice(warnings)}{paragraph(likely, "eh-set")}'
        f"{bars_of_both(index, predictions)}{paragraph(meaning, 'eh-soft')}"
        f"{fold('Time, memory and size', _cost_table(pair), name='costs')}"
    )


def _view(name: str, side: ComparedSide, upsample: str) -> str:
    size, mode = side.prepared.width, side.prepared.mode
    channels = "gray" if mode == "L" else "gray in three channels"
    what = f"{size}×{size} pixels, {channels}"
    if name == "upscale224":
        what += f", enlarged from 48 ({upsample})"
    model = side.prediction.model
    which = "" if model == name else f'<br><span class="eh-which">{escape(model)}</span>'
    pixelated = " eh-pixels" if size <= 64 else ""
    label = f"{side.prediction.label} {side.prediction.confidence:.0%}"
    return (
        f'<figure class="eh-view"><img class="eh-seen{pixelated}" width="224" height="224" data-model="{name}"'
        f' src="{face_url(side.prepared)}" alt="The face as the network on {size} pixels gets it">'
        f'<figcaption><strong><span class="eh-key eh-{name}"></span>{SIDE_NAMES[name]}: {escape(label)}</strong>'
        f'{which}<br><span class="eh-soft">{escape(what)}</span></figcaption></figure>'
    )


def _cost_table(pair: Comparison) -> str:
    """Both networks' sizes and times, and in words how many times as much the second needs."""
    small, large = pair.native48, pair.upscale224
    times = [
        (
            name,
            f"{small.prediction.timings[step]:.2f} ms",
            f"{large.prediction.timings[step]:.2f} ms",
            pair.ratio(step),
            f"{factor(pair.ratio(step))} times as long",
        )
        for step, name in (("preprocess", "preprocessing"), ("inference", "inference"))
    ]
    bytes_ratio, count_ratio = large.input_bytes / small.input_bytes, large.parameters / small.parameters
    rows = [
        *times,
        (
            "input (float32)",
            f"{small.input_bytes / 1024:.0f} KiB",
            f"{large.input_bytes / 1024:.0f} KiB",
            bytes_ratio,
            f"{factor(bytes_ratio)} times as large",
        ),
        (
            "parameters",
            f"{small.parameters:,}",
            f"{large.parameters:,}",
            count_ratio,
            f"{factor(count_ratio)} times as many",
        ),
    ]
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{a}</td><td>{b}</td><td data-ratio="{name}" data-value="{ratio:.4f}">'
        f"{words}</td></tr>"
        for name, a, b, ratio, words in rows
    )
    head = (
        '<tr><th scope="col">per face</th><th scope="col">48 pixels</th><th scope="col">224 pixels</th>'
        '<th scope="col">224 against 48</th></tr>'
    )
    distance = (
        f'<p class="eh-soft">The two answers share {1 - pair.distance:.0%} of their probability'
        " (total variation distance).</p>"
    )
    return (
        f'<div class="eh-scroll"><table class="eh-costs"><caption class="eh-hidden">Time, memory and size of both'
        f" networks</caption><thead>{head}</thead><tbody>{body}</tbody></table></div>{distance}"
    )
