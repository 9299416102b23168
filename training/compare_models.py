"""Compare all trained models: accuracy, cost, effect of pretraining.

python -m training.compare_models --runs runs/* --all
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import InputError
from training.data.files import write_json
from training.studies.comparison import compare
from training.studies.comparison_text import page

__all__ = ["main"]

STUDY = Path(__file__).parent / "studies" / "models.md"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Write and print the page, write its figures, and return them."""
    parser = argparse.ArgumentParser(prog="training.compare_models", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoints",
        nargs="*",
        default=list(embedded_checkpoints()),
        metavar="C",
        help="names, folders or Hub ids (default: the embedded ones)",
    )
    parser.add_argument(
        "--runs", nargs="*", type=Path, default=[], metavar="FOLDER", help="--out folders of training.train"
    )
    parser.add_argument(
        "--data", help="measure every model on this data's validation split, without the images it shares with test"
    )
    parser.add_argument(
        "--target",
        type=float,
        default=0.6,
        help="validation accuracy; the table counts the epochs until a run reaches it (default .6)",
    )
    parser.add_argument("--all", action="store_true", help="also list the registered networks without a trained model")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the rows in the figures beside --out of models that are not named now",
    )
    parser.add_argument("--out", type=Path, default=STUDY, help="the page; its figures are written beside it as .json")
    args = parser.parse_args(argv)
    figures = args.out.with_suffix(".json")
    if args.keep and not figures.is_file():
        raise InputError(f"{figures} does not exist, so there are no rows to keep; leave --keep out")
    earlier = json.loads(figures.read_text()) if args.keep else None
    result = compare(args.checkpoints, args.runs, args.target, args.data, args.all, earlier)
    write_json(figures, result)
    args.out.write_text(page(result))
    print(page(result))
    return result


if __name__ == "__main__":
    main()
