"""Audit a data set: copies, conflicting labels, flat and unusual images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.duplicates import MAX_SHIFT, THRESHOLD, find_near_copies, find_near_pairs
from training.data.faces import FaceSplit, prepare_planes
from training.data.manifests import class_statistics

__all__ = [
    "MAX_ASPECT",
    "MIN_SIDE",
    "class_balance",
    "exact_copies",
    "flat_images",
    "near_copies",
    "quality_report",
    "stored_forms",
]

#: Smallest plausible side of a face, in pixels, and largest plausible ratio of the longer to the shorter side.
MIN_SIDE, MAX_ASPECT = 32, 2.0

#: Most rows that a report names for each fault.
_MAX_NAMED = 20


def quality_report(splits: Mapping[str, FaceSplit], near: float | None = THRESHOLD) -> dict[str, Any]:
    """All counts of this module as plain JSON types; `near` None leaves out the near copies, which take minutes."""
    return {
        "images": {name: len(split) for name, split in splits.items()},
        "unreadable": {name: split.unreadable for name, split in splits.items()},
        "labels_left_out": {name: split.dropped for name, split in splits.items()},
        "exact_copies": exact_copies(splits),
        "near_copies": None if near is None else near_copies(splits, near),
        "flat": flat_images(splits),
        "stored": stored_forms(splits),
        "classes": class_balance(splits),
    }


def exact_copies(splits: Mapping[str, FaceSplit]) -> dict[str, Any]:
    """Distinct images, groups of copies, surplus copies, groups with conflicting labels, and images that splits share.

    `shared` counts images of the later split (train, validation, test): {"test in train": 288}.
    """
    groups: dict[str, list[tuple[FaceSplit, int]]] = defaultdict(list)
    for split in splits.values():
        for i, h in enumerate(split.hashes):
            groups[h].append((split, i))
    copies = [members for members in groups.values() if len(members) > 1]
    conflicts = [members for members in copies if len({int(split.labels[i]) for split, i in members}) > 1]
    shared = {}
    for earlier, later in combinations(splits, 2):
        known = set(splits[earlier].hashes)
        shared[f"{later} in {earlier}"] = sum(h in known for h in splits[later].hashes)
    return {
        "distinct": len(groups),
        "groups": len(copies),
        "surplus": sum(len(members) - 1 for members in copies),
        "conflicting_groups": len(conflicts),
        "conflicts": [
            [f"{_where(split, i)}: {split.label_set.labels[split.labels[i]]}" for split, i in members]
            for members in conflicts
        ],
        "shared": shared,
    }


def near_copies(splits: Mapping[str, FaceSplit], threshold: float = THRESHOLD) -> dict[str, Any]:
    """Images with a near copy in an earlier split, exact copies included, and near pairs inside the training split.

    Across splits, faces are also compared shifted by up to MAX_SHIFT pixels; inside the training split only
    unshifted and mirrored.
    """
    native = Preprocessor(NATIVE48)
    planes = {name: prepare_planes(split, native) for name, split in splits.items()}
    across = {}
    for earlier, later in combinations(splits, 2):
        copies = find_near_copies(planes[later], planes[earlier], progress=f"{later} in {earlier}").above(threshold)
        known = set(splits[earlier].hashes)
        exact = sum(splits[later].hashes[i] in known for i in copies)
        across[f"{later} in {earlier}"] = {"images": len(copies), "beyond_exact": len(copies) - exact}
    inside = {}
    if "train" in splits:
        train = splits["train"]
        first = np.unique(np.asarray(train.hashes), return_index=True)[1]
        pairs = find_near_pairs(planes["train"][first], threshold)
        conflicting = train.labels[first[pairs[:, 0]]] != train.labels[first[pairs[:, 1]]]
        inside = {
            "pairs": len(pairs),
            "images": len(np.unique(pairs)),
            "pairs_with_conflicting_labels": int(conflicting.sum()),
        }
    measure = (
        "Pearson's correlation of 24x24 thumbnails, also mirrored; across splits the largest over shifts of up to "
        f"{MAX_SHIFT} pixels"
    )
    return {"measure": measure, "threshold": threshold, "across": across, "inside_train": inside}


def flat_images(splits: Mapping[str, FaceSplit]) -> dict[str, Any]:
    """Images of a single gray level."""
    flat = [
        _where(split, i)
        for split in splits.values()
        for i, face in enumerate(split.faces)
        if np.ptp(face.convert("L").getextrema()) == 0
    ]
    return {"count": len(flat), "where": flat[:_MAX_NAMED]}


def stored_forms(splits: Mapping[str, FaceSplit]) -> dict[str, Any]:
    """Formats, modes and sizes with their shares, and unusual images by kind: size, aspect, colour."""
    rows = [(split, i) for split in splits.values() for i in range(len(split))]
    forms = [(split.stored[i] if split.stored else f"unknown {split.faces[i].mode}").split() for split, i in rows]
    sizes = [split.faces[i].size for split, i in rows]
    usual = Counter(sizes).most_common(1)[0][0] if sizes else None
    odd = {
        f"a side below {MIN_SIDE}": [k for k, size in enumerate(sizes) if min(size) < MIN_SIDE],
        f"longer than {MAX_ASPECT:g}:1": [k for k, size in enumerate(sizes) if max(size) > MAX_ASPECT * min(size)],
        "not the usual size": [k for k, size in enumerate(sizes) if size != usual],
        "not gray": [k for k, (_, mode) in enumerate(forms) if mode != "L"],
    }
    return {
        "formats": _shares(form for form, _ in forms),
        "modes": _shares(mode for _, mode in forms),
        "sizes": _shares(f"{width}x{height}" for width, height in sizes),
        "odd": {
            name: {"count": len(positions), "where": [_where(*rows[k]) for k in positions[:_MAX_NAMED]]}
            for name, positions in odd.items()
        },
    }


def class_balance(splits: Mapping[str, FaceSplit]) -> dict[str, Any]:
    """Counts, shares and statistics of the classes, per split and for all splits together under "all"."""
    labels = {name: split.labels for name, split in splits.items()}
    names = next(iter(splits.values())).label_set.labels
    report = {}
    for name, ids in {**labels, "all": np.concatenate(list(labels.values()))}.items():
        counts = np.bincount(ids, minlength=len(names))
        report[name] = {
            "counts": dict(zip(names, counts.tolist(), strict=True)),
            "shares": dict(zip(names, (counts / max(len(ids), 1)).tolist(), strict=True)),
            **class_statistics(counts.tolist()),
        }
    return report


def _shares(values: Any) -> dict[str, dict[str, float]]:
    counts = Counter(values)
    return {value: {"count": count, "share": count / counts.total()} for value, count in counts.most_common()}


def _where(split: FaceSplit, i: int) -> str:
    return split.where[i] if split.where else f"{split.name} row {i}"
