"""Load the splits of a data set: decoded faces, labels, votes, pixel hashes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import ImageError, InputError, ManifestError
from emotion_hub.labels import FER2013, FERPLUS_VOTES, LabelSet
from emotion_hub.preprocess import Preprocessor
from training.data.decode import check_pixels_apart, decode_face, label_ids, pixel_hash
from training.data.sources import SPLITS, Source, canonical_split, open_manifests, open_splits

__all__ = [
    "SPLITS",
    "FaceSplit",
    "join_splits",
    "load_split",
    "load_splits",
    "pixel_hashes",
    "prepare_planes",
    "vote_distribution",
]

log = logging.getLogger(__name__)

_VOTE_COLUMN = "ferplus_votes"

Crop = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class FaceSplit:
    """One decoded split: faces (PIL, as stored), labels int64 (N,), and a SHA-1 of each image's gray pixels.

    `votes` are FER+'s, float32 (N, 10) in the order of FERPLUS_VOTES, if the data has them; `columns` holds every
    other column, (N,). `where` names each row's origin for messages, `stored` its format and mode ("PNG L").
    `dropped` counts the rows that were left out because `label_set` lacks their label; `unreadable` names those
    that could not be decoded.
    """

    name: str
    faces: list[Image.Image]
    labels: np.ndarray
    hashes: list[str]
    label_set: LabelSet = FER2013
    votes: np.ndarray | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.faces)


def load_split(data: str | Path, split: str, labels: LabelSet = FER2013, root: str | Path | None = None) -> FaceSplit:
    """One split of a Hub id, a folder of parquet files, images or manifests, or fer2013.csv, with labels of `labels`.

    Labels are matched by name, aliases included; rows whose label `labels` lacks are left out and counted in
    `dropped`. `root` is the folder that the paths of manifests are relative to. Raises InputError for a split
    that does not exist, LabelError for an unknown label, and ManifestError, naming file and row, for a faulty
    manifest or image and for an image that is in two manifests.
    """
    name, base = canonical_split(split), Path(root) if root is not None else None
    if Path(data).is_dir() and (manifests := open_manifests(Path(data), base)):
        stamp = tuple(
            (key, str(file), file.stat().st_mtime_ns) for key, manifest in manifests.items() for file in manifest.files
        )
        check_pixels_apart(Path(data), base, stamp)
    sources = open_splits(data, base)
    if name not in sources:
        raise InputError(
            f"no split {split!r} in {data}; it has {', '.join(sources)}. python -m training.prepare makes all splits"
        )
    return _decode_split(sources[name], labels)


def load_splits(
    data: str | Path, labels: LabelSet = FER2013, root: str | Path | None = None, crop: Crop | None = None
) -> dict[str, FaceSplit]:
    """All splits, for inspection: unreadable images are listed in `unreadable` instead of raising an error.

    `crop` replaces each decoded image, and raises ImageError for one that is then listed, too.
    """
    sources = open_splits(data, Path(root) if root is not None else None, strict=False)
    return {name: _decode_split(source, labels, tolerant=True, crop=crop) for name, source in sources.items()}


def _decode_split(source: Source, label_set: LabelSet, tolerant: bool = False, crop: Crop | None = None) -> FaceSplit:
    ids, dropped = label_ids(source, label_set)
    rows: list[int] = []
    faces: list[Image.Image] = []
    stored: list[str] = []
    unreadable: list[str] = []
    for i in tqdm([i for i, label in enumerate(ids) if label >= 0], desc=f"decode {source.name}", disable=None):
        try:
            face, form = decode_face(source.read(i))
            face = face if crop is None else crop(face)
        except (ImageError, ManifestError, OSError) as error:
            if not tolerant:
                raise ManifestError(
                    f"{source.where(i)} cannot be read: {error}. Replace the image or leave its row out"
                ) from error
            unreadable.append(f"{source.where(i)}: {error}")
            continue
        rows.append(i)
        faces.append(face)
        stored.append(form)
    columns = {name: _column([values[i] for i in rows]) for name, values in source.columns.items()}
    votes = _votes(columns.pop(_VOTE_COLUMN), source.name) if _VOTE_COLUMN in columns else None
    hashes, where = [pixel_hash(face) for face in faces], [source.where(i) for i in rows]
    return FaceSplit(
        source.name, faces, ids[rows], hashes, label_set, votes, columns, dropped, where, stored, unreadable
    )


def _column(values: list[Any]) -> np.ndarray:
    """(N,) or (N, K) for numbers, (N,) of objects for lists of different lengths."""
    if any(isinstance(value, list) for value in values) and len({np.shape(value) for value in values}) > 1:
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = values
        return ragged
    return np.asarray(values)


def _votes(values: np.ndarray, split: str) -> np.ndarray:
    """float32 (N, 10) from lists, or from text with spaces between the numbers, as in manifests."""
    if values.dtype.kind in "UO" and all(isinstance(value, str) for value in values.tolist()):
        values = np.asarray([value.split() for value in values.tolist()])
    try:
        votes = values.astype(np.float32).reshape(len(values), len(FERPLUS_VOTES))
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"{_VOTE_COLUMN} of {split}: every row needs {len(FERPLUS_VOTES)} numbers, {', '.join(FERPLUS_VOTES)} "
            f"({error})"
        ) from error
    if not np.isfinite(votes).all() or (votes < 0).any():
        raise ManifestError(
            f"{_VOTE_COLUMN} of {split}, position {np.flatnonzero(~(votes >= 0).all(1))[:1]}: votes are counts of 0 or "
            "more; correct the row"
        )
    return votes


def join_splits(splits: Sequence[FaceSplit], name: str = "all") -> FaceSplit:
    """The images of several splits as one, with the columns that all of them have.

    `dropped` and `unreadable` add up.
    """
    first = splits[0]
    columns = {
        key: np.concatenate([split.columns[key] for split in splits])
        for key in first.columns
        if all(key in split.columns for split in splits)
    }
    votes = [split.votes for split in splits if split.votes is not None]
    dropped = sum((Counter(split.dropped) for split in splits), Counter[str]())
    return FaceSplit(
        name,
        faces=[face for split in splits for face in split.faces],
        labels=np.concatenate([split.labels for split in splits]),
        hashes=[h for split in splits for h in split.hashes],
        label_set=first.label_set,
        votes=np.concatenate(votes) if len(votes) == len(splits) else None,
        columns=columns,
        dropped=dict(dropped),
        where=[where for split in splits for where in split.where],
        stored=[stored for split in splits for stored in split.stored],
        unreadable=[row for split in splits for row in split.unreadable],
    )


def pixel_hashes(*splits: FaceSplit) -> set[str]:
    """The hashes of all distinct images in these splits."""
    return {h for split in splits for h in split.hashes}


def vote_distribution(votes: np.ndarray, label_set: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the votes for this set's labels, float32 (N, C) with rows of sum 1, and bool (N,): rows that have any.

    `votes` are (N, 10). Rows without a vote for one of the labels are 0.
    """
    shares = np.zeros((len(votes), len(label_set)), dtype=np.float32)
    for column, name in enumerate(FERPLUS_VOTES):
        if label_set.has(name):
            shares[:, label_set.index(name)] += votes[:, column]
    total = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0), total[:, 0] > 0


def prepare_planes(split: FaceSplit, preprocessor: Preprocessor, indices: np.ndarray | None = None) -> np.ndarray:
    """uint8, (N, S, S): the gray plane of each prepared face, the input of `Preprocessor.normalise`."""
    chosen = range(len(split)) if indices is None else indices
    side = preprocessor.config.size
    planes = np.empty((len(chosen), side, side), dtype=np.uint8)
    for row, i in enumerate(tqdm(chosen, desc=f"prepare {split.name} at {side}", disable=None)):
        pixels = np.asarray(preprocessor.prepare(split.faces[i]))
        planes[row] = pixels if pixels.ndim == 2 else pixels[..., 0]
    return planes
