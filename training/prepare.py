"""Make a data set to train on: `python -m training.prepare --data D --out FOLDER [--balance max] [--labels six_class]`.

All images of D, whatever its splits, are cleaned of variants that an earlier preparation made, exact copies, conflicting labels and flat images;
near copies and the images of one `group` of D are grouped, groups are divided 70/15/15 by label, and the training split alone is balanced. FOLDER
gets class folders, manifests and statistics.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, LABEL_SETS, LabelSet
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.balance import (
    FOLDS,
    GROUP,
    MAX_VARIANTS,
    STRATEGIES,
    VARIANT,
    Transforms,
    are_originals,
    known_groups,
    make_variant,
    plan_variants,
    split_groups,
)
from training.data.duplicates import THRESHOLD, group_copies
from training.data.faces import (
    FaceSplit,
    clean_training_indices,
    join_splits,
    load_splits,
    near_threshold,
    prepare_planes,
)
from training.data.manifests import MANIFESTS, write_faces, write_manifest, write_status

__all__ = ["main", "prepare"]

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
) -> dict[str, Any]:
    """What status.json of the new folder holds. Raises InputError for a folder that is not empty or a label without images."""
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; give a new folder, so that no old image stays among the new ones")
    near = near_threshold(near)
    splits = load_splits(data, labels, root)
    joined = join_splits(list(splits.values()))
    pool = _originals(joined)
    kept, report = clean_training_indices(pool)
    chosen = pool.labels[kept]
    if missing := [label for i, label in enumerate(labels.labels) if i not in chosen]:
        raise InputError(
            f"{data} has no image of {', '.join(missing)}; choose another label set with --labels ({', '.join(LABEL_SETS)})"
        )
    planes = prepare_planes(pool, Preprocessor(NATIVE48), kept)
    groups = group_copies([pool.hashes[i] for i in kept], planes, near, known=known_groups(pool.columns, kept))
    parts = split_groups(chosen, groups, _PARTS, seed)
    before, after = {}, {}
    out.mkdir(parents=True, exist_ok=True)
    for part, split in enumerate(MANIFESTS):
        members = kept[parts == part]
        wanted = balance if split == "train" else "none"
        plan = np.stack([members, np.zeros_like(members)], axis=1)
        if wanted == "max":
            variants = plan_variants(pool.labels[members], len(labels), max_variants)
            plan = np.concatenate([plan, np.stack([members[variants[:, 0]], variants[:, 1]], axis=1)])
        _write(
            out,
            split,
            pool,
            plan,
            dict(zip(kept.tolist(), groups.tolist(), strict=True)),
            transforms or Transforms(),
            seed,
        )
        before[split], after[split] = (
            np.bincount(pool.labels[rows], minlength=len(labels)) for rows in (members, plan[:, 0])
        )
    total = len(kept)
    facts = {
        "strategy": balance,
        "max_variants": max_variants,
        "transforms": dataclasses.asdict(transforms or Transforms()),
        "near": near,
        "seed": seed,
        "variants": len(joined) - len(pool),
        "cleaned": dataclasses.asdict(report),
        "dropped": pool.dropped,
        "unreadable": pool.unreadable,
        "groups": int(groups.max()) + 1,
        "shares": {split: int(sum(before[split])) / total for split in MANIFESTS},
        "wanted_shares": {split: part / FOLDS for split, part in zip(MANIFESTS, _PARTS, strict=True)},
    }
    return write_status(out, labels, before, after, facts)


def _originals(pool: FaceSplit) -> FaceSplit:
    """The pool without the variants that an earlier preparation made."""
    rows = np.flatnonzero(are_originals(pool.columns, np.arange(len(pool))))
    lists = {name: [getattr(pool, name)[i] for i in rows] for name in ("faces", "hashes", "where", "stored")}
    votes = None if pool.votes is None else pool.votes[rows]
    return dataclasses.replace(
        pool,
        labels=pool.labels[rows],
        votes=votes,
        columns={name: values[rows] for name, values in pool.columns.items()},
        **lists,
    )


def _write(
    out: Path, split: str, pool: FaceSplit, plan: np.ndarray, groups: dict[int, int], transforms: Transforms, seed: int
) -> None:
    """The images and the manifest of one split; `plan` int64 (N, 2) holds positions in `pool` and variant numbers, 0 being the original."""
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.prepare", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        required=True,
        help="what training.data.faces reads: a Hub id, a folder of parquet files, images or manifests, fer2013.csv",
    )
    parser.add_argument(
        "--root", type=Path, help="what the paths of manifests are relative to; default: the manifests' folder"
    )
    parser.add_argument("--out", required=True, type=Path, help="a new folder")
    parser.add_argument(
        "--labels",
        choices=tuple(LABEL_SETS),
        default=FER2013.name,
        help="label set of the new data; other labels are left out and counted",
    )
    parser.add_argument(
        "--balance",
        choices=STRATEGIES,
        default="none",
        help="max brings every class of the training split up to the largest one",
    )
    parser.add_argument("--max-variants", type=int, default=MAX_VARIANTS, help="most variants of one original")
    parser.add_argument(
        "--vertical-flip",
        type=float,
        default=0.0,
        metavar="CHANCE",
        help="chance of turning a variant upside down (the technical report: 0.1)",
    )
    parser.add_argument(
        "--near",
        type=float,
        default=THRESHOLD,
        help="correlation from which two images count as near copies; 0 looks for none",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the splits and the variants")
    args = parser.parse_args(argv)
    transforms = Transforms(vertical_flip=args.vertical_flip)
    status = prepare(
        args.data,
        args.out,
        LABEL_SETS[args.labels],
        args.balance,
        args.max_variants,
        transforms,
        args.near,
        args.seed,
        args.root,
    )
    for split, counts in status["splits"].items():
        old, new = sum(counts["before"].values()), sum(counts["after"].values())
        print(
            f"{split:10} {old:6} images, {status['shares'][split]:.2%}"
            + (f"; {new} after balancing" if new != old else "")
        )
        print("           " + ", ".join(f"{label} {count}" for label, count in counts["after"].items()))
    print(
        f"left out: {status['variants']} variants, {status['cleaned']}, labels {status['dropped']}, unreadable {len(status['unreadable'])}"
    )
    return status


if __name__ == "__main__":
    main()
