"""Predictions of a split: ten crops, FER+ labels, figures per group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from emotion_hub.errors import InputError
from emotion_hub.labels import FERPLUS_VOTES
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.duplicates import THRESHOLD, find_near_copies
from training.data.faces import FaceSplit, prepare_planes, vote_distribution
from training.evaluation.groups import MOST_VALUES
from training.evaluation.metrics import brief
from training.evaluation.report_types import FerplusFigures, SliceFigures

__all__ = [
    "CROP_SHARE",
    "SMALL",
    "ferplus_labels",
    "ferplus_reading",
    "near_copies_in",
    "slice_by",
    "ten_crop_probs",
    "ten_crops",
]

#: Side of a crop as a share of the prepared face's side.
CROP_SHARE = 0.9

#: A group of fewer images is marked as small: the interval of its accuracy is about 20 points wide or wider.
SMALL = 100


def ten_crops(face: Image.Image, share: float = CROP_SHARE) -> list[Image.Image]:
    """Four corner crops, the centre crop and their mirror images of a square face (Krizhevsky et al. 2012).

    Each crop is `share` of the side. Raises InputError for a share outside 0..1.
    """
    side = face.width
    crop = round(share * side)
    if not 0 < share <= 1 or crop < 1:
        raise InputError(
            f"share={share!r}: the side of a crop is a share above 0 and at most 1 of the face's {side} pixels"
        )
    far, middle = side - crop, (side - crop) // 2
    corners = ((0, 0), (far, 0), (0, far), (far, far), (middle, middle))
    five = [face.crop((left, top, left + crop, top + crop)) for left, top in corners]
    return five + [ImageOps.mirror(part) for part in five]


def ten_crop_probs(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], share: float = CROP_SHARE, batch_size: int = 16
) -> np.ndarray:
    """float64, (N, num_classes): the mean probabilities over the ten crops of each prepared face.

    The preprocessing brings every crop back to the size of the network's input.
    """
    prepare, rows = predictor.preprocessor, []
    for start in tqdm(range(0, len(faces), batch_size), desc=f"{predictor.name}: ten crops", disable=None):
        crops = [crop for face in faces[start : start + batch_size] for crop in ten_crops(prepare.prepare(face), share)]
        probs = softmax(predictor.backend.logits(prepare.batch(crops)))
        rows.append(probs.reshape(-1, 10, probs.shape[1]).mean(axis=1))
    return np.concatenate(rows)


def near_copies_in(split: FaceSplit, train: FaceSplit, threshold: float = THRESHOLD) -> np.ndarray:
    """int64: positions in `split` of faces that have a near copy in `train`, a correlation of at least `threshold`.

    The measure is that of training.data.duplicates.
    """
    native = Preprocessor(NATIVE48)
    return find_near_copies(
        prepare_planes(split, native), prepare_planes(train, native), progress=f"near copies of {split.name} in train"
    ).above(threshold)


def ferplus_labels(split: FaceSplit) -> tuple[np.ndarray, dict[str, int]]:
    """int64 (N,): the label that more than half of FER+'s votes name, and the number of images without one, by reason.

    The label of an image without a majority, or with one for another category, is -1. Raises InputError for data
    without votes.
    """
    if split.votes is None:
        raise InputError(f"{split.name} has no FER+ votes; they belong in the column ferplus_votes")
    votes = split.votes
    chosen = votes.argmax(axis=1)
    majority = 2 * votes.max(axis=1) > votes.sum(axis=1)
    shares, known = vote_distribution(np.eye(len(FERPLUS_VOTES), dtype=np.float32), split.label_set)
    label_of = np.where(known, shares.argmax(axis=1), -1)
    reasons = Counter(
        "no majority" if not is_majority else FERPLUS_VOTES[choice]
        for is_majority, choice in zip(majority, chosen, strict=True)
        if not is_majority or label_of[choice] < 0
    )
    return np.where(majority, label_of[chosen], -1).astype(np.int64), dict(reasons)


def ferplus_reading(split: FaceSplit, probs: np.ndarray) -> FerplusFigures:
    """n, accuracy, macro F1 and intervals against FER+'s majority labels.

    `left_out` counts the images without one, by reason. Raises InputError for data without votes.
    """
    labels, left_out = ferplus_labels(split)
    known = labels >= 0
    return {**brief(labels[known], probs[known]), "left_out": left_out}


def slice_by(split: FaceSplit, probs: np.ndarray, column: str) -> dict[str, SliceFigures]:
    """{value: n, accuracy, macro F1, intervals, `small`} for each value of a column of the data set.

    Macro F1 is averaged over the labels that occur in the group. Raises InputError for a column that does not
    exist or holds no groups.
    """
    if column not in split.columns:
        raise InputError(
            f"{split.name} has no column {column!r} to slice by; it has {', '.join(split.columns) or 'none'}"
        )
    column_values = split.columns[column]
    if column_values.ndim != 1:
        raise InputError(
            f"column {column!r} holds {column_values.shape[1]} numbers per row; slices need one value per row"
        )
    values = np.asarray([str(value) for value in column_values.tolist()])
    names = sorted(set(values.tolist()))
    if len(names) > MOST_VALUES:
        raise InputError(
            f"column {column!r} has {len(names)} values in {len(values)} rows; at most {MOST_VALUES} can be "
            "groups. Add a column of coarser groups"
        )
    result: dict[str, SliceFigures] = {}
    for name in names:
        rows = np.flatnonzero(values == name)
        result[name] = {**brief(split.labels[rows], probs[rows], present_only=True), "small": len(rows) < SMALL}
    return result
