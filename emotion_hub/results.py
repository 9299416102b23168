"""What comes back: a prediction for one face, and the two pipelines' predictions side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emotion_hub.errors import CheckpointError
from emotion_hub.labels import LabelSet

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["STEPS", "ComparedSide", "Comparison", "Prediction", "with_total"]

#: Steps of `Prediction.timings`, in order; `total` is their sum.
STEPS = ("decode", "detect", "preprocess", "inference")


def with_total(spent: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds of every step, 0 for those that `spent` does not name, and their `total`."""
    steps = {step: 0.0 for step in STEPS} | dict(spent)
    return {**steps, "total": sum(steps.values())}


@dataclass(frozen=True)
class Prediction:
    """The prediction for one face.

    `probs` maps each label to its probability in the order of the network's outputs, or of the label set that was asked for. `left_out` are the network's
    probabilities of labels outside that set: `probs` are renormalised without them. `bbox` is xyxy in whole pixels of
    the upright photo. `score` and `detector` say how the face was found, None when the whole image was taken. `timings`
    are milliseconds: `decode` and `detect` of the photo, `preprocess` and `inference` this face's share, and `total`.
    """

    label: str
    label_id: int
    probs: Mapping[str, float]
    bbox: tuple[int, int, int, int]
    model: str
    timings: Mapping[str, float]
    score: float | None = None
    detector: str | None = None
    left_out: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        probs: Mapping[str, float],
        model: str,
        spent: Mapping[str, float],
        labels: LabelSet | None = None,
        **found: Any,
    ) -> Prediction:
        """The most probable label of `probs`, the first of equals; `spent` are the milliseconds of the steps, those it does not name took none.

        With `labels` the answer is over that set. `found` is the face's `bbox`, `score` and `detector`. Raises CheckpointError when a probability is not
        finite and LabelError for labels that `probs` lacks.
        """
        if not math.isfinite(sum(probs.values())):
            raise CheckpointError(
                f"{model} answers with probabilities that are not finite; its weights are damaged or too large to be used"
            )
        left_out: dict[str, float] = {}
        if labels is not None and labels.labels != tuple(probs):
            left_out, probs = labels.left_out(probs), labels.project(probs)
        label = max(probs, key=probs.__getitem__)
        return cls(
            label, list(probs).index(label), probs, model=model, timings=with_total(spent), left_out=left_out, **found
        )

    @property
    def confidence(self) -> float:
        """The probability of `label`."""
        return self.probs[self.label]

    @property
    def runner_up(self) -> str | None:
        """The second most probable label; None where there is only one."""
        return next(iter(sorted(self.probs, key=self.probs.__getitem__, reverse=True)[1:]), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON types; `left_out` only where labels were left out."""
        values: dict[str, Any] = {
            "label": self.label,
            "label_id": self.label_id,
            "confidence": self.confidence,
            "probs": dict(self.probs),
            "bbox": list(self.bbox),
            "score": self.score,
            "detector": self.detector,
            "model": self.model,
            "timings": dict(self.timings),
        }
        return values | ({"left_out": dict(self.left_out)} if self.left_out else {})


@dataclass(frozen=True)
class ComparedSide:
    """One side of a comparison: its prediction, the prepared face it saw and what it costs."""

    prediction: Prediction
    prepared: Image.Image = field(repr=False, compare=False)
    parameters: int
    input_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the image is left out."""
        return {**self.prediction.to_dict(), "parameters": self.parameters, "input_bytes": self.input_bytes}


@dataclass(frozen=True)
class Comparison:
    """What the two pipelines say of one face."""

    native48: ComparedSide
    upscale224: ComparedSide

    @property
    def agree(self) -> bool:
        """Whether both name the same label."""
        return self.native48.prediction.label == self.upscale224.prediction.label

    @property
    def distance(self) -> float:
        """Total variation between the two distributions: 0 when they are equal, 1 when they share nothing."""
        a, b = self.native48.prediction.probs, self.upscale224.prediction.probs
        return 0.5 * sum(abs(a.get(k, 0.0) - b.get(k, 0.0)) for k in {*a, *b})

    def ratio(self, step: str) -> float:
        """How many times longer `step` ("preprocess", "inference", ...) took at 224 than at 48."""
        return self.upscale224.prediction.timings[step] / max(self.native48.prediction.timings[step], 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "bbox": list(self.native48.prediction.bbox),
            "agree": self.agree,
            "distance": self.distance,
            "ratios": {step: self.ratio(step) for step in ("preprocess", "inference")},
            "native48": self.native48.to_dict(),
            "upscale224": self.upscale224.to_dict(),
        }
