"""The figures of an exploratory analysis: brightness and contrast by class, FER+ agreement, labels against votes, mean faces."""

from __future__ import annotations

from typing import Any

import numpy as np

from emotion_hub.labels import FERPLUS_VOTES, LabelSet
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.faces import FaceSplit, prepare_planes

__all__ = ["MIN_FACES", "label_vote_table", "light_by_class", "mean_faces", "planes_of", "spread", "vote_statistics"]

#: A mean face needs this many images: below it, a single face could be made out.
MIN_FACES = 50

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


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
    """{"brightness" | "contrast": {label: spread}}: mean and standard deviation of each image's gray levels, 0..255; planes uint8 (N, S, S)."""
    pixels = planes.reshape(len(planes), -1)
    values = {"brightness": pixels.mean(axis=1), "contrast": pixels.std(axis=1)}
    return {
        name: {label: spread(measured[labels == i]) for i, label in enumerate(label_set.labels)}
        for name, measured in values.items()
    }


def mean_faces(planes: np.ndarray, labels: np.ndarray, label_set: LabelSet) -> dict[str, np.ndarray | None]:
    """{label: uint8 (S, S)}: the mean of a class's prepared faces, stretched to the full range; None below MIN_FACES distinct images."""
    faces: dict[str, np.ndarray | None] = {}
    for i, label in enumerate(label_set.labels):
        chosen = planes[labels == i]
        faces[label] = None
        if len({plane.tobytes() for plane in chosen}) >= MIN_FACES:
            mean = chosen.mean(axis=0)
            faces[label] = np.rint(255 * (mean - mean.min()) / max(np.ptp(mean), 1e-6)).astype(np.uint8)
    return faces


def vote_statistics(split: FaceSplit) -> dict[str, Any] | None:
    """How far FER+'s voters agree, in all and by label; None where the data has no votes.

    `agreement` is the share of the votes that the first choice got, `entropy` that of the votes over their ten choices in bits, `no_majority` the
    share of images whose first choice got no more than half, `label_is_first` the share whose label is the first choice (a tie counts for the label).
    """
    if split.votes is None or not split.votes.any():
        return None
    voted = split.votes.sum(axis=1) > 0
    shares = split.votes[voted] / split.votes[voted].sum(axis=1, keepdims=True)
    labels, first = split.labels[voted], shares.max(axis=1)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    columns = [split.label_set.index(name) if split.label_set.has(name) else -1 for name in FERPLUS_VOTES]
    own = np.stack(
        [shares[:, columns.index(i)] if i in columns else np.zeros(len(shares)) for i in range(len(split.label_set))],
        axis=1,
    )
    hit = own[np.arange(len(labels)), labels] == first
    rows = {"all": np.ones(len(labels), dtype=bool)} | {
        label: labels == i for i, label in enumerate(split.label_set.labels)
    }
    return {
        name: {
            "images": int(member.sum()),
            "agreement": spread(first[member]),
            "entropy": spread(entropy[member]),
            "no_majority": float((first[member] <= 0.5).mean()),
            "label_is_first": float(hit[member].mean()),
        }
        for name, member in rows.items()
        if member.any()
    }


def label_vote_table(split: FaceSplit) -> np.ndarray:
    """int64 (C, 10): images of each label (rows) by the voters' first choice (columns, FERPLUS_VOTES); a tie counts for the earlier column."""
    voted = split.votes.sum(axis=1) > 0
    table = np.zeros((len(split.label_set), len(FERPLUS_VOTES)), dtype=np.int64)
    np.add.at(table, (split.labels[voted], split.votes[voted].argmax(axis=1)), 1)
    return table


def planes_of(split: FaceSplit) -> np.ndarray:
    """uint8 (N, 48, 48): every face as the native pipeline sees it."""
    return prepare_planes(split, Preprocessor(NATIVE48))
