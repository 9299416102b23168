"""Resolution ladder: both pipelines on one face at fewer and fewer pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from emotion_hub.errors import InputError, shown
from emotion_hub.faces import DetectedPhoto, Face
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.preprocess import NATIVE48, Preprocessor
from emotion_hub.results import Prediction

__all__ = ["SIDES", "Ladder", "LadderSide", "reduced", "resolution_ladder"]

#: The sides in pixels to which a face is reduced.
SIDES = (12, 16, 20, 24, 28, 32, 40, 48)

#: Smallest and largest side that a face can be reduced to, those of `PreprocessConfig`.
_SMALLEST, _LARGEST = 8, 1024


@dataclass(frozen=True)
class LadderSide:
    """One network's predictions on a ladder.

    `full` is the prediction for the whole face. `predictions` has one prediction per side of `sides`, which are in
    ascending order.
    """

    full: Prediction
    sides: tuple[int, ...]
    predictions: tuple[Prediction, ...]

    @property
    def changes(self) -> tuple[int, ...]:
        """The sides whose label differs from the label of the next larger side, the largest first.

        The largest side is compared with the whole face.
        """
        labels = [prediction.label for prediction in (*self.predictions, self.full)]
        return tuple(
            side
            for side, label, larger in reversed(list(zip(self.sides, labels, labels[1:], strict=False)))
            if label != larger
        )

    @property
    def stable_from(self) -> int | None:
        """The smallest side from which on every label is that of the whole face.

        None where the label of the largest side is another one.
        """
        last = max((i for i, p in enumerate(self.predictions) if p.label != self.full.label), default=-1)
        return self.sides[last + 1] if last + 1 < len(self.sides) else None

    def to_dict(self) -> dict[str, Any]:
        """The network's part of the ladder as JSON types."""
        rows = [
            {"side": side, "label": p.label, "confidence": p.confidence, "probs": dict(p.probs)}
            for side, p in zip(self.sides, self.predictions, strict=True)
        ]
        return {
            "model": self.full.model,
            "label": self.full.label,
            "confidence": self.full.confidence,
            "stable_from": self.stable_from,
            "changes": list(self.changes),
            "sides": rows,
        }


@dataclass(frozen=True)
class Ladder:
    """Both pipelines' predictions for one face at every side.

    `sides` are in ascending order and `images` has the reduced face of each, mode L. `face_side` is the side of the
    square crop in pixels of the photo: larger sides show the crop unchanged.
    """

    native48: LadderSide
    upscale224: LadderSide
    face_side: int
    images: tuple[Image.Image, ...] = field(repr=False, compare=False)

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides in pixels, in ascending order."""
        return self.native48.sides

    def to_dict(self) -> dict[str, Any]:
        """The ladder as JSON types, without the images."""
        return {
            "bbox": list(self.native48.full.bbox),
            "face_side": self.face_side,
            "native48": self.native48.to_dict(),
            "upscale224": self.upscale224.to_dict(),
        }


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The face in gray, mode L, reduced to `side` x `side` pixels by Lanczos resampling.

    A crop that is not square is padded as in `Preprocessor.prepare`. A crop with at most `side` pixels per side is not
    enlarged. Raises InputError for a side that is not a whole number from 8 to 1024, and for anything but a PIL image.
    """
    if type(side) is not int or not _SMALLEST <= side <= _LARGEST:
        raise InputError(
            f"side={shown(side)}: a face is reduced to a whole number of pixels from {_SMALLEST} to {_LARGEST}"
        )
    if isinstance(image, Image.Image):  # prepare refuses anything else
        side = min(side, max(*image.size, _SMALLEST))
    return Preprocessor(dataclasses.replace(NATIVE48, size=side, face_size=side)).prepare(image)


def resolution_ladder(
    face: Face,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    sides: Sequence[int] = SIDES,
) -> Ladder:
    """Both pipelines' predictions for the face reduced to each of `sides`; the embedded checkpoints are the default.

    Each network gets all faces in one batch. The reduced face replaces the crop: each pipeline enlarges it again to
    its own input. `sides` may have any order. The predictions for reduced faces have no warnings. Raises InputError
    for no side, a repeated one, or one that `reduced` refuses.
    """
    ordered = tuple(sorted(sides)) if all(type(side) is int for side in sides) else tuple(sides)
    if not ordered or len(set(ordered)) < len(ordered):
        raise InputError(f"sides={shown(tuple(sides))}: give at least one side, each once, such as {SIDES}")
    images = tuple(reduced(face.image, side) for side in ordered)
    return Ladder(
        _side(native48 or embedded_predictor("native48"), face, ordered, images),
        _side(upscale224 or embedded_predictor("upscale224"), face, ordered, images),
        max(face.image.size),
        images,
    )


def _side(predictor: EmotionPredictor, face: Face, sides: tuple[int, ...], images: Sequence[Image.Image]) -> LadderSide:
    """One network's predictions. Where its input is that of the whole face, the prediction is not computed again.

    That is so for a reduction that changes nothing, and for one that its preprocessing makes anyway.
    """
    config, own = predictor.preprocessor.config, max(face.image.size)
    is_full = [side >= own or (side == config.face_size and config.resample == "lanczos") for side in sides]
    faces = [face] + [
        dataclasses.replace(face, image=image, warnings=())
        for image, same in zip(images, is_full, strict=True)
        if not same
    ]
    [found] = predictor.predict_detected([DetectedPhoto(face.image, tuple(faces), {})], batch_size=len(faces))
    full, *others = found
    rest = iter(others)
    return LadderSide(full, sides, tuple(full if same else next(rest) for same in is_full))
