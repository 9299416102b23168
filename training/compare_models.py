"""Every trained model in one table, and pairs with and without pretraining: `python -m training.compare_models --runs runs/* --all`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import embedded_checkpoints
from training.benchmark import machine
from training.comparison import checkpoint_row, pretraining_pairs, registry_rows, run_row
from training.comparison_text import page

__all__ = ["compare", "main"]

STUDY = Path(__file__).parent / "studies" / "models.md"


def compare(checkpoints: list[str], runs: list[Path], target: float, data: str | None = None, everything: bool = False) -> dict[str, Any]:
    """The comparison, plain JSON types: a row a model, and the pairs of one network with and without pretraining.

    `target` is the validation accuracy, 0..1, whose epoch is looked up; `data` measures every model on its validation split anew; `everything` lists the
    registered networks that have no row, too.
    """
    rows = [checkpoint_row(name, target, data) for name in checkpoints] + [run_row(folder, target, data) for folder in runs]
    untrained = registry_rows({row["model"] for row in rows}) if everything else []
    return {"target": target, "machine": machine(), "models": rows, "untrained": untrained, "pairs": pretraining_pairs(rows)}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.compare_models", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoints", nargs="*", default=list(embedded_checkpoints()), metavar="C", help="names, folders or Hub ids; the embedded ones by default"
    )
    parser.add_argument("--runs", nargs="*", type=Path, default=[], metavar="FOLDER", help="--out folders of training.train")
    parser.add_argument("--data", help="measure every model on this data's validation split, without the images it shares with test")
    parser.add_argument("--target", type=float, default=0.6, help="validation accuracy whose epoch tells how fast a run converges (default .6)")
    parser.add_argument("--all", action="store_true", help="list the registered networks without a trained model, with their parameters")
    parser.add_argument("--out", type=Path, default=STUDY, help="the page; the figures go beside it as .json")
    args = parser.parse_args(argv)
    result = compare(args.checkpoints, args.runs, args.target, args.data, args.all)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.out.write_text(page(result))
    print(page(result))
    return result


if __name__ == "__main__":
    main()
