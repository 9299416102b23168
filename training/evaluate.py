"""Measure a checkpoint on one split of a data set and write the report.

python -m training.evaluate --checkpoint C --data D --split test --out report.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.data.duplicates import THRESHOLD
from training.data.faces import SPLITS
from training.data.files import write_json
from training.evaluation.evaluate import evaluate
from training.evaluation.measure import CROP_SHARE
from training.evaluation.plots import write_plots
from training.evaluation.report_types import Report
from training.evaluation.summary import markdown

__all__ = ["main"]


def main(argv: list[str] | None = None) -> Report:
    """Measure, write and print the report; returns it."""
    parser = argparse.ArgumentParser(prog="training.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="embedded name, folder or Hub id")
    parser.add_argument(
        "--data", required=True, help="a data set in any form that training.data.faces reads, or a Hub id"
    )
    parser.add_argument("--split", default="validation", choices=SPLITS)
    parser.add_argument(
        "--near",
        type=float,
        nargs="?",
        default=0.0,
        const=THRESHOLD,
        metavar="CORRELATION",
        help="also measure without images that have a near copy in train, from this correlation; "
        f"without a value {THRESHOLD:g} (about a minute on FER2013); default 0: not measured",
    )
    parser.add_argument(
        "--ten-crop",
        action="store_true",
        help=f"also measure the average of ten crops of {CROP_SHARE:g} of the side (10 times the work)",
    )
    parser.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="COLUMN",
        help="figures for each value of a column of the data; may be repeated",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="figures under corruptions and an adversarial step (19 times the work)",
    )
    parser.add_argument(
        "--yunet", type=Path, metavar="FILE", help="YuNet's ONNX file: measure its crops of 48-pixel faces"
    )
    parser.add_argument("--out", type=Path, help="where to write the report as JSON")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="where to write report.md and the drawings")
    args = parser.parse_args(argv)
    report = evaluate(
        args.checkpoint,
        args.data,
        args.split,
        near=args.near,
        ten_crop=args.ten_crop,
        slices=args.slice,
        robust=args.robustness,
        yunet=args.yunet,
    )
    if args.out:
        write_json(args.out, report)
    if args.plots:
        drawings = write_plots(report, args.plots)
        (args.plots / "report.md").write_text(markdown(report, drawings))
    print(markdown(report))
    return report


if __name__ == "__main__":
    main()
