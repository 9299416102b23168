"""Data types of explanations: Subject, Relevance and Explanation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from emotion_hub.backends import OnnxBackend
from emotion_hub.errors import InputError
from emotion_hub.predictor import EmotionPredictor, softmax

__all__ = ["GRID", "Explanation", "Progress", "Relevance", "Subject", "check_seed", "on_grid", "part_of"]

#: Cells per side of the grid on which maps are compared and parts of the face are blurred: the native face's pixels.
GRID = 48

#: Called with the fraction of the work that is done, 0..1. An exception that it raises stops the explanation.
Progress = Callable[[float], None]

#: Pixels and faces per batch of perturbed faces. ONNX Runtime takes up to a third less time per face for 16 faces of
#: 224 pixels than for 2; on torch, batches that do not fit into the cache are slower. Between two batches the caller
#: can stop, so a batch stays below a second.
_ONNX_PIXELS, _OTHER_PIXELS, _FACES = 16 * 224 * 224, 64 * 48 * 48, 32


@dataclass(frozen=True)
class Subject:
    """What a method explains: one prepared face, the predictor that classifies it, and the target class.

    With `versus` the method explains the difference between the target and that class. `target` and `versus` are
    label ids of the predictor's network. `prepared` is the preprocessed face as an image; `pixel_values` is the same
    face as float32, (C, S, S), normalised.
    """

    predictor: EmotionPredictor
    prepared: Image.Image
    pixel_values: np.ndarray
    target: int
    versus: int | None = None

    @classmethod
    def of(
        cls, face: Image.Image, predictor: EmotionPredictor, target: str | None = None, versus: str | None = None
    ) -> Subject:
        """The subject for a face crop of any size.

        `target` defaults to the predicted label, or, when that is `versus`, to the most probable other label. Raises
        LabelError for a class that the network does not have and InputError when both classes are the same.
        """
        prepared = predictor.preprocessor.prepare(face)
        pixel_values = predictor.preprocessor.to_array(prepared)
        logits = predictor.backend.logits(pixel_values[None])[0]
        versus_id = None if versus is None else predictor.labels.index(versus)
        if target is None:
            candidates = logits.astype(np.float64)
            if versus_id is not None:
                candidates[versus_id] = -np.inf
            target_id = int(candidates.argmax())
        else:
            target_id = predictor.labels.index(target)
        if versus_id == target_id:
            raise InputError(
                f"target and versus are both {predictor.labels.labels[target_id]!r}; a difference needs two classes"
            )
        subject = cls(predictor, prepared, pixel_values, target_id, versus_id)
        vars(subject)["face_logits"] = logits  # fills the cached property: the network has run already
        return subject

    @property
    def size(self) -> int:
        """The side of the network's input in pixels."""
        return self.pixel_values.shape[-1]

    @property
    def batch_size(self) -> int:
        """Perturbed faces per call of the network, at least 1."""
        pixels = _ONNX_PIXELS if isinstance(self.predictor.backend, OnnxBackend) else _OTHER_PIXELS
        return min(_FACES, max(1, pixels // self.size**2))

    @cached_property
    def face_logits(self) -> np.ndarray:
        """float32, (num_classes,): the network's logits for this face."""
        return self.predictor.backend.logits(self.pixel_values[None])[0]

    @property
    def confidence(self) -> float:
        """The network's probability of the target, 0..1."""
        return float(softmax(self.face_logits)[self.target])

    @cached_property
    def blurred(self) -> np.ndarray:
        """float32, (C, S, S), normalised: the blurred face, which replaces the pixels that are removed.

        The Gaussian blur has a radius of 1/12 of the side. It keeps the brightness of the face, whereas a flat gray
        would add edges (Fong and Vedaldi 2017, arXiv:1704.03296).
        """
        return self.predictor.preprocessor.to_array(self.prepared.filter(ImageFilter.GaussianBlur(self.size / 12)))

    def probs(self, batch: np.ndarray) -> np.ndarray:
        """float64, (N,): the target's probability, minus that of `versus`, for normalised pixels (N, C, S, S)."""
        return self._difference(softmax(self.predictor.backend.logits(batch)))

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """float64, (N,): the target's logit, minus that of `versus`, for normalised pixels (N, C, S, S)."""
        return self._difference(self.predictor.backend.logits(batch).astype(np.float64))

    def _difference(self, rows: np.ndarray) -> np.ndarray:
        """(N,): the target's column of (N, num_classes), minus the column of `versus` where there is one."""
        return rows[:, self.target] - (0.0 if self.versus is None else rows[:, self.versus])

    def masked(self, cells: np.ndarray) -> np.ndarray:
        """float32, (N, C, S, S), normalised: the face where `cells`, bool (N, GRID, GRID), are True, else its blur."""
        index = np.arange(self.size) * GRID // self.size
        # a choice between bit patterns: exact, and 2 to 8 times as fast as numpy.where on batches of 224 pixels
        ones = (-cells.astype(np.int32)).take(index, axis=1).take(index, axis=2)
        face, blurred = self.pixel_values.view(np.int32), self.blurred.view(np.int32)
        chosen = np.bitwise_and(ones[:, None], face ^ blurred)
        chosen ^= blurred
        return chosen.view(np.float32)

    def with_predictor(self, predictor: EmotionPredictor) -> Subject:
        """The same face and classes for another network with the same preprocessing and labels."""
        return self if predictor is self.predictor else dataclasses.replace(self, predictor=predictor)

    def with_pixels(self, pixel_values: np.ndarray) -> Subject:
        """The same network and classes for other pixels, (C, S, S), normalised."""
        return dataclasses.replace(self, pixel_values=pixel_values.astype(np.float32))


@dataclass(frozen=True)
class Relevance:
    """A method's raw result: one map over the network's input, float32 (S, S), and how it was computed.

    A method whose contributions have a sign sets `signed`; any other method sets `positive`. `parameters` are the
    options that were used, `scores` the metrics that the method itself computes (LIME's `fit`, SHAP's `additivity`).
    """

    positive: np.ndarray | None = None
    signed: np.ndarray | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """float32, (S, S): `positive`, or `signed` where it is None. Raises ValueError when both are None."""
        values = self.signed if self.positive is None else self.positive
        if values is None:
            raise ValueError("a Relevance needs a map; give positive or signed")
        return values

    @property
    def heatmap(self) -> np.ndarray:
        """float32, (S, S), 0..1: the positive part divided by its maximum; all 0 when no value is positive."""
        values = np.maximum(self.values, 0).astype(np.float32)
        top = float(values.max())
        return values / top if np.isfinite(top) and top > 0 else np.zeros_like(values)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a network gave `target` its probability: one map over the prepared face.

    - `heatmap`: float32, (H, W), 0..1, where H and W are the network's input.
    - `signed`: float32, (H, W), each pixel's contribution for (positive) or against (negative) the class, as
      probability (LIME) or logit (SHAP); None for methods without a sign (class activation maps, rollout).
    - `confidence`: the network's probability of the target, 0..1.
    - `scores`: the metrics of `emotion_hub.explainers.metrics`.
    - `milliseconds`: the time of the method, without the metrics.
    - `options`: the method's options as they were given, which repeat the explanation.
    """

    heatmap: np.ndarray = field(repr=False)
    signed: np.ndarray | None = field(repr=False)
    method: str
    model: str
    target: str
    versus: str | None
    confidence: float
    parameters: Mapping[str, Any]
    scores: Mapping[str, Any]
    milliseconds: float
    prepared: Image.Image = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def empty(self) -> bool:
        """Whether no pixel has positive relevance."""
        return not self.heatmap.any()

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """The explanation as JSON types; with `maps` also the heatmap and the signed map, as nested lists of rows."""
        values = {
            name: getattr(self, name) for name in ("method", "model", "target", "versus", "confidence", "milliseconds")
        }
        values |= {
            "parameters": dict(self.parameters),
            "scores": dict(self.scores),
            "empty": self.empty,
            "size": list(self.heatmap.shape),
        }
        if maps:
            values |= {
                "heatmap": self.heatmap.tolist(),
                "signed": None if self.signed is None else self.signed.tolist(),
            }
        return values


def part_of(progress: Progress | None, start: float, end: float) -> Progress | None:
    """The progress callback of the part of some work that takes it from `start` to `end`, both 0..1."""
    return None if progress is None else lambda done: progress(min(end, start + (end - start) * done))


def check_seed(seed: object) -> None:
    """Raise InputError for a value that NumPy's generators do not take as a seed."""
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed={seed!r}: a seed is a whole number from 0 to {2**32 - 1}")


def on_grid(values: np.ndarray) -> np.ndarray:
    """float32, (GRID, GRID): the mean of a map (S, S) over each cell of the grid."""
    side = values.shape[0]
    if side == GRID:
        return values.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float32)
