"""HTML of predictions and comparisons.

Every text is escaped. Pictures are embedded as data URLs, so no copy of a face is written to the disk.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.results import ComparedSide, Comparison, Prediction
from emotion_hub.ui.notices import is_doubtful, not_a_face_notice, quality_notice

__all__ = ["comparison_cards", "data_url", "definitions", "message", "photo_with_boxes", "prediction_cards"]

#: Further faces are boxed in the photo and have no card.
MAX_CARDS = 12

#: Maximum side in pixels of the photo as it is shown.
SHOWN_SIDE = 1024

_BOX, _BOX_FIRST = "#ffffff", "#4cc2ff"


def message(text: str, *, kind: str = "info", title: str = "") -> str:
    """A note; `kind` is info or error."""
    role = "alert" if kind == "error" else "status"
    heading = f"<strong>{escape(title)}</strong> " if title else ""
    return f'<div class="eh-note eh-{kind}" role="{role}">{heading}{escape(text)}</div>'


def definitions(values: Mapping[str, str]) -> str:
    """The rows of a definition list, <dt> and <dd>; names and values are escaped."""
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())


def data_url(image: Image.Image, image_format: str = "PNG", *, quality: int = 88, **options: Any) -> str:
    """The picture as a data URL; `options` are Pillow's for the format."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, quality=quality, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photo_with_boxes(photo: Image.Image, predictions: Sequence[Prediction]) -> str:
    """The photo with each face boxed, numbered and labelled; the largest face is number 1."""
    scale = min(1.0, SHOWN_SIDE / max(photo.size))
    shown = photo.resize(
        (max(1, round(photo.width * scale)), max(1, round(photo.height * scale))),
        Image.Resampling.LANCZOS,
        reducing_gap=3.0,
    )
    draw = ImageDraw.Draw(shown)
    width = max(2, round(max(shown.size) / 300))
    font = ImageFont.load_default(max(13, round(max(shown.size) / 30)))
    for number, face in reversed(list(enumerate(predictions, 1))):
        left, top, right, bottom = (round(v * scale) for v in face.bbox)
        colour = _BOX_FIRST if number == 1 else _BOX
        draw.rectangle((left - width, top - width, right + width, bottom + width), outline="#10202c", width=2 * width)
        draw.rectangle((left, top, right, bottom), outline=colour, width=width)
        label = "no face?" if is_doubtful(face.warnings) else face.label
        text = f"{number} {label}" if len(predictions) > 1 else label
        _tag(draw, text, (left, top), font, colour, shown.size)
    names = ", ".join(f"face {i}: {face.label}" for i, face in enumerate(predictions, 1))
    return f'<img class="eh-photo" src="{data_url(shown, "JPEG")}" alt="{escape(f"The photo with boxes; {names}")}">'


def _tag(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: str,
    size: tuple[int, int],
) -> None:
    """Draw the label above its box, or inside the box where there is no space above."""
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    width, height = x1 - x0 + 10, y1 - y0 + 8
    x = max(0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 5 - x0, y + 4 - y0), text, fill="#10202c", font=font)


def prediction_cards(
    photo: Image.Image, predictions: Sequence[Prediction], *, side: str = "native48", sets: PredictionSets | None = None
) -> str:
    """The photo with boxes, a card of probability bars per face in the colour of the network's side, and the times.

    `sets` is the rule of the prediction sets; a line says what they mean.
    """
    cards = "".join(
        _card(i, face, many=len(predictions) > 1, side=side) for i, face in enumerate(predictions[:MAX_CARDS])
    )
    more = ""
    if len(predictions) > MAX_CARDS:
        more = message(f"{len(predictions) - MAX_CARDS} smaller faces have a box above and no bars.")
    first = predictions[0].timings
    total = (
        first["decode"] + first["detect"] + sum(p.timings["preprocess"] + p.timings["inference"] for p in predictions)
    )
    steps = {
        "decode": first["decode"],
        "find faces": first["detect"],
        "prepare": sum(p.timings["preprocess"] for p in predictions),
        "network": sum(p.timings["inference"] for p in predictions),
    }
    times = " · ".join(f"{name} {ms:.1f} ms" for name, ms in steps.items())
    line = f'<p class="eh-times"><strong>{total:.0f} ms</strong> in total: {times}</p>'
    meaning = "" if sets is None else f'<p class="eh-set-note">Likely: {escape(sets.meaning)}.</p>'
    return f'{photo_with_boxes(photo, predictions)}{line}<div class="eh-cards">{cards}</div>{meaning}{more}'


def _card(index: int, face: Prediction, *, many: bool, side: str) -> str:
    title = f"Face {index + 1}: {face.label}" if many else face.label
    bars = "".join(
        _bar(index, face.model, label, p, top=label == face.label, side=side) for label, p in face.probs.items()
    )
    return (
        f'<section class="eh-card" data-face="{index}" data-label="{escape(face.label)}">'
        f"{not_a_face_notice(face.warnings)}<h3>{escape(title)}"
        f'<span class="eh-confidence">{face.confidence:.1%}</span></h3>{_likely(face)}'
        f'{quality_notice(face.warnings)}<div class="eh-bars">{bars}</div></section>'
    )


