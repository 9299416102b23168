"""Faces of a data set in memory, and the choice of training images: copies of evaluation images left out, leaks refused."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import ConfigError, ImageError, InputError, LeakError, ManifestError
from emotion_hub.labels import FER2013, FERPLUS_VOTES, FOREIGN, LabelSet
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.decode import check_pixels_apart, decode_face, label_ids, pixel_hash
from training.data.duplicates import MAX_SHIFT, THRESHOLD, find_near_copies
from training.data.sources import SPLITS, Source, canonical_split, open_manifests, open_splits

__all__ = [
    "SPLITS",
    "FaceSplit",
    "SplitReport",
    "check_no_leak",
    "clean_training_indices",
    "join_splits",
    "load_split",
    "load_splits",
    "near_threshold",
    "pixel_hashes",
    "prepare_planes",
    "shared_indices",
    "vote_distribution",
]

log = logging.getLogger(__name__)

_VOTE_COLUMN = "ferplus_votes"


@dataclass(frozen=True)
class FaceSplit:
    """One split as decoded: faces (PIL, as stored), labels int64 (N,) and a SHA-1 of each image's gray pixels.

    `votes` are FER+'s, float32 (N, 10) in the order of FERPLUS_VOTES, where the data has them; `columns` holds every other column, (N,). `where`
    names each row's origin for messages, `stored` its format and mode ("PNG L"). `dropped` counts the rows that were left out because `label_set` lacks
    their label, `unreadable` names those that could not be decoded.
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


@dataclass(frozen=True)
class SplitReport:
    """What `clean_training_indices` left out, by reason, in images."""

    total: int
    kept: int
    copies_in_evaluation: int
    conflicting: int
    surplus_copies: int
    constant: int
    near_copies_in_evaluation: int = 0


def load_split(data: str | Path, split: str, labels: LabelSet = FER2013, root: str | Path | None = None) -> FaceSplit:
    """A split of a Hub id, a folder of parquet files, images or manifests, or fer2013.csv, its labels over `labels`.

    Labels are matched by name, aliases included; rows whose label `labels` lacks are left out and counted in `dropped`. `root` is what manifests'
    paths are relative to. Raises InputError for a split that is not there, LabelError for an unknown label and ManifestError, naming file and row,
    for a manifest or image with a fault; an image that stands in two manifests is one.
    """
    wanted, base = canonical_split(split), Path(root) if root is not None else None
    if Path(data).is_dir() and (manifests := open_manifests(Path(data), base)):
        stamp = tuple(
            (name, str(f), f.stat().st_mtime_ns) for name, manifest in manifests.items() for f in manifest.files
        )
        check_pixels_apart(Path(data), base, stamp)
    sources = open_splits(data, base)
    if wanted not in sources:
        raise InputError(
            f"no split {split!r} in {data}; it has {', '.join(sources)}. python -m training.prepare makes all three"
        )
    return _decode_split(sources[wanted], labels)


def load_splits(data: str | Path, labels: LabelSet = FER2013, root: str | Path | None = None) -> dict[str, FaceSplit]:
    """Every split there is, for looking at: images that cannot be read are named in `unreadable` instead of raising an error."""
    sources = open_splits(data, Path(root) if root is not None else None, strict=False)
    return {name: _decode_split(source, labels, tolerant=True) for name, source in sources.items()}


def _decode_split(source: Source, label_set: LabelSet, tolerant: bool = False) -> FaceSplit:
    ids, dropped = label_ids(source, label_set)
    rows: list[int] = []
    faces: list[Image.Image] = []
    stored: list[str] = []
    unreadable: list[str] = []
    for i in tqdm([i for i, label in enumerate(ids) if label >= 0], desc=f"decode {source.name}", disable=None):
        try:
            face, form = decode_face(source.read(i))
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
    """(N,) or (N, K) of numbers, (N,) of anything else."""
    if any(isinstance(value, list) for value in values) and len({np.shape(value) for value in values}) > 1:
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = values
        return ragged
    return np.asarray(values)


