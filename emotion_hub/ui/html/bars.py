"""Bars of probabilities, the most probable label first."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from emotion_hub.results import Prediction

__all__ = ["SIDE_NAMES", "bars_of_both", "bars_of_one"]

#: {side of a comparison: its name in bars, tables and sentences}.
SIDE_NAMES = {"native48": "48", "upscale224": "224"}


def bars_of_one(index: int, face: Prediction, side: str) -> str:
    """One bar per label in the colour of the network's side; `index` is the face's number, from 0."""
    ordered = sorted(face.probs, key=lambda label: -face.probs[label])
    bars = "".join(
        _bar(index, face.model, label, face.probs[label], side, is_top=label == face.label, name=label)
        for label in ordered
    )
    return f'<div class="eh-bars" role="group" aria-label="Probabilities">{bars}</div>'


def bars_of_both(index: int, sides: Mapping[str, Prediction]) -> str:
    """Two bars per label, marked 48 and 224, ordered by the mean of both probabilities."""
    known = list(dict.fromkeys(label for face in sides.values() for label in face.probs))
    ordered = sorted(known, key=lambda label: -sum(face.probs.get(label, 0.0) for face in sides.values()))
    groups = []
    for label in ordered:
        bars = "".join(
            _bar(
                index,
                side,
                label,
                face.probs.get(label, 0.0),
                side,
                is_top=label == face.label,
                name=SIDE_NAMES.get(side, side),
            )
            for side, face in sides.items()
        )
        groups.append(f'<div class="eh-group"><span class="eh-label">{escape(label)}</span><div>{bars}</div></div>')
    return (
        f'<div class="eh-bars eh-both" role="group" aria-label="Probabilities of both networks">{"".join(groups)}</div>'
    )


def _bar(index: int, model: str, label: str, p: float, side: str, *, is_top: bool, name: str) -> str:
    top = " eh-top" if is_top else ""
    return (
        f'<div class="eh-row{top}"><span class="eh-name">{escape(name)}</span>'
        f'<span class="eh-track"><span class="eh-fill eh-{side}" style="width:{100 * p:.2f}%"></span></span>'
        f'<span class="eh-value" data-face="{index}" data-model="{escape(model)}" data-label="{escape(label)}"'
        f' data-prob="{p:.8f}">{p:.0%}</span></div>'
    )
