"""One training run from data to best weights: what the training scripts call."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from safetensors.torch import load_file
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback
from transformers.integrations import TensorBoardCallback

from emotion_hub.checkpoints import WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.models import create_model
from emotion_hub.models.pretrained import load_pretrained
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from training.data.batches import PlaneDataset
from training.data.faces import (
    FaceSplit,
    apart_indices,
    check_no_leak,
    clean_training_indices,
    load_split,
    prepare_planes,
)
from training.fit.callbacks import (
    EmaCallback,
    EpochCallback,
    RecordCallback,
    StatisticsCallback,
    TimeLimitCallback,
    UnfreezeCallback,
)
from training.fit.precision import strided_depthwise_in_float32
from training.fit.recipe import Recipe
from training.fit.run_folder import BEST_FILE, HISTORY_FILE, write_atomically
from training.fit.targets import class_weights, soft_targets, teacher_probs
from training.fit.trainer import FaceTrainer, arguments, last_complete_state

__all__ = ["RunData", "load_run_data", "run"]

log = logging.getLogger(__name__)

#: What a run was begun with; `history.json` comes with its first epoch.
START_FILE = "start.json"


@dataclass(frozen=True)
class RunData:
    """What a run trains and chooses on: two splits, the positions used of each, and the account of what was left out."""

    train: FaceSplit
    train_indices: np.ndarray
    validation: FaceSplit
    validation_indices: np.ndarray
    counts: dict[str, int]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the pixels' hashes and the labels of every image used, in order."""
        digest = hashlib.sha256()
        for split, indices in ((self.train, self.train_indices), (self.validation, self.validation_indices)):
            digest.update("".join(f"{split.hashes[i]}{split.labels[i]}" for i in indices).encode())
        return digest.hexdigest()


def load_run_data(data: str | Path, recipe: Recipe, cache: Path | None = None) -> RunData:
    """The training split without copies of evaluation images, and validation without the images it shares with test.

    Raises LeakError when an image in use still stands in an evaluation split.
    """
    train, validation, test = (load_split(data, name, recipe.labels) for name in ("train", "validation", "test"))
    kept, report = clean_training_indices(train, validation, test, near=recipe.near, cache=cache)
    log.info("training images: %s", report)
    val_kept = apart_indices(validation, test)
    check_no_leak(train, kept, validation, test)
    return RunData(train, kept, validation, val_kept, vars(report) | {"validation": len(val_kept)})


def starting_model(recipe: Recipe, init: Path | None) -> nn.Module:
    """The recipe's network with its starting weights; raises ConfigError when the file it needs is missing, or it needs none."""
    model = create_model(recipe.model, num_classes=len(recipe.labels), **recipe.options)
    if recipe.init is None:
        if init is not None:
            raise ConfigError(
                f"recipe {recipe.name!r} starts from random weights; leave --init {init} out, or set init in the recipe"
            )
        return model
    if recipe.init == "checkpoint":
        if init is None:
            raise ConfigError(f"recipe {recipe.name!r} starts from 'checkpoint'; give the file with --init")
        model.load_state_dict(load_file(init))
        print(f"start: every tensor of {init}")
        return model
    if init is None and recipe.init != "pretrained":
        raise ConfigError(f"recipe {recipe.name!r} starts from {recipe.init!r}; give the file with --init")
    transfer = load_pretrained(recipe.model, model, init if init is not None else True)
    print(
        f"start: {len(transfer.copied)} tensors copied; left in the file: {list(transfer.unmapped_source)}; fresh: {list(transfer.unmapped_target)}"
    )
    return model


@torch.no_grad()
def check_sides(model: nn.Module, recipe: Recipe, sides: list[int]) -> None:
    """Raises ConfigError when the network cannot take faces of one of these sides."""
    model.eval()
    for side in sorted(set(sides)):
        try:
            model(torch.zeros(1, recipe.preprocess.channels, side, side))
        except RuntimeError as error:
            raise ConfigError(
                f"{recipe.model} cannot take faces of {side} pixels ({error}); leave that side out of sizes and train_size"
            ) from error


