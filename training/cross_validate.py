"""Cross-validate a recipe on the training split: `python -m training.cross_validate --recipe R.toml --data D --out O --folds 5`.

Copies and near copies of a face stay in one fold, labels are spread evenly. Each fold is a run of its own under `--out`, so a stopped
cross-validation goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from emotion_hub.errors import ConfigError
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data import prepare_planes
from training.duplicates import group_copies
from training.recipe import load_recipe
from training.session import RunData, load_run_data, run

__all__ = ["folds_of", "main"]


def folds_of(data: RunData, folds: int, seed: int) -> list[RunData]:
    """For each fold the run that trains on the others and chooses its epoch on this one; raises ConfigError for fewer than two folds."""
    if folds < 2:
        raise ConfigError(f"folds={folds}: cross-validation needs at least 2")
    kept = data.train_indices
    groups = group_copies([data.train.hashes[i] for i in kept], prepare_planes(data.train, Preprocessor(NATIVE48), kept))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(kept)), data.train.labels[kept], groups)
    return [
        replace(
            data,
            train_indices=kept[train],
            validation=data.train,
            validation_indices=kept[held],
            counts=data.counts | {"kept": len(train), "validation": len(held)},
        )
        for train, held in parts
    ]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.cross_validate", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="a .toml file of training/runs/")
    parser.add_argument("--data", required=True, help="what training.train takes")
    parser.add_argument("--out", required=True, type=Path, help="folder for the folds' runs and summary.json")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--init", type=Path, help="starting weights, where the recipe wants some")
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe)
    data = load_run_data(args.data, recipe, args.out / "near.npz")
    rows = []
    for number, fold in enumerate(folds_of(data, args.folds, recipe.seed), start=1):
        print(f"fold {number}/{args.folds}: {len(fold.train_indices)} faces to train on, {len(fold.validation_indices)} held out", flush=True)
        history = run(recipe, fold, args.out / f"fold{number}", init=args.init)
        best = max(history["epochs"], key=lambda e: e[f"val_{recipe.select}"])
        rows.append({"fold": number, "train": len(fold.train_indices), "validation": len(fold.validation_indices), "epoch": best["epoch"]})
        rows[-1] |= {"accuracy": best["val_accuracy"], "macro_f1": best["val_macro_f1"]}
    summary: dict[str, Any] = {"recipe": recipe.name, "selected_on": "the held-out fold, so these figures flatter a little", "folds": rows}
    for name in ("accuracy", "macro_f1"):
        values = [row[name] for row in rows]
        summary[name] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
        print(f"{name}: {summary[name]['mean']:.4f} ± {summary[name]['sd']:.4f} over {args.folds} folds")
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


if __name__ == "__main__":
    main()
