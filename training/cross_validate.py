"""Cross-validate a recipe on the training split.

    python -m training.cross_validate --recipe R.toml --data D --out O --folds 5

Each fold is a run of its own under `--out`: the same command continues a cross-validation that was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from training.fit.cross_validate import cross_validate
from training.fit.recipe import load_recipe

__all__ = ["main"]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Train all folds, print mean and standard deviation, and return the summary."""
    parser = argparse.ArgumentParser(prog="training.cross_validate", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="a .toml file of training/runs/")
    parser.add_argument("--data", required=True, help="the data set, in any form that training.train reads")
    parser.add_argument("--out", required=True, type=Path, help="folder for the folds' runs and summary.json")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--init", type=Path, help="starting weights, if the recipe needs a file")
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    summary = cross_validate(load_recipe(args.recipe), args.data, args.out, args.folds, args.init)
    for name in ("accuracy", "macro_f1"):
        print(f"{name}: {summary[name]['mean']:.4f} ± {summary[name]['sd']:.4f} over {args.folds} folds")
    return summary


if __name__ == "__main__":
    main()
