"""Result rows, independent of the file format: one per face and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PROB", "Counts", "DetectedFace", "ModelRows", "PreparedPicture", "ResultPart", "label_columns"]

#: Prefix of the columns of probabilities.
PROB = "prob_"


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """A face's box, xyxy in pixels of the upright full-size picture, with the detector's score and name.

    `warnings` are the codes of the face's warnings, None where they were not computed.
    """

    bbox: tuple[int, int, int, int]
    score: float | None
    detector: str | None
    warnings: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """One picture with its size, its faces and the networks' inputs, or the error for which it could not be read.

    `planes` are, per preprocessing, the faces' gray levels: uint8, (faces, side, side).
    """

    source: str
    position: int
    time: float | None
    width: int | None = None
    height: int | None = None
    faces: tuple[DetectedFace, ...] = ()
    planes: tuple[np.ndarray, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRows:
    """A model's probabilities for the faces of a part: float32, (faces, labels), faces in the pictures' order.

    `members` is bool, (faces, labels): the labels in each face's prediction set; None for a model without them.
    """

    name: str
    checkpoint: str | None
    labels: tuple[str, ...]
    probs: np.ndarray
    members: np.ndarray | None = None

    def prediction_sets(self) -> list[list[str]] | list[None]:
        """Each face's prediction set, the most probable label first; None per face for a model without them."""
        if self.members is None:
            return [None] * len(self.probs)
        ranks = np.argsort(-self.probs, axis=1, kind="stable").tolist()
        inside = self.members.tolist()
        return [[self.labels[i] for i in rank if row[i]] for rank, row in zip(ranks, inside, strict=True)]


@dataclass(frozen=True)
class Counts:
    """Numbers of pictures and faces; `faceless` pictures have no face, `errors` could not be read."""

    pictures: int = 0
    faces: int = 0
    faceless: int = 0
    errors: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.pictures + other.pictures,
            self.faces + other.faces,
            self.faceless + other.faceless,
            self.errors + other.errors,
        )


@dataclass(frozen=True, slots=True)
class ResultPart:
    """Consecutive pictures and each model's probabilities for their faces."""

    pictures: Sequence[PreparedPicture]
    models: Sequence[ModelRows]

    def counts(self) -> Counts:
        errors = sum(picture.error is not None for picture in self.pictures)
        faces = [len(picture.faces) for picture in self.pictures]
        return Counts(len(faces), sum(faces), faces.count(0) - errors, errors)

    def faces(self) -> list[tuple[PreparedPicture, int, DetectedFace | None]]:
        """(picture, number of the face, face), in order; a picture without a face occurs once, with None."""
        return [
            (picture, number, face) for picture in self.pictures for number, face in enumerate(picture.faces or (None,))
        ]

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Dicts of JSON types with the keys `columns`, ordered by picture, face and model; missing values are None.

        A probability is the Python float with the fewest digits that equals the same float32: 0.1, not
        0.10000000149011612.
        """
        empty = dict.fromkeys(columns)
        predictions = [_predictions(model) for model in self.models]
        names = [{"model": model.name, "checkpoint": model.checkpoint} for model in self.models]
        for picture, number, face in self.faces():
            shared = {
                **empty,
                "source": picture.source,
                "picture": picture.position,
                "time": picture.time,
                "width": picture.width,
                "height": picture.height,
            }
            shared |= {"faces": None if picture.error is not None else len(picture.faces), "error": picture.error}
            if face is not None:
                shared |= {"face": number, "bbox": list(face.bbox), "score": face.score, "detector": face.detector}
                shared |= {"warnings": None if face.warnings is None else list(face.warnings)}
            for name, prediction in zip(names, predictions, strict=True):
                yield {**shared, **name, **next(prediction)} if face is not None else {**shared, **name}


def label_columns(labels: Sequence[Sequence[str]]) -> list[str]:
    """The probability columns for these label sets: the union of their labels, in order of first occurrence."""
    return [PROB + name for name in dict.fromkeys(name for label_set in labels for name in label_set)]


def _predictions(model: ModelRows) -> Iterator[dict[str, Any]]:
    """Per face the columns that differ between models."""
    names = [PROB + label for label in model.labels]
    ids = model.probs.argmax(axis=1).tolist() if len(model.probs) else []
    rows = zip(ids, model.prediction_sets(), model.probs.astype(np.float32).astype(str), strict=True)
    for number, labels, digits in rows:
        own = {"label": model.labels[number], "label_id": number, "prediction_set": labels}
        yield {**own, **dict(zip(names, map(float, digits), strict=True))}
