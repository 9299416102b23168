"""Search the settings of a recipe with Optuna.

The search space is a TOML file with a table per setting: `[lr]` with `low`, `high` and optionally `log = true`, or with
`choices = [...]`. A dot addresses a nested setting (`["augmentation.rotate"]`, `["options.dropout"]`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from emotion_hub.errors import ConfigError
from training.data.files import write_json
from training.fit.recipe import Recipe
from training.fit.run_folder import best_epoch
from training.fit.session import load_run_data, run

__all__ = ["load_space", "open_study", "search", "suggest", "with_params"]


def load_space(path: Path) -> dict[str, dict[str, Any]]:
    """The search space of a TOML file.

    Raises ConfigError for a file that is missing, not TOML or empty, and for a setting without a range or choices.
    """
    try:
        space = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no search space at {path}; write a TOML file with a table per setting") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a search space: {error}") from error
    if not space:
        raise ConfigError(f"{path} is empty; give it a table per setting, such as [lr] with low and high")
    suggest(optuna.create_study().ask(), space)  # reports mistakes before any data is read
    return space


def suggest(trial: optuna.Trial, space: dict[str, Any]) -> dict[str, Any]:
    """One value per setting; raises ConfigError for a setting that is neither a range nor a choice."""
    params = {}
    for name, domain in space.items():
        keys = set(domain) if isinstance(domain, dict) else set()
        if keys != {"choices"} and not {"low", "high"} <= keys <= {"low", "high", "log"}:
            raise ConfigError(f"space of {name!r} is {domain}; give low and high (and log), or choices")
        try:
            params[name] = _suggest_value(trial, name, domain)
        except (TypeError, ValueError) as error:  # low above high, no choices, or choices that the study did not have
            raise ConfigError(f"space of {name!r} is {domain}: {error}") from error
    return params


def _suggest_value(trial: optuna.Trial, name: str, domain: dict[str, Any]) -> Any:
    if "choices" in domain:
        return trial.suggest_categorical(name, domain["choices"])
    integral = isinstance(domain["low"], int) and isinstance(domain["high"], int)
    suggest_number = trial.suggest_int if integral else trial.suggest_float
    return suggest_number(name, domain["low"], domain["high"], log=domain.get("log", False))


def with_params(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    """The recipe with these settings; raises ConfigError for an unknown key."""
    values = recipe.to_dict()
    for name, value in params.items():
        outer, _, inner = name.partition(".")
        if inner and isinstance(values.get(outer), dict):
            values[outer] = {**values[outer], inner: value}
        else:
            values[name] = value
    return Recipe.from_dict(values)


def open_study(out: Path, recipe: Recipe) -> optuna.Study:
    """The study stored in `out`, new or continued.

    Trials that were running when the process was killed are enqueued again, in the same folders. The sampler gets
    another seed at every start, so that a continued study does not repeat its values.
    """
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / "study.log")))
    study = optuna.create_study(study_name=recipe.name, storage=storage, direction="maximize", load_if_exists=True)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"folder": folder_of(trial)})
    seed = np.random.SeedSequence((recipe.seed, len(study.trials))).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(seed[0]))
    return study


def folder_of(trial: optuna.Trial | optuna.trial.FrozenTrial) -> str:
    """The folder name of a trial's run; a trial that was enqueued again keeps the folder of its first attempt."""
    return trial.user_attrs.get("folder", f"trial{trial.number}")


def search(
    recipe: Recipe,
    space: dict[str, dict[str, Any]],
    data: str | Path,
    out: Path,
    trials: int = 20,
    *,
    init: Path | None = None,
    teachers: Sequence[str] = (),
) -> dict[str, Any]:
    """Run trials until the study in `out` has `trials` finished ones; return the summary, also in `out`/summary.json.

    A trial's value is the best validation score, the recipe's `select`. Raises ConfigError for fewer than one trial.
    """
    if trials < 1:
        raise ConfigError(f"--trials {trials}: a search needs at least 1")
    out.mkdir(parents=True, exist_ok=True)
    splits = load_run_data(data, recipe, out / "near.npz")
    study = open_study(out, recipe)

    def objective(trial: optuna.Trial) -> float:
        trial_recipe = with_params(recipe, suggest(trial, space))
        history = run(trial_recipe, splits, out / folder_of(trial), init=init, teachers=teachers)
        best = best_epoch(history)
        return best["val_macro_f1"] if recipe.select == "macro_f1" else best["val_accuracy"]

    finished = len(study.get_trials(states=(TrialState.COMPLETE,)))
    study.optimize(objective, n_trials=max(0, trials - finished))
    best = study.best_trial
    summary = {
        "recipe": recipe.name,
        "select": recipe.select,
        "space": space,
        "trials": [_row(trial) for trial in study.trials if trial.value is not None],
        "best": _row(best),
    }
    write_json(out / "summary.json", summary)
    return summary


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {"number": trial.number, "folder": folder_of(trial), "value": trial.value, "params": trial.params}
