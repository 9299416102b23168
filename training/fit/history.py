"""History of a run: what identifies the run, and resuming it.

`start.json` is written before the first step. `history.json` follows with the first epoch. A run is resumed only when
recipe, data, starting weights and teachers are those of the files in its folder.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from emotion_hub.checkpoints import WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import CheckpointError, ConfigError
from training.data.files import write_json
from training.fit.recipe import Recipe
from training.fit.record_types import RunHistory, WeightsOrigin
from training.fit.run_folder import BEST_FILE, HISTORY_FILE

if TYPE_CHECKING:
    from training.fit.session import RunData

__all__ = ["START_FILE", "check_vacant", "environment", "new_history", "resume_history", "write_start"]

#: What identifies a run: its history without epochs and environment.
START_FILE = "start.json"


def environment() -> dict[str, Any]:
    """Device, library versions, threads and processes of this run."""
    import accelerate
    import timm
    import transformers

    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": PartialState().num_processes,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "timm": timm.__version__,
    }


def _origin(weights: Path) -> WeightsOrigin:
    """Name and SHA-256 of a weights file, without its path on this machine.

    A file with the standard name is called after its folder.
    """
    name = weights.parent.name if weights.name == WEIGHTS_FILE else weights.name
    return {"name": name, "sha256": file_hash(weights)}


def new_history(recipe: Recipe, data: RunData, init: Path | None, teachers: Sequence[str]) -> RunHistory:
    """The history of a run before its first epoch: recipe, data, starting weights, teachers, environment."""
    history: RunHistory = {
        "recipe": recipe.to_dict(),
        "data": data.counts | {"fingerprint": data.fingerprint},
        "environment": environment() | {"dtype": recipe.dtype},
        "epochs": [],
    }
    if init:
        history["init"] = _origin(init)
    if teachers:
        history["teachers"] = [_origin(resolve_file(name, WEIGHTS_FILE)) for name in teachers]
    return history


def write_start(out: Path, history: RunHistory) -> None:
    """Write what identifies the run."""
    start = {key: value for key, value in history.items() if key not in ("epochs", "environment")}
    write_json(out / START_FILE, start, indent=None)


def resume_history(state: Path, out: Path, history: RunHistory) -> bool:
    """Add the epochs that were recorded before `state` was saved; returns whether the run is finished.

    Raises CheckpointError when recipe, data, starting weights or teachers differ from those of the run in `out`.
    """
    _check_same(out, history)
    saved = _recorded(out)
    if saved is not None and saved.get("finished"):
        history.update(saved)
        return True
    finished = json.loads((state / "trainer_state.json").read_text())["epoch"]
    history["epochs"] = [row for row in (saved["epochs"] if saved else []) if row["epoch"] <= finished + 1e-6]
    print(f"resuming after {finished:g} epochs", flush=True)
    return False


def check_vacant(out: Path, history: RunHistory) -> None:
    """Raises CheckpointError when `out`, which has no complete state, holds results.

    Results of this run's first epoch are allowed: they remain when the process is killed before the state is saved.
    """
    files = [name for name in (HISTORY_FILE, BEST_FILE) if (out / name).is_file()]
    if not files:
        return
    saved = _recorded(out)
    if not (out / START_FILE).is_file() or (saved and (saved.get("finished") or len(saved["epochs"]) > 1)):
        raise CheckpointError(f"{out} holds {' and '.join(files)} and no state to resume from; give a new --out folder")
    _check_same(out, history)


def _recorded(out: Path) -> RunHistory | None:
    """The content of `history.json`; None before the first epoch."""
    return json.loads((out / HISTORY_FILE).read_text()) if (out / HISTORY_FILE).is_file() else None


def _with_defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recorded recipe with the settings that it lacks, because they are newer than the run, at their defaults.

    A recipe that is not valid any more is returned as it is.
    """
    try:
        return Recipe.from_dict(recipe).to_dict()
    except (ConfigError, KeyError, TypeError):
        return recipe


def _check_same(out: Path, history: RunHistory) -> None:
    """Raises CheckpointError when recipe, data, starting weights or teachers differ from those of the run in `out`."""
    start = json.loads((out / START_FILE).read_text())
    if _with_defaults(start["recipe"]) != history["recipe"]:
        raise CheckpointError(
            f"{out} belongs to another recipe; give a new --out folder or the recipe it was started with"
        )
    for key, difference in (
        ("data", "trained on other data"),
        ("init", "started from other weights"),
        ("teachers", "trained with other teachers"),
    ):
        if start.get(key) != history.get(key):
            raise CheckpointError(
                f"{out} was {difference} ({start.get(key)}, now {history.get(key)}); give a new --out folder"
            )
