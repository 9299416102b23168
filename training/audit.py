"""Audit a data set: copies, conflicting labels, unusual images.

python -m training.audit --data D [--json FILE|-]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.labels import label_set
from training.data.arguments import add_data, add_labels, add_near, add_root
from training.data.audit_text import render
from training.data.faces import load_splits
from training.data.quality import quality_report
from training.data.selection import near_threshold

__all__ = ["main"]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Print the audit, as text or JSON, and return it."""
    parser = argparse.ArgumentParser(prog="training.audit", description=__doc__.splitlines()[0])
    add_data(parser)
    add_root(parser)
    add_labels(parser)
    add_near(parser)
    parser.add_argument(
        "--json", metavar="FILE", help="also write the report to this file; - prints it instead of the text"
    )
    args = parser.parse_args(argv)
    near = near_threshold(args.near)
    splits = load_splits(args.data, label_set(args.labels), args.root)
    if not any(len(split) for split in splits.values()):
        fault = next((row for split in splits.values() for row in split.unreadable), "the data has no rows")
        raise InputError(f"no image of {args.data} can be read. The first fault: {fault}")
    report = {"data": Path(args.data).name, **quality_report(splits, near)}
    text = json.dumps(report, indent=2)
    if args.json and args.json != "-":
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    sys.stdout.write((text if args.json == "-" else render(report)) + "\n")
    return report


if __name__ == "__main__":
    main()