def _likely(face: Prediction) -> str:
    """The prediction set in words, such as "sad, fear or neutral"; empty for a model without prediction sets."""
    if not face.prediction_set:
        return ""
    *first, last = map(escape, face.prediction_set)
    words = f"{', '.join(first)} or {last}" if first else last
    return f'<p class="eh-set">Likely: <strong>{words}</strong></p>'


def _bar(index: int, model: str, label: str, p: float, *, top: bool, side: str = "native48", named: bool = True) -> str:
    return (
        f'<div class="eh-row{" eh-top" if top else ""}"><span class="eh-label">{escape(label) if named else ""}</span>'
        f'<span class="eh-track"><span class="eh-fill eh-{side}" style="width:{100 * p:.2f}%"></span></span>'
        f'<span class="eh-value" data-face="{index}" data-model="{escape(model)}" data-label="{escape(label)}"'
        f' data-prob="{p:.8f}">{p:.1%}</span></div>'
    )


def comparison_cards(comparisons: Sequence[Comparison], upsample: str, *, left_out: int = 0) -> str:
    """For each face: both networks' inputs, both distributions in one chart, whether labels agree, and the costs."""
    cards = "".join(_comparison(i, c, upsample, many=len(comparisons) > 1) for i, c in enumerate(comparisons))
    if left_out:
        cards += message(f"{left_out} smaller faces are left out here; the Predict tab boxes all of them.")
    return cards


def _comparison(index: int, pair: Comparison, upsample: str, *, many: bool) -> str:
    sides: Mapping[str, ComparedSide] = {"native48": pair.native48, "upscale224": pair.upscale224}
    heading = f"<h3>Face {index + 1}</h3>" if many else ""
    agree = str(pair.agree).lower()
    warnings = pair.native48.prediction.warnings
    views = "".join(_view(name, side, upsample) for name, side in sides.items())
    return (
        f'<section class="eh-card eh-compare" data-face="{index}" data-agree="{agree}">{heading}'
        f"{not_a_face_notice(warnings)}{_verdict(pair)}{quality_notice(warnings)}"
        f'<div class="eh-views">{views}</div>{_grouped_chart(index, sides)}{_cost_table(pair)}</section>'
    )


def _verdict(pair: Comparison) -> str:
    small, large = pair.native48.prediction, pair.upscale224.prediction
    if pair.agree:
        text = f"Both predict <strong>{escape(small.label)}</strong>"
    else:
        text = (
            f"native48 predicts <strong>{escape(small.label)}</strong>,"
            f" upscale224 predicts <strong>{escape(large.label)}</strong>"
        )
    kind = "eh-agree" if pair.agree else "eh-differ"
    distance = f"their distributions differ by {pair.distance:.0%} of the probability"
    return f'<p class="eh-verdict {kind}">{text}; {distance}.</p>'


def _view(name: str, side: ComparedSide, upsample: str) -> str:
    size, mode = side.prepared.width, side.prepared.mode
    if mode == "L":
        channels = "one gray channel"
    else:
        channels = "three equal channels" + (f", {upsample}" if name == "upscale224" else "")
    what = f"{size}×{size} pixels, {channels}"
    model = side.prediction.model
    which = "" if model == name else f'<span class="eh-which">{escape(model)}</span><br>'
    pixelated = "" if name == "upscale224" else " eh-pixels"
    return (
        f'<figure class="eh-view"><img class="eh-seen{pixelated}" data-model="{name}" src="{data_url(side.prepared)}"'
        f' alt="The input of {name}: {what}">'
        f'<figcaption><span class="eh-key eh-{name}"></span><strong>{name}</strong><br>{which}{escape(what)}<br>'
        f"<strong>{escape(side.prediction.label)}</strong> {side.prediction.confidence:.1%}</figcaption></figure>"
    )


def _grouped_chart(index: int, sides: Mapping[str, ComparedSide]) -> str:
    """Two bars per label, one per network."""
    labels = list(dict.fromkeys(label for side in sides.values() for label in side.prediction.probs))
    groups = []
    for label in labels:
        bars = "".join(
            _bar(
                index,
                name,
                label,
                side.prediction.probs.get(label, 0.0),
                top=label == side.prediction.label,
                side=name,
                named=i == 0,
            )
            for i, (name, side) in enumerate(sides.items())
        )
        groups.append(f'<div class="eh-group">{bars}</div>')
    chart = f'<div class="eh-bars" role="group" aria-label="Probabilities of both networks">{"".join(groups)}</div>'
    return chart


def _cost_table(pair: Comparison) -> str:
    small, large = pair.native48, pair.upscale224
    rows = [
        ("parameters", f"{small.parameters:,}", f"{large.parameters:,}", large.parameters / small.parameters),
        ("input, float32", _kib(small.input_bytes), _kib(large.input_bytes), large.input_bytes / small.input_bytes),
    ]
    for step, name in (("preprocess", "preprocessing"), ("inference", "inference")):
        rows.append(
            (
                name,
                f"{small.prediction.timings[step]:.2f} ms",
                f"{large.prediction.timings[step]:.2f} ms",
                pair.ratio(step),
            )
        )
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{a}</td><td>{b}</td><td data-ratio="{name}">{ratio:.1f}×</td></tr>'
        for name, a, b, ratio in rows
    )
    head = '<tr><td></td><th scope="col">native48</th><th scope="col">upscale224</th><th scope="col">ratio</th></tr>'
    return f'<table class="eh-costs"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _kib(count: int) -> str:
    return f"{count / 1024:.0f} KiB"