def _votes(values: np.ndarray, split: str) -> np.ndarray:
    """float32 (N, 10) from lists, or from text with spaces between the numbers as manifests hold it."""
    if values.dtype.kind in "UO":
        values = (
            np.asarray([value.split() for value in values.tolist()])
            if all(isinstance(v, str) for v in values.tolist())
            else values
        )
    try:
        votes = values.astype(np.float32).reshape(len(values), len(FERPLUS_VOTES))
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"{_VOTE_COLUMN} of {split}: every row has {len(FERPLUS_VOTES)} numbers, {', '.join(FERPLUS_VOTES)} ({error})"
        ) from error
    if not np.isfinite(votes).all() or (votes < 0).any():
        raise ManifestError(
            f"{_VOTE_COLUMN} of {split}, position {np.flatnonzero(~(votes >= 0).all(1))[:1]}: votes are counts of 0 or more; correct the row"
        )
    return votes


def join_splits(splits: Sequence[FaceSplit], name: str = "all") -> FaceSplit:
    """The images of several splits as one, with the columns that all of them have; `dropped` and `unreadable` add up."""
    first = splits[0]
    columns = {
        key: np.concatenate([split.columns[key] for split in splits])
        for key in first.columns
        if all(key in split.columns for split in splits)
    }
    votes = (
        np.concatenate([split.votes for split in splits]) if all(split.votes is not None for split in splits) else None
    )
    lists = {
        key: [entry for split in splits for entry in getattr(split, key)]
        for key in ("faces", "hashes", "where", "stored", "unreadable")
    }
    dropped = dict(sum((Counter(split.dropped) for split in splits), Counter()))
    return FaceSplit(
        name,
        labels=np.concatenate([split.labels for split in splits]),
        label_set=first.label_set,
        votes=votes,
        columns=columns,
        dropped=dropped,
        **lists,
    )


def pixel_hashes(*splits: FaceSplit) -> set[str]:
    """The distinct images of all these splits."""
    return {h for split in splits for h in split.hashes}


def shared_indices(split: FaceSplit, *others: FaceSplit) -> np.ndarray:
    """int64: positions in `split` whose exact pixels also stand in one of the others."""
    known = pixel_hashes(*others)
    return np.asarray([i for i, h in enumerate(split.hashes) if h in known], dtype=np.int64)


def apart_indices(split: FaceSplit, *others: FaceSplit) -> np.ndarray:
    """int64: positions in `split` whose exact pixels stand in none of the others: what an epoch is chosen on and a report's second reading."""
    return np.setdiff1d(np.arange(len(split)), shared_indices(split, *others))


def near_threshold(near: float | None) -> float | None:
    """The correlation from which images count as near copies; None, also for 0, looks for none. Raises ConfigError for what is no such correlation."""
    if near is None:
        return None
    if isinstance(near, bool) or not isinstance(near, int | float) or not 0 <= near <= 1:
        raise ConfigError(
            f"near={near!r}: a correlation above 0, at most 1 ({THRESHOLD:g} is usual), or 0 to look for no near copies"
        )
    return near or None


def clean_training_indices(
    train: FaceSplit, *evaluation: FaceSplit, near: float | None = THRESHOLD, cache: Path | None = None
) -> tuple[np.ndarray, SplitReport]:
    """Positions of the training images to use, and a count of the others by reason.

    Left out, and counted under the first reason that holds: images whose exact copy stands in an evaluation split, images of one flat colour,
    near copies of evaluation images (correlation of at least `near`, see training.data.duplicates and `near_threshold`), groups of copies whose labels
    conflict, and surplus copies (the first stays). `cache` is a file that keeps the near copies for the next call with the same images.
    """
    near = near_threshold(near)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, h in enumerate(train.hashes):
        groups[h].append(i)
    leaked = pixel_hashes(*evaluation)
    flat = {h for h, members in groups.items() if np.ptp(train.faces[members[0]].convert("L").getextrema()) == 0}
    alike: set[int] = set()
    candidates = np.asarray(
        [members[0] for h, members in groups.items() if h not in leaked and h not in flat], dtype=np.int64
    )
    if near is not None and len(candidates) and any(len(split) for split in evaluation):
        alike = set(_near_evaluation(train, candidates, evaluation, near, cache).tolist())
    kept: list[int] = []
    counts = {
        "copies_in_evaluation": 0,
        "near_copies_in_evaluation": 0,
        "conflicting": 0,
        "surplus_copies": 0,
        "constant": 0,
    }
    for h, members in groups.items():
        if h in leaked:
            counts["copies_in_evaluation"] += len(members)
        elif h in flat:
            counts["constant"] += len(members)
        elif members[0] in alike:
            counts["near_copies_in_evaluation"] += len(members)
        elif len({int(train.labels[i]) for i in members}) > 1:
            counts["conflicting"] += len(members)
        else:
            kept.append(members[0])
            counts["surplus_copies"] += len(members) - 1
    report = SplitReport(total=len(train), kept=len(kept), **counts)
    log.info("training images: %s", report)
    return np.asarray(sorted(kept), dtype=np.int64), report


