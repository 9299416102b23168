"""Search a recipe's settings with Optuna: `python -m training.search --recipe R.toml --space S.toml --data D --out O --trials 20`.

The space is a TOML file, a table a setting: `[lr]` with `low`, `high` and, where wanted, `log = true`, or `choices = [...]`; a dot reaches inside
(`["augmentation.rotate"]`, `["options.dropout"]`). Each trial is a run of its own under `--out`, scored by the recipe's `select` on
validation; the study is kept there too and goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import optuna
import torch

from emotion_hub.errors import ConfigError
from training.recipe import Recipe, load_recipe
from training.session import load_run_data, run

__all__ = ["main", "suggest", "with_params"]


def suggest(trial: optuna.Trial, space: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One value a setting; raises ConfigError for a table that is neither a range nor a choice."""
    params = {}
    for name, how in space.items():
        if set(how) == {"choices"}:
            params[name] = trial.suggest_categorical(name, how["choices"])
        elif {"low", "high"} <= set(how) <= {"low", "high", "log"}:
            whole = isinstance(how["low"], int) and isinstance(how["high"], int)
            params[name] = (trial.suggest_int if whole else trial.suggest_float)(name, how["low"], how["high"], log=how.get("log", False))
        else:
            raise ConfigError(f"space of {name!r} is {how}; give low and high (and log), or choices")
    return params


def with_params(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    """The recipe with these settings; raises ConfigError for a key no recipe has."""
    values = recipe.to_dict()
    for name, value in params.items():
        outer, _, inner = name.partition(".")
        if inner and isinstance(values.get(outer), dict):
            values[outer] = {**values[outer], inner: value}
        else:
            values[name] = value
    return Recipe.from_dict(values)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.search", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="the .toml file to start from")
    parser.add_argument("--space", required=True, type=Path, help="the settings to search, as TOML")
    parser.add_argument("--data", required=True, help="what training.train takes")
    parser.add_argument("--out", required=True, type=Path, help="folder for the trials' runs, the study and summary.json")
    parser.add_argument("--trials", type=int, default=20, help="how many trials there are in all, earlier ones included")
    parser.add_argument("--init", type=Path, help="starting weights, where the recipe wants some")
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe)
    space = tomllib.loads(args.space.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(args.out / "study.log")))
    sampler = optuna.samplers.TPESampler(seed=recipe.seed)
    study = optuna.create_study(study_name=recipe.name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True)
    data = load_run_data(args.data, recipe, args.out / "near.npz")

    def objective(trial: optuna.Trial) -> float:
        params = suggest(trial, space)
        history = run(with_params(recipe, params), data, args.out / f"trial{trial.number}", init=args.init)
        return max(epoch[f"val_{recipe.select}"] for epoch in history["epochs"])

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(0, args.trials - done))
    trials = [{"number": t.number, "value": t.value, "params": t.params} for t in study.trials if t.value is not None]
    best = max(trials, key=lambda t: t["value"])
    summary = {"recipe": recipe.name, "select": recipe.select, "space": space, "trials": trials, "best": best}
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"best of {len(trials)} trials: {best['value']:.4f} with {best['params']}")
    return summary


if __name__ == "__main__":
    main()
