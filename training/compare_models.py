"""Every trained model in one table, and pairs with and without pretraining: `python -m training.compare_models --runs runs/* --all`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import InputError
from training.evaluation.latency import machine
from training.studies.comparison import checkpoint_row, pretraining_pairs, registry_rows, run_row
from training.studies.comparison_text import page

__all__ = ["compare", "main"]

STUDY = Path(__file__).parent / "studies" / "models.md"


def compare(
    checkpoints: list[str],
    runs: list[Path],
    target: float,
    data: str | None = None,
    everything: bool = False,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The comparison, plain JSON types: a row a model, and the pairs of one network with and without pretraining.

    `target` is the validation accuracy, 0..1, whose epoch is looked up; `data` measures every model on its validation split anew; `everything` lists the
    registered networks that have no row, too. Models of an `earlier` comparison that are not named now keep their rows, each with the machine it was
    measured on. Raises InputError when that one had another target.
    """
    before = kept_rows(earlier, target) if earlier else []
    rows = [checkpoint_row(name, target, data) for name in checkpoints] + [
        run_row(folder, target, data) for folder in runs
    ]
    named = {row["name"] for row in rows}
    rows = [row for row in before if row["name"] not in named] + rows
    rows.sort(key=lambda row: row["kind"] != "checkpoint")  # stable: checkpoints, runs as they came
    untrained = registry_rows({row["model"] for row in rows}) if everything else []
    return {
        "target": target,
        "machine": machine(),
        "models": rows,
        "untrained": untrained,
        "pairs": pretraining_pairs(rows),
    }


def kept_rows(earlier: Mapping[str, Any], target: float) -> list[dict[str, Any]]:
    """The rows of an earlier comparison, each with its machine; raises InputError when its target was another."""
    if earlier["target"] != target:
        raise InputError(
            f"the rows to keep count epochs to {earlier['target']:g}, the new ones to {target:g}; give --target {earlier['target']:g}"
        )
    return [{"measured_on": earlier["machine"], **row} for row in earlier["models"]]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.compare_models", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoints",
        nargs="*",
        default=list(embedded_checkpoints()),
        metavar="C",
        help="names, folders or Hub ids; the embedded ones by default",
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
        help="validation accuracy whose epoch tells how fast a run converges (default .6)",
    )
    parser.add_argument(
        "--all", action="store_true", help="list the registered networks without a trained model, with their parameters"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the rows of the figures beside --out for models that are not named now",
    )
    parser.add_argument("--out", type=Path, default=STUDY, help="the page; the figures go beside it as .json")
    args = parser.parse_args(argv)
    figures = args.out.with_suffix(".json")
    if args.keep and not figures.is_file():
        raise InputError(f"{figures} is not there, so that no row can be kept; leave --keep out")
    result = compare(
        args.checkpoints,
        args.runs,
        args.target,
        args.data,
        args.all,
        json.loads(figures.read_text()) if args.keep else None,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(result, indent=1) + "\n")
    args.out.write_text(page(result))
    print(page(result))
    return result


if __name__ == "__main__":
    main()
