"""Sentences about predictions and comparisons, made from their measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emotion_hub.results import Comparison, Prediction
from emotion_hub.ui.html.basics import factor
from emotion_hub.ui.html.notices import is_doubtful

__all__ = [
    "accuracy_sentence",
    "any_of",
    "calibration_sentence",
    "comparison_verdict",
    "cost_sentence",
    "prediction_verdict",
    "set_sentence",
]

#: A row of a report's reliability table with fewer faces is not quoted.
MIN_FACES = 30


def any_of(labels: Sequence[str]) -> str:
    """The labels as an alternative: "sad, fear or neutral"."""
    *first, last = labels
    return f"{', '.join(first)} or {last}" if first else last


def prediction_verdict(face: Prediction) -> str:
    """What one network says of a face."""
    if is_doubtful(face.warnings):
        return f"This is probably not a face; the network would say {face.label}."
    if _is_sure(face):
        return f"The network says {face.label}."
    return f"The network says {face.label}, but is not sure."


def comparison_verdict(pair: Comparison) -> str:
    """What both networks say of a face."""
    small, large = pair.native48.prediction, pair.upscale224.prediction
    if is_doubtful(small.warnings):
        return "This is probably not a face."
    if not pair.agree:
        return f"The networks disagree: {small.label} from 48 pixels, {large.label} from 224 pixels."
    unsure = [name for name, face in (("48", small), ("224", large)) if not _is_sure(face)]
    if len(unsure) == 2:
        return f"Both say {small.label}, and neither is sure."
    if unsure:
        return f"Both say {small.label}; the {unsure[0]}-pixel network is not sure."
    return f"Both say {small.label}."


def cost_sentence(pair: Comparison) -> str:
    """How much larger the input of 224 pixels is, and how much longer it takes."""
    small, large = pair.native48, pair.upscale224
    larger = factor(large.input_bytes / small.input_bytes)
    times = [sum(side.prediction.timings[step] for step in ("preprocess", "inference")) for side in (small, large)]
    longer = factor(times[1] / max(times[0], 1e-9))
    return f"The 224-pixel input is {larger} times larger and takes {longer} times as long."


def set_sentence(faces: Mapping[str, Prediction]) -> str:
    """The prediction sets by side, where at least one has several labels; else empty."""
    sets = {side: face.prediction_set for side, face in faces.items() if face.prediction_set}
    if not any(len(labels) > 1 for labels in sets.values()):
        return ""
    if len(set(sets.values())) == 1:
        return f"Likely: {any_of(next(iter(sets.values())))}."
    return "Likely: " + "; ".join(f"{any_of(labels)} ({side})" for side, labels in sets.items()) + "."


def calibration_sentence(confidences: Mapping[str, tuple[float, Mapping[str, Any]]]) -> str:
    """How often the networks were right on test faces with about the same confidence; empty where it is not known.

    `confidences` is {"48": (confidence, the figures of the model's report)}.
    """
    found = {
        side: (confidence, row)
        for side, (confidence, figures) in confidences.items()
        if (row := _row(confidence, figures)) is not None
    }
    if not found:
        return ""
    parts = [
        f"{row['accuracy']:.0%} of the {row['n']:,} with about {confidence:.0%}" + (f" ({side})" if side else "")
        for side, (confidence, row) in found.items()
    ]
    return f"What the percentages mean: of the test faces, the label was right for {' and '.join(parts)}."


def accuracy_sentence(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The measured accuracies with their intervals, and whether these overlap; empty unless both sides have them.

    `figures` is {"48": the figures of the model's report, "224": ...}.
    """
    known = {side: found for side, found in figures.items() if "interval" in found and "accuracy" in found}
    if len(known) != 2 or len({found.get("n") for found in known.values()}) != 1:
        return ""
    parts, bounds = [], []
    for side, found in known.items():
        low, high = found["interval"]
        bounds.append((low, high))
        parts.append(f"{found['accuracy']:.1%} of them right from {side} pixels ({100 * low:.1f} to {100 * high:.1f})")
    overlap = bounds[0][0] <= bounds[1][1] and bounds[1][0] <= bounds[0][1]
    end = "the intervals overlap, so neither is shown to be better" if overlap else "the intervals do not overlap"
    count = next(iter(known.values()))["n"]
    return f"On {count:,} test faces: {' and '.join(parts)}; {end}."


def _is_sure(face: Prediction) -> bool:
    """Whether the prediction set has one label; without a set, whether the label has at least half the probability."""
    return face.confidence >= 0.5 if face.prediction_set is None else len(face.prediction_set) == 1


def _row(confidence: float, figures: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the report's reliability table that holds this confidence."""
    for row in figures.get("reliability", ()):
        if row["from"] < confidence <= row["to"]:
            return row if row["n"] >= MIN_FACES else None
    return None
