"""What is explained (`Subject`), what a method answers (`Relevance`), and what comes back (`Explanation`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from emotion_hub.errors import InputError
from emotion_hub.predictor import EmotionPredictor, softmax

__all__ = ["GRID", "Explanation", "Progress", "Relevance", "Subject", "check_seed", "on_grid"]

#: Maps are compared, and pixels taken away, on this many cells a side: what the native face has.
GRID = 48

#: Called with the share done, 0..1; an exception it raises ends the explanation.
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Subject:
    """One prepared face, the network that reads it and the class to explain; with `versus`, why the one rather than the other.

    `pixel_values` is float32, (C, S, S), normalised; `prepared` the same as an image.
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
        """The subject for a face crop of any size; `target` defaults to the predicted label.

        Raises LabelError for a class the network does not have and InputError when both classes are the same.
        """
        prepared = predictor.preprocessor.prepare(face)
        pixel_values = predictor.preprocessor.to_array(prepared)
        answer = predictor.backend.logits(pixel_values[None])[0]
        if target is None:
            others = answer.astype(np.float64)
            if versus is not None:  # the likeliest label but the one it is set against
                others[predictor.labels.index(versus)] = -np.inf
            wanted = int(others.argmax())
        else:
            wanted = predictor.labels.index(target)
        against = None if versus is None else predictor.labels.index(versus)
        if against == wanted:
            raise InputError(
                f"target and versus are both {predictor.labels.labels[wanted]!r}; a difference needs two classes"
            )
        subject = cls(predictor, prepared, pixel_values, wanted, against)
        vars(subject)["answer"] = answer  # known already
        return subject

    @property
    def size(self) -> int:
        """The side of the network's input, in pixels."""
        return self.pixel_values.shape[-1]

    @cached_property
    def answer(self) -> np.ndarray:
        """float32, (num_classes,): the network's logits for this face."""
        return self.predictor.backend.logits(self.pixel_values[None])[0]

    @property
    def confidence(self) -> float:
        """The network's probability of the target."""
        return float(softmax(self.answer)[self.target])

    @cached_property
    def blurred(self) -> np.ndarray:
        """float32, (C, S, S), normalised: the face without its features, which stands for pixels that are taken away.

        A Gaussian blur of a twelfth of the side keeps the light of the face, where a flat gray would be an edge of its own (Fong and
        Vedaldi 2017, arXiv:1704.03296).
        """
        return self.predictor.preprocessor.to_array(self.prepared.filter(ImageFilter.GaussianBlur(self.size / 12)))

    def probs(self, batch: np.ndarray) -> np.ndarray:
        """float64, (N,): the target's probability, less that of `versus`, for normalised pixels (N, C, S, S)."""
        return self._quantity(softmax(self.predictor.backend.logits(batch)))

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """float64, (N,): the target's logit, less that of `versus`, for normalised pixels (N, C, S, S)."""
        return self._quantity(self.predictor.backend.logits(batch).astype(np.float64))

    def _quantity(self, rows: np.ndarray) -> np.ndarray:
        return rows[:, self.target] - (0.0 if self.versus is None else rows[:, self.versus])

    def keep(self, cells: np.ndarray) -> np.ndarray:
        """float32, (N, C, S, S): the face where `cells`, bool (N, GRID, GRID), are on, and its blur where they are off."""
        index = np.arange(self.size) * GRID // self.size
        pixels = cells[:, index[:, None], index[None, :]]
        return np.where(pixels[:, None], self.pixel_values, self.blurred)

    def with_predictor(self, predictor: EmotionPredictor) -> Subject:
        """The same question to another network of the same preprocessing."""
        return dataclasses.replace(self, predictor=predictor)

    def with_pixels(self, pixel_values: np.ndarray) -> Subject:
        """The same question about other pixels, float32 (C, S, S)."""
        return dataclasses.replace(self, pixel_values=pixel_values.astype(np.float32))


@dataclass(frozen=True)
class Relevance:
    """A method's answer: `signed`, float32 (S, S), or, where the method knows no sign, `positive` alone; what it was computed with."""

    positive: np.ndarray | None = None
    signed: np.ndarray | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def heatmap(self) -> np.ndarray:
        """float32, (S, S), 0..1: the positive part over its maximum; all zero when nothing speaks for the class."""
        values = np.maximum(self.signed if self.positive is None else self.positive, 0).astype(np.float32)
        top = float(values.max())
        return values / top if np.isfinite(top) and top > 0 else np.zeros_like(values)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a network gave `target` its score, as one map over the prepared face.

    `heatmap` is float32, (H, W), 0..1, H and W the network's input. `signed` is the same place's contribution with its sign, in probability (LIME)
    or logit (SHAP), None where the method has no sign (the CAMs, rollout). `scores` hold what `emotion_hub.explainers.metrics` measured,
    `milliseconds` the method's own time without them, `confidence` the network's probability of the target.
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

    @property
    def empty(self) -> bool:
        """Whether no pixel speaks for the class."""
        return not self.heatmap.any()

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """JSON types; with `maps` the heatmap and the signed map as nested lists, row by row."""
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


def check_seed(seed: object) -> None:
    """Raises InputError for what does not seed NumPy's generators."""
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed={seed!r}: a seed is a whole number from 0 to {2**32 - 1}")


def on_grid(values: np.ndarray) -> np.ndarray:
    """float32, (GRID, GRID): the mean of a map (S, S) over each cell."""
    side = values.shape[0]
    if side == GRID:
        return values.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float32)
