"""Write the exploratory analysis of a data set as an HTML page.

    python -m training.explore --data D --out explore.html

The page has class counts, stored formats, faults, brightness and contrast, FER+ agreement and mean faces. It shows
aggregates only, no image of the data, and loads nothing from the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.labels import label_set
from training.data.arguments import add_data, add_labels, add_near, add_root
from training.data.exploration import explore
from training.data.exploration_page import render_page
from training.data.faces import load_splits
from training.data.selection import near_threshold

__all__ = ["main"]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Write the page and return the analysis."""
    parser = argparse.ArgumentParser(prog="training.explore", description=__doc__.splitlines()[0])
    add_data(parser)
    add_root(parser)
    parser.add_argument("--out", required=True, type=Path, help="the page to write")
    add_labels(parser)
    add_near(parser)
    args = parser.parse_args(argv)
    near = near_threshold(args.near)
    splits = load_splits(args.data, label_set(args.labels), args.root)
    if not any(len(split) for split in splits.values()):
        raise InputError(
            f"no image of {args.data} can be read; python -m training.audit --data {args.data} lists the faults"
        )
    analysis = explore(splits, near)
    page = render_page(Path(args.data).stem, analysis)
    args.out.write_text(page, encoding="utf-8")
    print(f"{args.out}: {len(page.encode()) / 1024:.0f} KiB")
    return analysis


if __name__ == "__main__":
    main()