def environment() -> dict[str, Any]:
    """Where the run takes place: device, versions, threads, processes."""
    import accelerate
    import timm
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "timm": timm.__version__,
    }
    machine = {"python": platform.python_version(), "machine": platform.machine(), "threads": torch.get_num_threads()}
    return {"device": device, "processes": PartialState().num_processes, **machine, **versions}


def origin(weights: Path) -> dict[str, str]:
    """What a file of weights is called and its SHA-256: enough to tell it from another one, and no path of this machine."""
    name = weights.parent.name if weights.name == WEIGHTS_FILE else weights.name
    return {"name": name, "sha256": file_hash(weights)}


def new_history(recipe: Recipe, data: RunData, init: Path | None, teachers: Sequence[str]) -> dict[str, Any]:
    """The record of a run that has not begun: recipe, data, what it starts and learns from, machine."""
    sources: dict[str, Any] = {"init": origin(init)} if init else {}
    if teachers:
        sources["teachers"] = [origin(resolve_file(name, WEIGHTS_FILE)) for name in teachers]
    facts = data.counts | {"fingerprint": data.fingerprint}
    return {
        "recipe": recipe.to_dict(),
        "data": facts,
        **sources,
        "environment": environment() | {"dtype": recipe.dtype},
        "epochs": [],
    }


def resume_history(state: Path, out: Path, history: dict[str, Any]) -> bool:
    """Take over the epochs recorded before `state` was saved, and return whether the run is finished.

    Raises CheckpointError when recipe, data, starting weights or teachers are others than those of the run in `out`.
    """
    check_same(out, history)
    saved = recorded(out)
    if saved.get("finished"):
        history |= saved
        return True
    done = json.loads((state / "trainer_state.json").read_text())["epoch"]
    history["epochs"] = [row for row in saved["epochs"] if row["epoch"] <= done + 1e-6]
    print(f"resuming after {done:g} epochs", flush=True)
    return False


def check_vacant(out: Path, history: dict[str, Any]) -> None:
    """Raises CheckpointError when `out`, which has no whole state, holds results; those of this run's first epoch may be made again.

    A kill between the first epoch's results and its state leaves them so.
    """
    found = [name for name in (HISTORY_FILE, BEST_FILE) if (out / name).is_file()]
    saved = recorded(out)
    if found and (not (out / START_FILE).is_file() or saved.get("finished") or len(saved["epochs"]) > 1):
        raise CheckpointError(f"{out} holds {' and '.join(found)} and no state to go on from; give a new --out folder")
    if found:
        check_same(out, history)


def recorded(out: Path) -> dict[str, Any]:
    """What `history.json` says, no epochs where there is none."""
    return json.loads((out / HISTORY_FILE).read_text()) if (out / HISTORY_FILE).is_file() else {"epochs": []}


def check_same(out: Path, history: dict[str, Any]) -> None:
    """Raises CheckpointError when recipe, data, starting weights or teachers are others than those of the run in `out`."""
    begun = json.loads((out / START_FILE).read_text())
    if begun["recipe"] != history["recipe"]:
        raise CheckpointError(
            f"{out} belongs to another recipe; give a new --out folder or the recipe it was started with"
        )
    for key, what in (
        ("data", "trained on other data"),
        ("init", "started from other weights"),
        ("teachers", "taught by others"),
    ):
        if begun.get(key) != history.get(key):
            raise CheckpointError(
                f"{out} was {what} ({begun.get(key)}, now {history.get(key)}); give a new --out folder"
            )


def batches(
    recipe: Recipe, data: RunData, model: nn.Module, teachers: Sequence[str]
) -> tuple[PlaneDataset, PlaneDataset]:
    """The training and the validation faces, prepared; raises ConfigError for a side the network cannot take and targets that cannot be made."""
    taught = None
    if recipe.distill and teachers:
        taught = teacher_probs(
            [EmotionPredictor.from_pretrained(name) for name in teachers], data.train, data.train_indices
        )
    targets = soft_targets(data.train, data.train_indices, recipe, taught)
    sides = [recipe.side_at(epoch) for epoch in range(recipe.epochs)]
    check_sides(model, recipe, sides)
    small, last = (
        Preprocessor(recipe.training_preprocess),
        Preprocessor(replace(recipe.training_preprocess, size=sides[-1])),
    )
    train_set = PlaneDataset(
        prepare_planes(data.train, small, data.train_indices), targets, small, recipe.augmentation, sides, recipe.seed
    )
    labels = data.validation.labels[data.validation_indices]
    return train_set, PlaneDataset(prepare_planes(data.validation, last, data.validation_indices), labels, last)


