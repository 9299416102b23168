"""Select training images: without copies of evaluation images, without leaks."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion_hub.errors import ConfigError, InputError, LeakError
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.duplicates import MAX_SHIFT, THRESHOLD, find_near_copies
from training.data.faces import FaceSplit, pixel_hashes, prepare_planes
from training.data.files import write_arrays

__all__ = [
    "SplitReport",
    "apart_indices",
    "check_no_leak",
    "clean_training_indices",
    "near_threshold",
    "shared_indices",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitReport:
    """Counts of the images that `clean_training_indices` left out, by reason."""

    total: int
    kept: int
    copies_in_evaluation: int
    conflicting: int
    surplus_copies: int
    constant: int
    near_copies_in_evaluation: int = 0


def shared_indices(split: FaceSplit, *others: FaceSplit) -> np.ndarray:
    """int64: positions in `split` of images that have an exact copy in one of the others."""
    known = pixel_hashes(*others)
    return np.asarray([i for i, h in enumerate(split.hashes) if h in known], dtype=np.int64)


def apart_indices(split: FaceSplit, *others: FaceSplit) -> np.ndarray:
    """int64: positions in `split` of images that have no exact copy in any of the others."""
    return np.setdiff1d(np.arange(len(split)), shared_indices(split, *others))


def near_threshold(near: float | None) -> float | None:
    """The correlation from which images count as near copies; None, also for 0, for no search.

    Raises ConfigError for a value that is no correlation.
    """
    if near is None:
        return None
    if isinstance(near, bool) or not isinstance(near, int | float) or not 0 <= near <= 1:
        raise ConfigError(
            f"near={near!r}: give a correlation above 0 and at most 1 ({THRESHOLD:g} is the default), or 0 to search "
            "for no near copies"
        )
    return near or None


def clean_training_indices(
    train: FaceSplit, *evaluation: FaceSplit, near: float | None = THRESHOLD, cache: Path | None = None
) -> tuple[np.ndarray, SplitReport]:
    """int64: positions of the training images to use, in order, and counts of the others by reason.

    Left out, and counted under the first reason that applies, are: images with an exact copy in an evaluation split;
    images of one flat colour; near copies of evaluation images (a correlation of at least `near`, see
    training.data.duplicates and `near_threshold`); groups of copies with conflicting labels; surplus copies (the first
    one stays). `cache` is a file that stores the near copies for the next call with the same images.
    """
    near = near_threshold(near)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, h in enumerate(train.hashes):
        groups[h].append(i)
    leaked = pixel_hashes(*evaluation)
    flat = {h for h, members in groups.items() if np.ptp(train.faces[members[0]].convert("L").getextrema()) == 0}
    near_copies: set[int] = set()
    candidates = np.asarray(
        [members[0] for h, members in groups.items() if h not in leaked and h not in flat], dtype=np.int64
    )
    if near is not None and len(candidates) and any(len(split) for split in evaluation):
        near_copies = set(_near_evaluation(train, candidates, evaluation, near, cache).tolist())
    kept: list[int] = []
    counts: Counter[str] = Counter()
    for h, members in groups.items():
        if h in leaked:
            counts["copies_in_evaluation"] += len(members)
        elif h in flat:
            counts["constant"] += len(members)
        elif members[0] in near_copies:
            counts["near_copies_in_evaluation"] += len(members)
        elif len({int(train.labels[i]) for i in members}) > 1:
            counts["conflicting"] += len(members)
        else:
            kept.append(members[0])
            counts["surplus_copies"] += len(members) - 1
    report = SplitReport(
        total=len(train),
        kept=len(kept),
        copies_in_evaluation=counts["copies_in_evaluation"],
        conflicting=counts["conflicting"],
        surplus_copies=counts["surplus_copies"],
        constant=counts["constant"],
        near_copies_in_evaluation=counts["near_copies_in_evaluation"],
    )
    log.info("training images: %s", report)
    return np.asarray(sorted(kept), dtype=np.int64), report


def _near_evaluation(
    train: FaceSplit, indices: np.ndarray, evaluation: tuple[FaceSplit, ...], near: float, cache: Path | None
) -> np.ndarray:
    """int64: those of `indices` that have a near copy in an evaluation split.

    The result is stored in `cache` under a SHA-256 of everything that determines it.
    """
    digest = hashlib.sha256(f"{near!r} {MAX_SHIFT}".encode())
    for split in (train, *evaluation):
        digest.update("".join((split.name, *split.hashes)).encode())
    digest.update(indices.tobytes())
    key = digest.hexdigest()
    if cache is not None and cache.is_file():
        with np.load(cache) as saved:
            if not {"key", "alike"} <= set(saved.files):
                raise InputError(
                    f"{cache} is no cache of near copies (it holds {', '.join(saved.files)}); give the path of another "
                    "file"
                )
            if str(saved["key"]) == key:
                return saved["alike"]
    native = Preprocessor(NATIVE48)
    references = np.concatenate([prepare_planes(split, native) for split in evaluation])
    queries = prepare_planes(train, native, indices)
    near_copies = indices[find_near_copies(queries, references, progress="near copies in evaluation").above(near)]
    if cache is not None:
        write_arrays(cache, key=np.array(key), alike=near_copies)
    return near_copies


def check_no_leak(train: FaceSplit, indices: np.ndarray, *evaluation: FaceSplit) -> None:
    """Raises LeakError when a training image in use has an exact copy in an evaluation split."""
    known = {h: split.name for split in evaluation for h in split.hashes}
    if leaks := [int(i) for i in indices if train.hashes[i] in known]:
        rows = ", ".join(f"{i} (also in {known[train.hashes[i]]})" for i in leaks[:5])
        more = ", ..." if len(leaks) > 5 else ""
        raise LeakError(
            f"{len(leaks)} of {len(indices)} training images are also in an evaluation split: rows {rows}{more}; leave "
            "them out with clean_training_indices"
        )
