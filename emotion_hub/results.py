"""Result types: Prediction for one face, Comparison of both pipelines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emotion_hub.errors import CheckpointError
from emotion_hub.labels import LabelSet
from emotion_hub.prediction_sets import PredictionSets

if TYPE_CHECKING:
    from PIL import Image

    from emotion_hub.quality import FaceWarning

__all__ = ["STEPS", "ComparedSide", "Comparison", "Prediction", "with_total"]

#: The steps in `Prediction.timings`, in order; `total` is their sum.
STEPS = ("decode", "detect", "preprocess", "inference")


def with_total(timings: Mapping[str, float]) -> dict[str, float]:
    """The milliseconds of every step, 0 for steps that `timings` lacks, and their sum as `total`."""
    steps = {step: 0.0 for step in STEPS} | dict(timings)
    return {**steps, "total": sum(steps.values())}


@dataclass(frozen=True)
class Prediction:
    """The prediction for one face.

    - `label`, `label_id`: the most probable label and its position in `probs`.
    - `probs`: {label: probability}, in the order of the network's outputs, or of the label set that was requested.
    - `bbox`: (left, top, right, bottom) in whole pixels of the upright photo.
    - `model`: the predictor's name.
    - `timings`: milliseconds of the photo's `decode` and `detect`, of this face's share of `preprocess` and
      `inference`, and their `total`.
    - `score`, `detector`: the detector's score and name; None when the whole image was taken as the face.
    - `left_out`: the network's probabilities of labels outside the requested set; `probs` are renormalised without
      them.
    - `prediction_set`: the labels that hold the true one at the checkpoint's nominal coverage (`PredictionSets`), the
      most probable first; `label` is always in it. It is computed from the network's own probabilities. Over a
      requested label set it has those of its labels that are requested, and `label`; the coverage is then that of
      faces whose true label was requested. None where the checkpoint has no prediction sets.
    - `warnings`: reasons to doubt the prediction, such as a blurred or a dark face (`emotion_hub.quality`); empty for
      a good face. They change no probability: a face with the warning `not_a_face` is predicted like any other, and
      callers decide what to do with it.
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
    prediction_set: tuple[str, ...] | None = None
    warnings: Sequence[FaceWarning] = ()

    @classmethod
    def of(
        cls,
        probs: Mapping[str, float],
        model: str,
        timings: Mapping[str, float],
        labels: LabelSet | None = None,
        *,
        bbox: tuple[int, int, int, int],
        score: float | None = None,
        detector: str | None = None,
        prediction_sets: PredictionSets | None = None,
        warnings: Sequence[FaceWarning] = (),
    ) -> Prediction:
        """The prediction of the most probable label of `probs`, the first of equal ones.

        `probs` are the network's. `timings` are milliseconds per step; missing steps count 0. With `labels` the
        prediction is over that label set. `prediction_sets` is the checkpoint's rule. Raises CheckpointError when a
        probability is not finite and LabelError for labels that `probs` lacks.
        """
        if not math.isfinite(sum(probs.values())):
            raise CheckpointError(
                f"{model} answers with probabilities that are not finite; its weights are damaged or too large to be "
                "used; get another checkpoint"
            )
        left_out: dict[str, float] = {}
        own = probs
        if labels is not None and labels.labels != tuple(probs):
            left_out, probs = labels.left_out(probs), labels.project(probs)
        label = max(probs, key=probs.__getitem__)
        in_set = None
        if prediction_sets is not None:
            in_set = prediction_sets.labels_of(own, None if probs is own else probs)
        return cls(
            label=label,
            label_id=list(probs).index(label),
            probs=probs,
            bbox=bbox,
            model=model,
            timings=with_total(timings),
            score=score,
            detector=detector,
            left_out=left_out,
            warnings=warnings,
            prediction_set=in_set,
        )

    @property
    def confidence(self) -> float:
        """The probability of `label`, 0..1."""
        return self.probs[self.label]

    @property
    def runner_up(self) -> str | None:
        """The second most probable label; None where there is only one label."""
        return next(iter(sorted(self.probs, key=self.probs.__getitem__, reverse=True)[1:]), None)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as JSON types; `left_out` and `prediction_set` are included only where they have labels."""
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
            "warnings": [warning.to_dict() for warning in self.warnings],
        }
        more = {"prediction_set": list(self.prediction_set)} if self.prediction_set else {}
        return values | more | ({"left_out": dict(self.left_out)} if self.left_out else {})


@dataclass(frozen=True)
class ComparedSide:
    """One side of a comparison: the prediction, the prepared face that the network got, and the network's size.

    `parameters` is the number of weights, `input_bytes` the size of the input as float32.
    """

    prediction: Prediction
    prepared: Image.Image = field(repr=False, compare=False)
    parameters: int
    input_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The side as JSON types, without the image."""
        return {**self.prediction.to_dict(), "parameters": self.parameters, "input_bytes": self.input_bytes}


@dataclass(frozen=True)
class Comparison:
    """The predictions of both pipelines for one face."""

    native48: ComparedSide
    upscale224: ComparedSide

    @property
    def agree(self) -> bool:
        """Whether both pipelines predict the same label."""
        return self.native48.prediction.label == self.upscale224.prediction.label

    @property
    def distance(self) -> float:
        """The total variation distance of the two distributions: 0 when they are equal, 1 when they do not overlap."""
        a, b = self.native48.prediction.probs, self.upscale224.prediction.probs
        return 0.5 * sum(abs(a.get(k, 0.0) - b.get(k, 0.0)) for k in {*a, *b})

    def ratio(self, step: str) -> float:
        """The time of `step` ("preprocess", "inference", ...) at 224 pixels divided by its time at 48 pixels."""
        return self.upscale224.prediction.timings[step] / max(self.native48.prediction.timings[step], 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON types."""
        return {
            "bbox": list(self.native48.prediction.bbox),
            "agree": self.agree,
            "distance": self.distance,
            "ratios": {step: self.ratio(step) for step in ("preprocess", "inference")},
            "native48": self.native48.to_dict(),
            "upscale224": self.upscale224.to_dict(),
        }