def steps_of(train_set: PlaneDataset, recipe: Recipe) -> int:
    """Optimiser steps an epoch; raises ConfigError when the images do not fill one batch."""
    processes = PartialState().num_processes
    if steps := len(train_set) // (recipe.batch_size * processes):
        return steps
    images = f"{len(train_set)} training images" + (f" shared by {processes} processes" if processes > 1 else "")
    raise ConfigError(f"batch_size={recipe.batch_size} is more than the {images}; choose a smaller one")


def run(
    recipe: Recipe,
    data: RunData,
    out: Path,
    *,
    init: Path | None = None,
    teachers: Sequence[str] = (),
    stop_after: float | None = None,
    report_to: str = "none",
    workers: int = 0,
) -> dict[str, Any]:
    """Train, and return the history; writes `best.safetensors`, `history.json` and the states to resume from to `out`.

    `stop_after` is a limit in seconds: the run saves its state there and the same call goes on. `teachers` are checkpoints (names, folders
    or Hub ids) for the recipe's `distill`. Raises ConfigError for a batch larger than the split and CheckpointError when `out` holds another run or
    results without their state.
    """
    out.mkdir(parents=True, exist_ok=True)
    set_seed(recipe.seed)
    model = starting_model(recipe, init).to(memory_format=torch.channels_last)
    if recipe.dtype == "bfloat16" and not torch.cuda.is_available():
        strided_depthwise_in_float32(model)
    history = new_history(recipe, data, init, teachers)
    state = last_complete_state(out)
    if state and resume_history(state, out, history):
        print(f"{out} is finished; nothing is left to do", flush=True)
        return history
    if not state:
        check_vacant(out, history)
    train_set, val_set = batches(recipe, data, model, teachers)
    steps = steps_of(train_set, recipe)
    if not state and PartialState().is_main_process:
        begun = {key: value for key, value in history.items() if key not in ("epochs", "environment")}
        write_atomically(out / START_FILE, lambda path: Path(path).write_text(json.dumps(begun) + "\n"))
    weights = (
        torch.from_numpy(class_weights(data.train.labels[data.train_indices], len(recipe.labels)))
        if recipe.class_weights
        else None
    )

    ema = EmaCallback(model, recipe.ema_decay) if recipe.ema_decay else None
    statistics, limit = StatisticsCallback(steps), TimeLimitCallback(stop_after)
    record = RecordCallback(out, history, recipe.select, lambda: ema.module if ema else model, statistics)
    staged = [UnfreezeCallback(recipe.freeze_epochs)] if recipe.freeze_epochs else []
    patient = [EarlyStoppingCallback(recipe.patience, recipe.min_gain)] if recipe.patience else []
    callbacks = [EpochCallback(train_set), statistics, *staged, *([ema] if ema else []), record, *patient, limit]
    args = arguments(recipe, out, report_to, workers)
    sets = {"train_dataset": train_set, "eval_dataset": val_set, "data_collator": PlaneDataset.collate}
    trainer = FaceTrainer(recipe, steps, weights, ema, record, model=model, args=args, callbacks=callbacks, **sets)
    if state:
        for kept in filter(None, (ema, record)):
            kept.load(state)
    trainer.remove_callback(PrinterCallback)  # the record prints a line an epoch
    statistics.writer = lambda: next(
        (
            getattr(c, "tb_writer", None)
            for c in trainer.callback_handler.callbacks
            if isinstance(c, TensorBoardCallback)
        ),
        None,
    )
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if limit.reached:
        print("stopped at the time limit; the same command goes on from here", flush=True)
    elif PartialState().is_main_process:
        record.write(finished=True)
    return history
