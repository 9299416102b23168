"""A predictor's answers to a split, and the readings that an evaluation takes of them: crops averaged, FER+ labels, groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from emotion_hub.errors import InputError
from emotion_hub.labels import FERPLUS_VOTES
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.duplicates import find_near_copies
from training.data.faces import FaceSplit, prepare_planes, vote_distribution
from training.evaluation.metrics import brief

__all__ = [
    "CROP_SHARE",
    "SMALL",
    "face_logits",
    "face_probs",
    "ferplus_labels",
    "ferplus_reading",
    "near_copies_in",
    "slice_by",
    "ten_crop_probs",
    "ten_crops",
]

#: Side of a crop as a share of the prepared face's side.
CROP_SHARE = 0.9

#: A group of fewer images is flagged: the interval of its accuracy is about 20 points wide or wider.
SMALL = 100

#: A column with more values than this holds no groups.
MOST_VALUES = 50


def face_logits(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], batch_size: int = 64, what: str = "faces"
) -> np.ndarray:
    """float32, (N, num_classes): the logits of every face, through the preprocessing that serving uses."""
    starts = tqdm(range(0, len(faces), batch_size), desc=f"{predictor.name}: {what}", disable=None)
    rows = [
        predictor.backend.logits(predictor.preprocessor.batch(faces[start : start + batch_size])) for start in starts
    ]
    return np.concatenate(rows) if rows else np.empty((0, len(predictor.labels)), dtype=np.float32)


def face_probs(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], batch_size: int = 64, what: str = "faces"
) -> np.ndarray:
    """float64, (N, num_classes): the probabilities of every face."""
    return softmax(face_logits(predictor, faces, batch_size, what))


def ten_crops(face: Image.Image, share: float = CROP_SHARE) -> list[Image.Image]:
    """The four corners and the middle of a square face, and their mirror images: `share` of its side each (Krizhevsky et al. 2012)."""
    side = face.width
    crop = round(share * side)
    if not 0 < share <= 1 or crop < 1:
        raise InputError(f"share={share!r}: a crop's side is a share above 0 and at most 1 of the face's {side} pixels")
    far, middle = side - crop, (side - crop) // 2
    corners = ((0, 0), (far, 0), (0, far), (far, far), (middle, middle))
    five = [face.crop((left, top, left + crop, top + crop)) for left, top in corners]
    return five + [ImageOps.mirror(part) for part in five]


def ten_crop_probs(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], share: float = CROP_SHARE, batch_size: int = 16
) -> np.ndarray:
    """float64, (N, num_classes): the mean probabilities of each prepared face's ten crops, which the preprocessing brings back to its size."""
    prepare, rows = predictor.preprocessor, []
    for start in tqdm(range(0, len(faces), batch_size), desc=f"{predictor.name}: ten crops", disable=None):
        crops = [crop for face in faces[start : start + batch_size] for crop in ten_crops(prepare.prepare(face), share)]
        probs = softmax(predictor.backend.logits(prepare.batch(crops)))
        rows.append(probs.reshape(-1, 10, probs.shape[1]).mean(axis=1))
    return np.concatenate(rows)


def near_copies_in(split: FaceSplit, train: FaceSplit) -> np.ndarray:
    """int64: positions in `split` whose face has a near copy in `train` (training.data.duplicates)."""
    native = Preprocessor(NATIVE48)
    return find_near_copies(
        prepare_planes(split, native), prepare_planes(train, native), progress=f"near copies of {split.name} in train"
    ).above()


def ferplus_labels(split: FaceSplit) -> tuple[np.ndarray, dict[str, int]]:
    """int64 (N,): the label that more than half of FER+'s votes name, -1 where there is none, and how many images that leaves out by reason.

    Raises InputError for data without votes.
    """
    if split.votes is None:
        raise InputError(f"{split.name} has no FER+ votes; they stand in the column ferplus_votes")
    votes = split.votes
    chosen = votes.argmax(axis=1)
    majority = 2 * votes.max(axis=1) > votes.sum(axis=1)
    shares, ours = vote_distribution(np.eye(len(FERPLUS_VOTES), dtype=np.float32), split.label_set)
    label_of = np.where(ours, shares.argmax(axis=1), -1)
    reasons = Counter(
        "no majority" if not m else FERPLUS_VOTES[c]
        for m, c in zip(majority, chosen, strict=True)
        if not m or label_of[c] < 0
    )
    return np.where(majority, label_of[chosen], -1).astype(np.int64), dict(reasons)


def ferplus_reading(split: FaceSplit, probs: np.ndarray) -> dict[str, Any]:
    """n, accuracy, macro F1 and intervals against FER+'s majority labels; `left_out` counts the images without one, by reason."""
    labels, left_out = ferplus_labels(split)
    known = labels >= 0
    return {**brief(labels[known], probs[known]), "left_out": left_out}


def slice_by(split: FaceSplit, probs: np.ndarray, column: str) -> dict[str, dict[str, Any]]:
    """{value: n, accuracy, macro F1 over the labels that occur, intervals, `small`} for each value of a column of the data set.

    Raises InputError for a column that is not there or holds no groups.
    """
    if column not in split.columns:
        raise InputError(
            f"{split.name} has no column {column!r} to slice by; it has {', '.join(split.columns) or 'none'}"
        )
    column_values = split.columns[column]
    if column_values.ndim != 1:
        raise InputError(f"column {column!r} holds {column_values.shape[1]} numbers a row; slices need one value a row")
    values = np.asarray([str(value) for value in column_values.tolist()])
    names = sorted(set(values.tolist()))
    if len(names) > MOST_VALUES:
        raise InputError(
            f"column {column!r} has {len(names)} values in {len(values)} rows, at most {MOST_VALUES} can be groups; add a column of coarser groups"
        )
    result = {}
    for name in names:
        rows = np.flatnonzero(values == name)
        result[name] = {**brief(split.labels[rows], probs[rows], present_only=True), "small": len(rows) < SMALL}
    return result
