"""Cross-validation: folds that never divide copies, runs, summary.

Copies and near copies of a face, shifted ones included, and the images of one `group` of the data stay in one
fold. Labels are spread evenly over the folds. Transformed copies (`variant` above 0) are trained on and never
held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from emotion_hub.errors import ConfigError
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.data.balance import are_originals, known_groups
from training.data.duplicates import MAX_SHIFT, THRESHOLD, group_copies
from training.data.faces import prepare_planes
from training.data.files import write_json
from training.fit.recipe import Recipe
from training.fit.run_folder import best_epoch
from training.fit.session import RunData, load_run_data, run

__all__ = ["cross_validate", "folds_of"]


def folds_of(data: RunData, folds: int, seed: int, near: float | None = THRESHOLD) -> list[RunData]:
    """The data of each fold's run, which trains on the other folds and chooses its epoch on this one.

    `near` is the correlation from which two faces count as near copies (None: exact copies only). Raises ConfigError
    for fewer than two folds and for data with fewer groups than folds.
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
    candidates, candidate_groups = kept[original], groups[original]
    if (count := len(np.unique(candidate_groups))) < folds:
        raise ConfigError(
            f"folds={folds}: the images form {count} groups that are never divided; choose fewer folds with --folds, "
            "or add images"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = []
    for _, held_out in splitter.split(np.zeros(len(candidates)), data.train.labels[candidates], candidate_groups):
        train = kept[~np.isin(groups, candidate_groups[held_out])]
        counts = data.counts | {"kept": len(train), "validation": len(held_out)}
        parts.append(
            replace(
                data,
                train_indices=train,
                validation=data.train,
                validation_indices=candidates[held_out],
                counts=counts,
            )
        )
    return parts


def cross_validate(
    recipe: Recipe, data: str | Path, out: Path, folds: int = 5, init: Path | None = None
) -> dict[str, Any]:
    """Train one run per fold under `out`, and return the summary, which is also written to `out`/summary.json.

    Finished folds are not trained again. Raises ConfigError for a recipe whose starting weights or teachers were
    trained on the faces that a fold holds out.
    """
    if recipe.distill:
        raise ConfigError(
            f"distill={recipe.distill} of recipe {recipe.name!r}: a teacher that was trained on the held-out "
            "fold would "
            "reveal its labels; cross-validate a recipe without distill"
        )
    if recipe.init == "checkpoint":
        raise ConfigError(
            f"init='checkpoint' of recipe {recipe.name!r}: weights that were trained on the held-out fold contain its "
            "labels; cross-validate a recipe that starts at random or from pretrained weights"
        )
    splits = load_run_data(data, recipe, out / "near.npz")
    rows = []
    for number, fold in enumerate(folds_of(splits, folds, recipe.seed, recipe.near), start=1):
        sizes = {"train": len(fold.train_indices), "validation": len(fold.validation_indices)}
        print(f"fold {number}/{folds}: {sizes['train']} training faces, {sizes['validation']} held out", flush=True)
        best = best_epoch(run(recipe, fold, out / f"fold{number}", init=init))
        rows.append(
            {
                "fold": number,
                **sizes,
                "epoch": best["epoch"],
                "accuracy": best["val_accuracy"],
                "macro_f1": best["val_macro_f1"],
            }
        )
    summary = {
        "recipe": recipe.name,
        "selected_on": "the held-out fold, so these figures are slightly optimistic",
        "folds": rows,
        "accuracy": _mean_and_sd([row["accuracy"] for row in rows]),
        "macro_f1": _mean_and_sd([row["macro_f1"] for row in rows]),
    }
    write_json(out / "summary.json", summary)
    return summary


def _mean_and_sd(values: Sequence[float]) -> dict[str, float]:
    """Mean and sample standard deviation."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
