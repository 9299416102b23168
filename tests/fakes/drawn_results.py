"""Predictions and comparisons without a network, for tests of what is shown."""

from __future__ import annotations

from typing import Any

from PIL import Image

from emotion_hub.preprocess import UPSCALE224, Preprocessor
from emotion_hub.results import ComparedSide, Comparison, Prediction

__all__ = ["TIMINGS", "pair_of", "prediction"]

TIMINGS = {"decode": 1.0, "detect": 2.0, "preprocess": 0.5, "inference": 0.5, "total": 4.0}


def prediction(label: str = "happy", p: float = 0.62, **changes: Any) -> Prediction:
    """A prediction of the label with probability `p`; another label has the rest. `changes` are fields."""
    other = "sad" if label != "sad" else "happy"
    values: dict[str, Any] = {
        "label": label,
        "label_id": 0,
        "probs": {label: p, other: 1 - p},
        "bbox": (4, 4, 24, 24),
        "model": "drawn",
        "timings": TIMINGS,
    }
    return Prediction(**(values | changes))


def pair_of(small: Prediction, large: Prediction) -> Comparison:
    """The comparison of both predictions, for a gray face, with the sizes of the embedded networks' inputs."""
    face = Image.linear_gradient("L").resize((48, 48))
    enlarged = Preprocessor(UPSCALE224).prepare(face)
    return Comparison(
        ComparedSide(small, face, 1_000_000, 48 * 48 * 4), ComparedSide(large, enlarged, 2_500_000, 224 * 224 * 3 * 4)
    )
