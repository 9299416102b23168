"""Figures of the exploratory analysis: light, FER+ agreement, mean faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emotion_hub.errors import InputError
from emotion_hub.labels import FERPLUS_VOTES, LabelSet
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.duplicates import THRESHOLD
from training.data.faces import FaceSplit, join_splits, prepare_planes
from training.data.quality import quality_report

__all__ = [
    "MIN_FACES",
    "explore",
    "label_vote_table",
    "light_by_class",
    "mean_faces",
    "planes_of",
    "spread",
    "vote_statistics",
]

#: Fewest images of a mean face: with fewer, a single face might be recognised.
MIN_FACES = 50

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def explore(splits: Mapping[str, FaceSplit], near: float | None = THRESHOLD) -> dict[str, Any]:
    """All figures of the analysis; `near` None leaves out the near copies, whose search takes minutes."""
    pool = join_splits(list(splits.values()))
    planes, votes = planes_of(pool), vote_statistics(pool)
    return {
        "labels": pool.label_set.labels,
        "quality": quality_report(splits, near),
        "light": light_by_class(planes, pool.labels, pool.label_set),
        "votes": votes,
        "label_votes": label_vote_table(pool) if votes else None,
        "mean_faces": mean_faces(planes, pool.labels, pool.label_set),
    }


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and the 5, 25, 50, 75 and 95% quantiles; {} for no values."""
    if not len(values):
        return {}
    quantiles = {
        f"q{round(100 * q):02}": float(value)
        for q, value in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    }
    return {"mean": float(values.mean()), "sd": float(values.std()), **quantiles}


def light_by_class(
    planes: np.ndarray, labels: np.ndarray, label_set: LabelSet
) -> dict[str, dict[str, dict[str, float]]]:
    """{"brightness" | "contrast": {label: spread}}: mean and standard deviation of each image's gray levels, 0..255.

    `planes` are uint8 (N, S, S).
    """
    pixels = planes.reshape(len(planes), -1)
    values = {"brightness": pixels.mean(axis=1), "contrast": pixels.std(axis=1)}
    return {
        name: {label: spread(measured[labels == i]) for i, label in enumerate(label_set.labels)}
        for name, measured in values.items()
    }


def mean_faces(planes: np.ndarray, labels: np.ndarray, label_set: LabelSet) -> dict[str, np.ndarray | None]:
    """{label: uint8 (S, S)}: the mean of a class's prepared faces, stretched to 0..255.

    It is None for a class with fewer than MIN_FACES distinct images.
    """
    faces: dict[str, np.ndarray | None] = {}
    for i, label in enumerate(label_set.labels):
        chosen = planes[labels == i]
        faces[label] = None
        if len({plane.tobytes() for plane in chosen}) >= MIN_FACES:
            mean = chosen.mean(axis=0)
            faces[label] = np.rint(255 * (mean - mean.min()) / max(np.ptp(mean), 1e-6)).astype(np.uint8)
    return faces


def vote_statistics(split: FaceSplit) -> dict[str, Any] | None:
    """Agreement of FER+'s voters, for all images and by label; None if the data has no votes.

    `agreement` is the share of the votes for the first choice, `entropy` that of the votes over ten choices, in
    bits. `no_majority` is the share of images whose first choice has at most half of the votes, `label_is_first`
    the share whose label is the first choice (a tie counts for the label).
    """
    if split.votes is None or not split.votes.any():
        return None
    voted = split.votes.sum(axis=1) > 0
    shares = split.votes[voted] / split.votes[voted].sum(axis=1, keepdims=True)
    labels, first = split.labels[voted], shares.max(axis=1)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    columns = [split.label_set.index(name) if split.label_set.has(name) else -1 for name in FERPLUS_VOTES]
    by_label = np.stack(
        [shares[:, columns.index(i)] if i in columns else np.zeros(len(shares)) for i in range(len(split.label_set))],
        axis=1,
    )
    label_is_first = by_label[np.arange(len(labels)), labels] == first
    rows = {"all": np.ones(len(labels), dtype=bool)} | {
        label: labels == i for i, label in enumerate(split.label_set.labels)
    }
    return {
        name: {
            "images": int(member.sum()),
            "agreement": spread(first[member]),
            "entropy": spread(entropy[member]),
            "no_majority": float((first[member] <= 0.5).mean()),
            "label_is_first": float(label_is_first[member].mean()),
        }
        for name, member in rows.items()
        if member.any()
    }


def label_vote_table(split: FaceSplit) -> np.ndarray:
    """int64 (C, 10): images by label (rows) and the voters' first choice (columns, in the order of FERPLUS_VOTES).

    A tie counts for the earlier column. Raises InputError for data without votes.
    """
    if split.votes is None:
        raise InputError(f"{split.name} has no FER+ votes; they belong in the column ferplus_votes")
    voted = split.votes.sum(axis=1) > 0
    table = np.zeros((len(split.label_set), len(FERPLUS_VOTES)), dtype=np.int64)
    np.add.at(table, (split.labels[voted], split.votes[voted].argmax(axis=1)), 1)
    return table


def planes_of(split: FaceSplit) -> np.ndarray:
    """uint8 (N, 48, 48): every face as the native 48-pixel preprocessing prepares it."""
    return prepare_planes(split, Preprocessor(NATIVE48))
