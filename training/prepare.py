"""Prepare a data set for training: clean, group copies, split, balance.

    python -m training.prepare --data D --out FOLDER [--balance max] [--labels six_class]

training.data.prepare describes the steps. FOLDER gets class folders, manifests and statistics.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion_hub.labels import label_set
from training.data.arguments import add_data, add_labels, add_near, add_root
from training.data.balance import MAX_VARIANTS, STRATEGIES, Transforms
from training.data.prepare import prepare

__all__ = ["main"]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Write the data set, print its class counts, and return the content of status.json."""
    parser = argparse.ArgumentParser(prog="training.prepare", description=__doc__.splitlines()[0])
    add_data(parser)
    add_root(parser)
    parser.add_argument("--out", required=True, type=Path, help="a new folder")
    add_labels(parser)
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
        metavar="PROBABILITY",
        help="probability that a variant is flipped vertically (the technical report: 0.1)",
    )
    add_near(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits and the variants")
    args = parser.parse_args(argv)
    transforms = Transforms(vertical_flip=args.vertical_flip)
    labels = label_set(args.labels)
    status = prepare(
        args.data, args.out, labels, args.balance, args.max_variants, transforms, args.near, args.seed, args.root
    )
    for split, counts in status["splits"].items():
        before, after = sum(counts["before"].values()), sum(counts["after"].values())
        balanced = f"; {after} after balancing" if after != before else ""
        print(f"{split:10} {before:6} images, {status['shares'][split]:.2%}{balanced}")
        print("           " + ", ".join(f"{label} {count}" for label, count in counts["after"].items()))
    print(
        f"left out: {status['variants']} variants, {status['cleaned']}, labels {status['dropped']}, "
        f"unreadable {len(status['unreadable'])}"
    )
    return status


if __name__ == "__main__":
    main()
