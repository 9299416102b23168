"""Measure all explanation methods on a balanced probe set and write a report.

    python -m training.explain_report --data D

Measures the map of every face, compares it with random maps and with the parts of the face in which each expression is
expected to show, and lists suspicious faces by row number. Writes `scores.json` and `index.html`, a page of aggregates;
neither holds an image of the data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.explanations.report import DEFAULT_METHODS, Settings, write_report

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write both files, and return the content of scores.json."""
    parser = argparse.ArgumentParser(
        prog="python -m training.explain_report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        required=True,
        help="a Hub id, a folder of parquet files, images or manifests, or fer2013.csv (see training.data.sources)",
    )
    parser.add_argument("--split", default="validation", help="the split to draw faces from (default: validation)")
    parser.add_argument("--per-class", type=int, default=8, help="number of faces per class (default: 8)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="an embedded name, a folder or a Hub id; may be repeated (default: all embedded)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        help=f"a method, or all; may be repeated (default: {', '.join(DEFAULT_METHODS)})",
    )
    parser.add_argument(
        "--target",
        choices=("predicted", "true"),
        default="predicted",
        help="class to explain: the prediction, or the face's label (default: predicted)",
    )
    parser.add_argument("--samples", type=int, default=500, help="network runs of LIME for one face (default: 500)")
    parser.add_argument(
        "--full", action="store_true", help="all metrics for LIME and SHAP too: six runs per face instead of one"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the drawn faces, LIME, SHAP and the intervals (default: 0)"
    )
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that stores every finished face for the next run; use a new one after an explainer changed",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("training/studies/explain"),
        help="folder of the report (default: training/studies/explain)",
    )
    args = parser.parse_args(argv)
    report = write_report(
        args.data,
        args.split,
        args.per_class,
        args.out,
        models=args.model,
        methods=args.method,
        settings=Settings(args.seed, args.samples, args.full, args.target),
        work=args.work,
    )
    print("\n".join(report["summary"]))
    size = (args.out / "index.html").stat().st_size
    print(f"{args.out}: {len(report['rows'])} maps of {report['faces']} faces, page of {size / 1024:.0f} KiB")
    return report


if __name__ == "__main__":
    main()
