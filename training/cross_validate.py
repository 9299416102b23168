"""Cross-validate a recipe on the training split: `python -m training.cross_validate --recipe R.toml --data D --out O --folds 5`.

Copies and near copies of a face, shifted ones among them, and the images of one `group` of the data stay in one fold; labels are spread evenly, and
transformed copies (`variant` above 0) are trained on but never held out. Each fold is a run of its own under `--out`, so a stopped cross-validation
goes on with the same command.
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
from training.data.balance import are_originals, known_groups
from training.data.duplicates import MAX_SHIFT, THRESHOLD, group_copies
from training.data.faces import prepare_planes
from training.fit.recipe import load_recipe
from training.fit.session import RunData, load_run_data, run

__all__ = ["folds_of", "main"]


def folds_of(data: RunData, folds: int, seed: int, near: float | None = THRESHOLD) -> list[RunData]:
    """For each fold the run that trains on the others and chooses its epoch on this one.

    `near` is the correlation from which two faces count as near copies (None: exact copies alone). Raises ConfigError for fewer than two folds and
    for data with fewer groups than folds.
    """
    if folds < 2:
        raise ConfigError(f"folds={folds}: cross-validation needs at least 2")
    kept = data.train_indices
    planes = prepare_planes(data.train, Preprocessor(NATIVE48), kept)
    groups = group_copies(
        [data.train.hashes[i] for i in kept],
        planes,
        near,
        known=known_groups(data.train.columns, kept),
        max_shift=MAX_SHIFT,
    )
    original = are_originals(data.train.columns, kept)
    candidates, homes = kept[original], groups[original]
    if (count := len(np.unique(homes))) < folds:
        raise ConfigError(
            f"folds={folds}: the images make {count} groups that are never divided; ask for fewer folds with --folds, or add images"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = []
    for _, held in splitter.split(np.zeros(len(candidates)), data.train.labels[candidates], homes):
        train = kept[~np.isin(groups, homes[held])]
        counts = data.counts | {"kept": len(train), "validation": len(held)}
        found.append(
            replace(
                data, train_indices=train, validation=data.train, validation_indices=candidates[held], counts=counts
            )
        )
    return found


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
    if recipe.distill:
        raise ConfigError(
            f"distill={recipe.distill} of recipe {recipe.name!r}: a teacher that was trained on the held-out fold would tell its labels; "
            "cross-validate a recipe without distill"
        )
    if recipe.init == "checkpoint":
        raise ConfigError(
            f"init='checkpoint' of recipe {recipe.name!r}: weights that were trained on the held-out fold know its labels; "
            "cross-validate a recipe that starts at random or from pretrained weights"
        )
    data = load_run_data(args.data, recipe, args.out / "near.npz")
    rows = []
    for number, fold in enumerate(folds_of(data, args.folds, recipe.seed, recipe.near), start=1):
        print(
            f"fold {number}/{args.folds}: {len(fold.train_indices)} faces to train on, {len(fold.validation_indices)} held out",
            flush=True,
        )
        history = run(recipe, fold, args.out / f"fold{number}", init=args.init)
        best = max(history["epochs"], key=lambda e: e[f"val_{recipe.select}"])
        rows.append(
            {
                "fold": number,
                "train": len(fold.train_indices),
                "validation": len(fold.validation_indices),
                "epoch": best["epoch"],
            }
        )
        rows[-1] |= {"accuracy": best["val_accuracy"], "macro_f1": best["val_macro_f1"]}
    summary: dict[str, Any] = {
        "recipe": recipe.name,
        "selected_on": "the held-out fold, so these figures flatter a little",
        "folds": rows,
    }
    for name in ("accuracy", "macro_f1"):
        values = [row[name] for row in rows]
        summary[name] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
        print(f"{name}: {summary[name]['mean']:.4f} ± {summary[name]['sd']:.4f} over {args.folds} folds")
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


if __name__ == "__main__":
    main()
