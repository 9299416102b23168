"""Command-line arguments that the data commands share: data, labels, near."""

from __future__ import annotations

import argparse
from pathlib import Path

from emotion_hub.labels import FER2013, LABEL_SETS
from training.data.duplicates import THRESHOLD

__all__ = ["add_data", "add_labels", "add_near", "add_root"]


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data, in any form that `training.data.sources` reads."""
    parser.add_argument(
        "--data",
        required=True,
        help="a Hub id, a folder of parquet files, images or manifests, or fer2013.csv (see training.data.sources)",
    )


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add --root, the folder of the paths in manifests."""
    parser.add_argument(
        "--root", type=Path, help="folder that the paths of manifests are relative to (default: the manifests' folder)"
    )


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add --labels, whose value `emotion_hub.labels.label_set` takes."""
    parser.add_argument(
        "--labels",
        metavar="SET",
        default=FER2013.name,
        help=f"{', '.join(LABEL_SETS)} or labels separated by commas; other labels are left out and counted",
    )


def add_near(parser: argparse.ArgumentParser) -> None:
    """Add --near, whose value `training.data.selection.near_threshold` takes."""
    parser.add_argument(
        "--near",
        type=float,
        default=THRESHOLD,
        metavar="CORRELATION",
        help=f"correlation from which two images count as near copies (default {THRESHOLD:g}); 0: off",
    )
