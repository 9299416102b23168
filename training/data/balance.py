"""Splits that keep copies together; balancing of the training split.

The order is fixed: group copies, split, balance the training split. No variant of an image leaves its split. In
the written data set, the column `group` tells which images belong together, and `variant` which are originals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance
from sklearn.model_selection import StratifiedGroupKFold

from emotion_hub.errors import ConfigError, InputError
from emotion_hub.images import crop

__all__ = [
    "FOLDS",
    "GROUP",
    "MAX_VARIANTS",
    "STRATEGIES",
    "VARIANT",
    "Transforms",
    "are_originals",
    "known_groups",
    "make_variant",
    "plan_variants",
    "split_groups",
]

#: Columns of a prepared data set: the group of an image, and the number of a transformed copy, 0 for an original.
GROUP, VARIANT = "group", "variant"

#: "none" leaves the training split unchanged, "max" brings every class up to the largest one.
STRATEGIES = ("none", "max")

#: Most variants of one original.
MAX_VARIANTS = 4

#: Splits are made of this many folds: 14, 3 and 3 of 20 are 70, 15 and 15 per cent.
FOLDS = 20


@dataclass(frozen=True)
class Transforms:
    """Probabilities and ranges of the transformations of a variant.

    They are those of the technical report, except the vertical flip (.1 there): faces are upright. `rotation` is
    the largest angle in degrees, uniform to both sides. Brightness, contrast and sharpness are ranges of Pillow's
    enhancement factors; 1 changes nothing.
    """

    horizontal_flip: float = 0.2
    vertical_flip: float = 0.0
    rotation: float = 20.0
    brightness: tuple[float, float] = (0.7, 1.3)
    contrast: tuple[float, float] = (0.7, 1.3)
    sharpness: tuple[float, float] = (0.7, 1.5)

    def __post_init__(self) -> None:
        for name in ("horizontal_flip", "vertical_flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r}: give a probability from 0 to 1")
        if not 0 <= self.rotation <= 180:
            raise ConfigError(f"rotation={self.rotation!r}: give an angle from 0 to 180 degrees")
        for name in ("brightness", "contrast", "sharpness"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ConfigError(f"{name}={getattr(self, name)!r}: give a range of factors, 0 <= low <= high")


def split_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    parts: Sequence[int] = (14, 3, 3),
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """int64 (N,): 0 for training, 1 for validation, 2 for test; stratified by label, without dividing a group.

    `parts` are the splits' shares in twentieths, `names` the labels' names for messages. Raises InputError for a label
    with fewer than twenty groups.
    """
    if sum(parts) != FOLDS or len(parts) != 3 or min(parts) < 1:
        raise InputError(f"parts={tuple(parts)}: give three numbers of at least 1 that add up to {FOLDS}")
    for label in np.unique(labels):
        if (count := len(np.unique(groups[labels == label]))) < FOLDS:
            named = f"label_id {label}" if names is None else f"the label {names[label]!r}"
            raise InputError(
                f"{named} has {count} groups of images; {FOLDS} are needed to divide it by {tuple(parts)}. "
                "Add images or leave the label out"
            )
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(splitter.split(labels, labels, groups)):
        folds[members] = number
    return np.repeat(np.arange(3), parts)[folds]


def are_originals(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """bool (N,): which of these `rows` are originals; all of them if the data has no numeric `variant` column."""
    variant = columns.get(VARIANT)
    if variant is None or variant.dtype.kind not in "iuf":
        return np.ones(len(rows), dtype=bool)
    return variant[rows] == 0


def known_groups(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray | None:
    """str (N,): the data's own group of each of these `rows`; None if the data has no such column.

    A row without a value is a group of its own.
    """
    if GROUP not in columns:
        return None
    names = columns[GROUP][rows].astype(str)
    own_group = np.char.add("alone ", np.asarray(rows).astype(str))
    return np.where(np.isin(names, ("", "None", "nan")), own_group, names)


def plan_variants(labels: np.ndarray, classes: int, max_variants: int = MAX_VARIANTS) -> np.ndarray:
    """int64 (V, 2): position of an original and number of its variant, from 1, to bring every class up to the largest.

    The originals of a class are used in turn until the class is full or each has `max_variants`. A class with
    fewer than 1 / (max_variants + 1) of the largest one's images therefore stays smaller.
    """
    if max_variants < 1:
        raise ConfigError(f"max_variants={max_variants}: give at least 1, or the strategy 'none'")
    counts = np.bincount(labels, minlength=classes)
    plan = []
    for label in range(classes):
        originals = np.flatnonzero(labels == label)
        if len(originals):
            number = np.arange(min(counts.max() - len(originals), max_variants * len(originals)))
            plan.append(np.stack([originals[number % len(originals)], number // len(originals) + 1], axis=1))
    return np.concatenate(plan) if plan else np.empty((0, 2), dtype=np.int64)


def make_variant(face: Image.Image, transforms: Transforms, seed: Sequence[int]) -> Image.Image:
    """A transformed copy of the same size and mode, determined by `seed`; rotation repeats the edge in the corners."""
    rng = np.random.default_rng(list(seed))
    mirrored, flipped = rng.random(2) < (transforms.horizontal_flip, transforms.vertical_flip)
    angle = rng.uniform(-transforms.rotation, transforms.rotation)
    factors = [rng.uniform(*span) for span in (transforms.brightness, transforms.contrast, transforms.sharpness)]
    if mirrored:
        face = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if flipped:
        face = face.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    width, height = face.size
    margin = max(face.size) // 2
    extended = crop(face, (-margin, -margin, width + margin, height + margin)).rotate(angle, Image.Resampling.BICUBIC)
    face = extended.crop((margin, margin, margin + width, margin + height))
    for enhance, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Sharpness), factors, strict=True
    ):
        face = enhance(face).enhance(factor)
    return face