def _near_evaluation(
    train: FaceSplit, indices: np.ndarray, evaluation: tuple[FaceSplit, ...], near: float, cache: Path | None
) -> np.ndarray:
    """int64: those of `indices` with a near copy in an evaluation split; the answer is kept in `cache` under a SHA-256 of all that decides it."""
    digest = hashlib.sha256(f"{near!r} {MAX_SHIFT}".encode())
    for split in (train, *evaluation):
        digest.update("".join((split.name, *split.hashes)).encode())
    digest.update(indices.tobytes())
    key = digest.hexdigest()
    if cache is not None and cache.is_file():
        with np.load(cache) as saved:
            if not {"key", "alike"} <= set(saved.files):
                raise InputError(
                    f"{cache} is no cache of near copies (it holds {', '.join(saved.files)}); give the path of a file of its own"
                )
            if str(saved["key"]) == key:
                return saved["alike"]
    native = Preprocessor(NATIVE48)
    references = np.concatenate([prepare_planes(split, native) for split in evaluation])
    found = find_near_copies(prepare_planes(train, native, indices), references, progress="near copies in evaluation")
    alike = indices[found.above(near)]
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        whole = cache.with_name(cache.name + ".part")
        with whole.open("wb") as file:
            np.savez(file, key=key, alike=alike)
        whole.replace(cache)
    return alike


def check_no_leak(train: FaceSplit, indices: np.ndarray, *evaluation: FaceSplit) -> None:
    """Raises LeakError when the exact pixels of a training image in use stand in an evaluation split."""
    known = {h: split.name for split in evaluation for h in split.hashes}
    if leaks := [int(i) for i in indices if train.hashes[i] in known]:
        rows = ", ".join(f"{i} (also in {known[train.hashes[i]]})" for i in leaks[:5])
        more = ", ..." if len(leaks) > 5 else ""
        raise LeakError(
            f"{len(leaks)} of {len(indices)} training images also stand in an evaluation split: rows {rows}{more}; leave them out with clean_training_indices"
        )


def vote_distribution(votes: np.ndarray, label_set: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    """float32 (N, C), rows of sum 1, and bool (N,): votes (N, 10) for this set's labels as shares, and which rows have any (the others are 0)."""
    shares = np.zeros((len(votes), len(label_set)), dtype=np.float32)
    for column, name in enumerate(FERPLUS_VOTES):
        if name.lower() not in FOREIGN and label_set.has(name):
            shares[:, label_set.index(name)] += votes[:, column]
    total = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0), total[:, 0] > 0


def prepare_planes(split: FaceSplit, preprocessor: Preprocessor, indices: np.ndarray | None = None) -> np.ndarray:
    """uint8, (N, S, S): the gray plane of each prepared face, ready for `Preprocessor.normalise`."""
    chosen = range(len(split)) if indices is None else indices
    side = preprocessor.config.size
    planes = np.empty((len(chosen), side, side), dtype=np.uint8)
    for row, i in enumerate(tqdm(chosen, desc=f"prepare {split.name} at {side}", disable=None)):
        pixels = np.asarray(preprocessor.prepare(split.faces[i]))
        planes[row] = pixels if pixels.ndim == 2 else pixels[..., 0]
    return planes
