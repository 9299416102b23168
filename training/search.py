"""Search the settings of a recipe with Optuna.

    python -m training.search --recipe R.toml --space S.toml --data D --out O --trials 20

training.fit.search describes the search space, a TOML file. Each trial is a run of its own under `--out`; its value is
the recipe's `select` score on validation. The study is stored there too: the same command continues it, also after it
was killed in the middle of a trial. One process at a time may use the folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from emotion_hub.errors import ConfigError
from training.fit.recipe import load_recipe
from training.fit.search import load_space, search

__all__ = ["main"]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the trials, print the best one and return the summary."""
    parser = argparse.ArgumentParser(prog="training.search", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="the .toml file to start from")
    parser.add_argument("--space", required=True, type=Path, help="the settings to search, as TOML")
    parser.add_argument("--data", required=True, help="the data set, in any form that training.train reads")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the trials' runs, the study and summary.json"
    )
    parser.add_argument("--trials", type=int, default=20, help="total number of trials, earlier ones included")
    parser.add_argument("--init", type=Path, help="starting weights, if the recipe needs a file")
    parser.add_argument(
        "--teacher", action="append", default=[], help="a checkpoint to learn from (recipe: distill); may be repeated"
    )
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    args = parser.parse_args(argv)
    if args.trials < 1:
        raise ConfigError(f"--trials {args.trials}: a search needs at least 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe, space = load_recipe(args.recipe), load_space(args.space)
    summary = search(recipe, space, args.data, args.out, args.trials, init=args.init, teachers=args.teacher)
    print(f"best of {len(summary['trials'])} trials: {summary['best']['value']:.4f} with {summary['best']['params']}")
    return summary


if __name__ == "__main__":
    main()
