"""FER2013 as prepared gray planes in memory, with the images that would leak between splits left out."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013
from emotion_hub.preprocess import Preprocessor

__all__ = ["FaceSplit", "SplitReport", "clean_training_indices", "load_split", "pixel_hashes", "prepare_planes", "shared_indices"]

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class FaceSplit:
    """One split as decoded: faces (PIL, as stored), labels int64 (N,) and a SHA-1 of each image's pixels."""

    name: str
    faces: list[Image.Image]
    labels: np.ndarray
    hashes: list[str]

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True)
class SplitReport:
    """What `clean_training_indices` left out, by reason, in images."""

    total: int
    kept: int
    copies_in_evaluation: int
    conflicting: int
    surplus_copies: int
    constant: int


def load_split(data: str | Path, split: str) -> FaceSplit:
    """A split of a folder of parquet files (or a Hub id) read by `datasets`, labels in FER2013's order.

    Raises InputError for a split that is not there or labels in another order.
    """
    from datasets import load_dataset

    if split not in SPLITS:
        raise InputError(f"no split {split!r}; choose from {', '.join(SPLITS)}")
    table = load_dataset(str(data), split=split)
    names = tuple(table.features["label"].names)
    if names != FER2013.labels:
        raise InputError(f"labels of {data} are {names}; expected {FER2013.labels}")
    faces, labels, hashes = [], [], []
    for row in tqdm(table.select_columns(["image", "label"]), desc=f"decode {split}", disable=None):
        face = row["image"]
        face.load()
        faces.append(face)
        labels.append(row["label"])
        hashes.append(hashlib.sha1(f"{face.mode}{face.size}".encode() + face.tobytes()).hexdigest())
    return FaceSplit(split, faces, np.asarray(labels, dtype=np.int64), hashes)


def pixel_hashes(*splits: FaceSplit) -> set[str]:
    """The distinct images of all these splits."""
    return {h for split in splits for h in split.hashes}


def shared_indices(split: FaceSplit, *others: FaceSplit) -> np.ndarray:
    """int64: positions in `split` whose exact pixels also stand in one of the others."""
    known = pixel_hashes(*others)
    return np.asarray([i for i, h in enumerate(split.hashes) if h in known], dtype=np.int64)


def clean_training_indices(train: FaceSplit, *evaluation: FaceSplit) -> tuple[np.ndarray, SplitReport]:
    """Positions of the training images to use, and a count of the others by reason.

    Left out: images whose exact copy stands in an evaluation split, groups of copies whose labels conflict,
    surplus copies (the first stays) and images of one flat colour.
    """
    leaked = pixel_hashes(*evaluation)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, h in enumerate(train.hashes):
        groups[h].append(i)
    kept: list[int] = []
    counts = {"copies_in_evaluation": 0, "conflicting": 0, "surplus_copies": 0, "constant": 0}
    for h, members in groups.items():
        low, high = train.faces[members[0]].convert("L").getextrema()
        if h in leaked:
            counts["copies_in_evaluation"] += len(members)
        elif low == high:
            counts["constant"] += len(members)
        elif len({int(train.labels[i]) for i in members}) > 1:
            counts["conflicting"] += len(members)
        else:
            kept.append(members[0])
            counts["surplus_copies"] += len(members) - 1
    report = SplitReport(total=len(train), kept=len(kept), **counts)
    log.info("training images: %s", report)
    return np.asarray(sorted(kept), dtype=np.int64), report


def prepare_planes(split: FaceSplit, preprocessor: Preprocessor, indices: np.ndarray | None = None) -> np.ndarray:
    """uint8, (N, S, S): the gray plane of each prepared face, ready for `Preprocessor.normalise`."""
    chosen = range(len(split)) if indices is None else indices
    side = preprocessor.config.size
    planes = np.empty((len(chosen), side, side), dtype=np.uint8)
    for row, i in enumerate(tqdm(chosen, desc=f"prepare {split.name} at {side}", disable=None)):
        pixels = np.asarray(preprocessor.prepare(split.faces[i]))
        planes[row] = pixels if pixels.ndim == 2 else pixels[..., 0]
    return planes
