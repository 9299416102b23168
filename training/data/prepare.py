"""Prepare a data set: clean it, group copies, split 70/15/15, balance.

All images, whatever their splits, are cleaned of variants from an earlier preparation, exact copies, conflicting labels
and flat images. Near copies and the images of one `group` of the data form groups, which are divided by label and never
split up. Only the training split is balanced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, LABEL_SETS, LabelSet
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.balance import (
    FOLDS,
    GROUP,
    MAX_VARIANTS,
    VARIANT,
    Transforms,
    are_originals,
    known_groups,
    make_variant,
    plan_variants,
    split_groups,
)
from training.data.duplicates import THRESHOLD, group_copies
from training.data.faces import FaceSplit, join_splits, load_splits, prepare_planes
from training.data.manifests import MANIFESTS, write_faces, write_manifest, write_status
from training.data.selection import clean_training_indices, near_threshold

__all__ = ["prepare"]

#: Shares of train, validation and test in twentieths: 70, 15 and 15 per cent.
_PARTS = (14, 3, 3)


def prepare(
    data: str | Path,
    out: Path,
    labels: LabelSet = FER2013,
    balance: str = "none",
    max_variants: int = MAX_VARIANTS,
    transforms: Transforms | None = None,
    near: float | None = THRESHOLD,
    seed: int = 0,
    root: Path | None = None,
    crop: Callable[[Image.Image], Image.Image] | None = None,
) -> dict[str, Any]:
    """Write class folders, manifests and statistics to `out`, and return the content of its status.json.

    `crop` cuts the face out of each decoded image; images for which it raises ImageError are left out and listed.
    Raises InputError for a folder that is not empty and for a label without images.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; give a new folder, so that old and new images are not mixed")
    near = near_threshold(near)
    transforms = transforms or Transforms()
    joined = join_splits(list(load_splits(data, labels, root, crop).values()))
    pool = _originals(joined)
    kept, report = clean_training_indices(pool)
    kept_labels = pool.labels[kept]
    if missing := [label for i, label in enumerate(labels.labels) if i not in kept_labels]:
        raise InputError(
            f"{data} has no image of {', '.join(missing)}; choose another label set with --labels: "
            f"{', '.join(LABEL_SETS)}, or labels separated by commas"
        )
    planes = prepare_planes(pool, Preprocessor(NATIVE48), kept)
    groups = group_copies([pool.hashes[i] for i in kept], planes, near, known=known_groups(pool.columns, kept))
    group_of = dict(zip(kept.tolist(), groups.tolist(), strict=True))
    parts = split_groups(kept_labels, groups, _PARTS, seed, labels.labels)
    before, after = {}, {}
    out.mkdir(parents=True, exist_ok=True)
    for part, split in enumerate(MANIFESTS):
        members = kept[parts == part]
        plan = np.stack([members, np.zeros_like(members)], axis=1)
        if split == "train" and balance == "max":
            variants = plan_variants(pool.labels[members], len(labels), max_variants)
            plan = np.concatenate([plan, np.stack([members[variants[:, 0]], variants[:, 1]], axis=1)])
        _write_split(out, split, pool, plan, group_of, transforms, seed)
        before[split], after[split] = (
            np.bincount(pool.labels[rows], minlength=len(labels)) for rows in (members, plan[:, 0])
        )
    facts = {
        "strategy": balance,
        "max_variants": max_variants,
        "transforms": dataclasses.asdict(transforms),
        "near": near,
        "seed": seed,
        "variants": len(joined) - len(pool),
        "cleaned": dataclasses.asdict(report),
        "dropped": pool.dropped,
        "unreadable": pool.unreadable,
        "groups": int(groups.max()) + 1,
        "shares": {split: int(sum(before[split])) / len(kept) for split in MANIFESTS},
        "wanted_shares": {split: part / FOLDS for split, part in zip(MANIFESTS, _PARTS, strict=True)},
    }
    return write_status(out, labels, before, after, facts)


def _originals(pool: FaceSplit) -> FaceSplit:
    """The pool without the variants that an earlier preparation made."""
    rows = np.flatnonzero(are_originals(pool.columns, np.arange(len(pool))))
    return dataclasses.replace(
        pool,
        faces=[pool.faces[i] for i in rows],
        labels=pool.labels[rows],
        hashes=[pool.hashes[i] for i in rows],
        votes=None if pool.votes is None else pool.votes[rows],
        columns={name: values[rows] for name, values in pool.columns.items()},
        where=[pool.where[i] for i in rows],
        stored=[pool.stored[i] for i in rows],
    )


def _write_split(
    out: Path, split: str, pool: FaceSplit, plan: np.ndarray, groups: dict[int, int], transforms: Transforms, seed: int
) -> None:
    """Write the images and the manifest of one split.

    `plan` is int64 (N, 2): positions in `pool` and variant numbers, where 0 is the original.
    """
    labels = [pool.label_set.labels[pool.labels[i]] for i, _ in plan]
    faces = [
        pool.faces[i] if number == 0 else make_variant(pool.faces[i], transforms, (seed, int(i), int(number)))
        for i, number in tqdm(plan, desc=f"make {split}", disable=None)
    ]
    files = write_faces(out, split, faces, labels)
    columns: dict[str, list[Any]] = {
        "source": [pool.where[i] for i, _ in plan],
        GROUP: [groups[int(i)] for i, _ in plan],
        VARIANT: plan[:, 1].tolist(),
    }
    if pool.votes is not None:
        columns["ferplus_votes"] = [" ".join(f"{vote:g}" for vote in pool.votes[i]) for i, _ in plan]
    write_manifest(out / MANIFESTS[split], files, labels, columns)
