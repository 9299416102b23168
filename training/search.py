"""Search a recipe's settings with Optuna: `python -m training.search --recipe R.toml --space S.toml --data D --out O --trials 20`.

The space is a TOML file, a table a setting: `[lr]` with `low`, `high` and, where wanted, `log = true`, or `choices = [...]`; a dot reaches inside
(`["augmentation.rotate"]`, `["options.dropout"]`). Each trial is a run of its own under `--out`, scored by the recipe's `select` on
validation; the study is kept there too and goes on with the same command, one process at a time: a trial that a kill cut short is taken up again.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import TrialState

from emotion_hub.errors import ConfigError
from training.fit.recipe import Recipe, load_recipe
from training.fit.session import load_run_data, run

__all__ = ["load_space", "main", "open_study", "suggest", "with_params"]


def load_space(path: Path) -> dict[str, dict[str, Any]]:
    """The settings to search; raises ConfigError for a file that is missing, not TOML, empty, or has a setting without a range or choices."""
    try:
        space = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no search space at {path}; write a TOML file with a table a setting") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a search space: {error}") from error
    if not space:
        raise ConfigError(f"{path} is empty; give it a table a setting, such as [lr] with low and high")
    suggest(optuna.create_study().ask(), space)  # before any data is read
    return space


def suggest(trial: optuna.Trial, space: dict[str, Any]) -> dict[str, Any]:
    """One value a setting; raises ConfigError for what is neither a range nor a choice."""
    params = {}
    for name, how in space.items():
        keys = set(how) if isinstance(how, dict) else set()
        if keys != {"choices"} and not {"low", "high"} <= keys <= {"low", "high", "log"}:
            raise ConfigError(f"space of {name!r} is {how}; give low and high (and log), or choices")
        try:
            params[name] = _draw(trial, name, how)
        except (
            TypeError,
            ValueError,
        ) as error:  # a range the wrong way round, no choices, or others than the study began with
            raise ConfigError(f"space of {name!r} is {how}: {error}") from error
    return params


def _draw(trial: optuna.Trial, name: str, how: dict[str, Any]) -> Any:
    if "choices" in how:
        return trial.suggest_categorical(name, how["choices"])
    whole = isinstance(how["low"], int) and isinstance(how["high"], int)
    return (trial.suggest_int if whole else trial.suggest_float)(
        name, how["low"], how["high"], log=how.get("log", False)
    )


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


def open_study(out: Path, recipe: Recipe) -> optuna.Study:
    """The study kept in `out`, new or going on: it draws other values at each start, and repeats the trials that a kill cut short in their folders."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out / "study.log")))
    study = optuna.create_study(study_name=recipe.name, storage=storage, direction="maximize", load_if_exists=True)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"folder": folder_of(trial)})
    seed = np.random.SeedSequence((recipe.seed, len(study.trials))).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(seed[0]))
    return study


def folder_of(trial: optuna.Trial | optuna.trial.FrozenTrial) -> str:
    """The name of the folder of a trial's run: a trial taken up again has that of the one before."""
    return trial.user_attrs.get("folder", f"trial{trial.number}")


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.search", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="the .toml file to start from")
    parser.add_argument("--space", required=True, type=Path, help="the settings to search, as TOML")
    parser.add_argument("--data", required=True, help="what training.train takes")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the trials' runs, the study and summary.json"
    )
    parser.add_argument(
        "--trials", type=int, default=20, help="how many trials there are in all, earlier ones included"
    )
    parser.add_argument("--init", type=Path, help="starting weights, where the recipe wants some")
    parser.add_argument(
        "--teacher", action="append", default=[], help="a checkpoint to learn from (recipe: distill); may be repeated"
    )
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    args = parser.parse_args(argv)
    if args.trials < 1:
        raise ConfigError(f"--trials {args.trials}: a search needs at least 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe)
    space = load_space(args.space)
    args.out.mkdir(parents=True, exist_ok=True)
    data = load_run_data(args.data, recipe, args.out / "near.npz")
    study = open_study(args.out, recipe)

    def objective(trial: optuna.Trial) -> float:
        params = suggest(trial, space)
        history = run(
            with_params(recipe, params), data, args.out / folder_of(trial), init=args.init, teachers=args.teacher
        )
        return max(epoch[f"val_{recipe.select}"] for epoch in history["epochs"])

    done = len(study.get_trials(states=(TrialState.COMPLETE,)))
    study.optimize(objective, n_trials=max(0, args.trials - done))
    trials = [
        {"number": t.number, "folder": folder_of(t), "value": t.value, "params": t.params}
        for t in study.trials
        if t.value is not None
    ]
    best = max(trials, key=lambda t: t["value"])
    summary = {"recipe": recipe.name, "select": recipe.select, "space": space, "trials": trials, "best": best}
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"best of {len(trials)} trials: {best['value']:.4f} with {best['params']}")
    return summary


if __name__ == "__main__":
    main()
