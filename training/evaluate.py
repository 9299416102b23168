"""Measure a checkpoint on one split of a data set, or on labelled images.

    python -m training.evaluate --checkpoint C --data D --split test --out report.json
    python -m training.evaluate --checkpoint C --data IMAGES --groups age,gender --map joy=happy --errors errors.html

IMAGES is a folder with one sub-folder of images per label, or with labels.csv or metadata.csv: a file name, a label and
other columns per row. All of its images are measured; photos by their largest face. `--groups`, `--map`, `--errors` and
`--no-detect` measure any other data in the same way.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.data.duplicates import THRESHOLD
from training.data.faces import SPLITS
from training.data.files import write_json
from training.data.labelled_folder import is_own
from training.evaluation.error_page import check_page_name, write_error_page
from training.evaluation.evaluate import evaluate
from training.evaluation.group_tests import PERMUTATIONS
from training.evaluation.groups import MINIMUM
from training.evaluation.label_map import parse_map
from training.evaluation.measure import CROP_SHARE
from training.evaluation.own_data import evaluate_own
from training.evaluation.own_summary import own_markdown
from training.evaluation.own_types import OwnReport
from training.evaluation.plots import write_plots
from training.evaluation.report_types import Report
from training.evaluation.summary import markdown

__all__ = ["main"]


def main(argv: list[str] | None = None) -> Report | OwnReport:
    """Measure, write and print the report; returns it."""
    parser = _parser()
    args = parser.parse_args(argv)
    if _is_own(args):
        _refuse_split_options(parser, args)
        return _measure_own(args)
    report = evaluate(
        args.checkpoint,
        args.data,
        args.split or "validation",
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="native48", help="embedded name, folder or Hub id (default: native48)")
    parser.add_argument(
        "--data", required=True, help="a data set in any form that training.data.faces reads, or a Hub id"
    )
    parser.add_argument(
        "--split", choices=SPLITS, help="default: validation; for one's own images, all of them are measured by default"
    )
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
    own = parser.add_argument_group("one's own images")
    own.add_argument(
        "--groups",
        metavar="COLUMN[,COLUMN]",
        help="figures for each value of these columns, and permutation tests of the gaps between them",
    )
    own.add_argument(
        "--map", metavar="NAME=LABEL[,...]", help="labels of other names, such as joy=happy; NAME= leaves a name out"
    )
    own.add_argument(
        "--no-detect", dest="detect", action="store_false", help="the images are cropped faces; take each whole"
    )
    own.add_argument(
        "--min-group",
        type=int,
        default=MINIMUM,
        metavar="N",
        help=f"nothing is claimed of smaller groups (default: {MINIMUM})",
    )
    own.add_argument("--permutations", type=int, default=PERMUTATIONS, help=f"of each test (default: {PERMUTATIONS:,})")
    own.add_argument(
        "--errors",
        type=Path,
        metavar="FILE.html",
        help="write a private page with the faces that are predicted wrongly; nothing is sent anywhere",
    )
    return parser


def _is_own(args: argparse.Namespace) -> bool:
    """Whether to measure one's own images: an option of theirs is given, or the data has no splits."""
    asked = args.groups or args.map or args.errors or not args.detect
    return bool(asked) or (args.split is None and is_own(args.data))


def _refuse_split_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    given = {
        "--near": args.near,
        "--ten-crop": args.ten_crop,
        "--slice": args.slice,
        "--robustness": args.robustness,
        "--yunet": args.yunet,
        "--plots": args.plots,
    }
    if names := [name for name, value in given.items() if value]:
        parser.error(f"{', '.join(names)}: for a split of a data set, not for one's own images; leave it out")


def _measure_own(args: argparse.Namespace) -> OwnReport:
    if args.errors:
        check_page_name(args.errors)
    evaluation = evaluate_own(
        args.checkpoint,
        args.data,
        split=args.split,
        groups=[name.strip() for name in (args.groups or "").split(",") if name.strip()],
        mapping=parse_map(args.map),
        detect=args.detect,
        minimum=args.min_group,
        permutations=args.permutations,
    )
    if args.out:
        write_json(args.out, evaluation.report)
    print(own_markdown(evaluation.report))
    if args.errors:
        count = write_error_page(evaluation, args.errors)
        print(f"{args.errors}: {count} wrongly predicted faces; keep this file private")
    return evaluation.report


if __name__ == "__main__":
    main()
