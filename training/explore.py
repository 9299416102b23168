"""Exploratory analysis as one page: `python -m training.explore --data D --out explore.html`.

Counts, shares, statistics, stored forms, faults, light, FER+ agreement and mean faces. The page shows aggregates alone, no image of the data,
and asks nothing of the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, LABEL_SETS
from training.data.duplicates import THRESHOLD
from training.data.exploration import label_vote_table, light_by_class, mean_faces, planes_of, vote_statistics
from training.data.exploration_page import render_page
from training.data.faces import FaceSplit, join_splits, load_splits, near_threshold
from training.data.quality import quality_report

__all__ = ["explore", "main"]


def explore(splits: dict[str, FaceSplit], near: float | None = THRESHOLD) -> dict[str, Any]:
    """Everything the page shows; `near` None leaves out the near copies, which take the time."""
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.explore", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        required=True,
        help="what training.data.faces reads: a Hub id, a folder of parquet files, images or manifests, fer2013.csv",
    )
    parser.add_argument(
        "--root", type=Path, help="what the paths of manifests are relative to; default: the manifests' folder"
    )
    parser.add_argument("--out", required=True, type=Path, help="the page to write")
    parser.add_argument(
        "--labels",
        choices=tuple(LABEL_SETS),
        default=FER2013.name,
        help="label set; images with other labels are counted and left out",
    )
    parser.add_argument(
        "--near",
        type=float,
        default=THRESHOLD,
        metavar="CORRELATION",
        help="from which two images count as near copies; 0 does not look for any",
    )
    args = parser.parse_args(argv)
    near = near_threshold(args.near)
    splits = load_splits(args.data, LABEL_SETS[args.labels], args.root)
    if not any(len(split) for split in splits.values()):
        raise InputError(
            f"no image of {args.data} can be read; python -m training.audit --data {args.data} lists the faults"
        )
    found = explore(splits, near)
    page = render_page(Path(args.data).stem, found)
    args.out.write_text(page, encoding="utf-8")
    print(f"{args.out}: {len(page.encode()) / 1024:.0f} KiB")
    return found


if __name__ == "__main__":
    main()
