"""One training run, from the data to the best weights, resumable."""

from __future__ import annotations

import hashlib
import logging
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
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback

from emotion_hub.errors import ConfigError
from emotion_hub.models import create_model
from emotion_hub.models.pretrained import load_pretrained
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from training.data.batches import PlaneDataset
from training.data.faces import FaceSplit, load_split, prepare_planes
from training.data.selection import apart_indices, check_no_leak, clean_training_indices
from training.fit.callbacks import (
    EmaCallback,
    EpochCallback,
    StatisticsCallback,
    TimeLimitCallback,
    UnfreezeCallback,
)
from training.fit.history import check_vacant, environment, new_history, resume_history, write_start
from training.fit.losses import balancing
from training.fit.precision import strided_depthwise_in_float32
from training.fit.recipe import Recipe
from training.fit.record import RecordCallback
from training.fit.record_types import RunHistory
from training.fit.targets import soft_targets, teacher_probs
from training.fit.trainer import FaceTrainer, arguments, last_complete_state

__all__ = ["RunData", "environment", "load_run_data", "run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunData:
    """Training and validation split, the positions used of each, and counts of the images left out."""

    train: FaceSplit
    train_indices: np.ndarray
    validation: FaceSplit
    validation_indices: np.ndarray
    counts: dict[str, int]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the pixel hashes and labels of all images in use, in order."""
        digest = hashlib.sha256()
        for split, indices in ((self.train, self.train_indices), (self.validation, self.validation_indices)):
            digest.update("".join(f"{split.hashes[i]}{split.labels[i]}" for i in indices).encode())
        return digest.hexdigest()


def load_run_data(data: str | Path, recipe: Recipe, cache: Path | None = None) -> RunData:
    """The training split without copies of evaluation images, and validation without images that test also has.

    `cache` is a file that stores the near copies. Raises LeakError when a training image in use is also in an
    evaluation split.
    """
    train, validation, test = (load_split(data, name, recipe.labels) for name in ("train", "validation", "test"))
    kept, report = clean_training_indices(train, validation, test, near=recipe.near, cache=cache)
    log.info("training images: %s", report)
    val_kept = apart_indices(validation, test)
    check_no_leak(train, kept, validation, test)
    return RunData(train, kept, validation, val_kept, vars(report) | {"validation": len(val_kept)})


def starting_model(recipe: Recipe, init: Path | None) -> nn.Module:
    """The recipe's network with its starting weights.

    Raises ConfigError when the recipe needs a file that is not given, or a file is given that it does not need.
    """
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
        f"start: {len(transfer.copied)} tensors copied; unused in the file: {list(transfer.unmapped_source)}; "
        f"random: {list(transfer.unmapped_target)}"
    )
    return model


@torch.no_grad()
def check_sides(model: nn.Module, recipe: Recipe, sides: list[int]) -> None:
    """Raises ConfigError when the network does not accept faces of one of these sides, in pixels."""
    model.eval()
    for side in sorted(set(sides)):
        try:
            model(torch.zeros(1, recipe.preprocess.channels, side, side))
        except RuntimeError as error:
            raise ConfigError(
                f"{recipe.model} does not accept faces of {side} pixels ({error}); leave that side out of sizes and "
                "train_size"
            ) from error


def batches(
    recipe: Recipe, data: RunData, model: nn.Module, teachers: Sequence[str]
) -> tuple[PlaneDataset, PlaneDataset]:
    """The prepared training and validation faces.

    Raises ConfigError for a side that the network does not accept and for targets that need missing votes or teachers.
    """
    taught = None
    if recipe.distill and teachers:
        predictors = [EmotionPredictor.from_pretrained(name) for name in teachers]
        taught = teacher_probs(predictors, data.train, data.train_indices)
    targets = soft_targets(data.train, data.train_indices, recipe, taught)
    sides = [recipe.side_at(epoch) for epoch in range(recipe.epochs)]
    check_sides(model, recipe, sides)
    preprocessor = Preprocessor(recipe.training_preprocess)
    last_preprocessor = Preprocessor(replace(recipe.training_preprocess, size=sides[-1]))
    train_set = PlaneDataset(
        prepare_planes(data.train, preprocessor, data.train_indices),
        targets,
        preprocessor,
        recipe.augmentation,
        sides,
        recipe.seed,
    )
    val_planes = prepare_planes(data.validation, last_preprocessor, data.validation_indices)
    val_labels = data.validation.labels[data.validation_indices]
    return train_set, PlaneDataset(val_planes, val_labels, last_preprocessor)


def steps_per_epoch(train_set: PlaneDataset, recipe: Recipe) -> int:
    """Optimiser steps per epoch; raises ConfigError when the images do not fill one batch."""
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
) -> RunHistory:
    """Train, and return the history; writes `best.safetensors`, `history.json` and the states to resume from to `out`.

    `stop_after` is a limit in seconds: the run saves its state then, and the same call resumes it. `teachers` are
    checkpoints (names, folders or Hub ids) for the recipe's `distill`. Raises ConfigError for a batch larger than the
    split, and CheckpointError when `out` holds another run or results without their state.
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
    steps = steps_per_epoch(train_set, recipe)
    if not state and PartialState().is_main_process:
        write_start(out, history)
    weights, offsets = balancing(recipe, data.train.labels[data.train_indices], train_set.targets.numpy())

    ema = EmaCallback(model, recipe.ema_decay) if recipe.ema_decay else None
    statistics, limit = StatisticsCallback(steps), TimeLimitCallback(stop_after)
    record = RecordCallback(out, history, recipe.select, lambda: ema.module if ema else model, statistics)
    callbacks: list[TrainerCallback] = [EpochCallback(train_set), statistics]
    if recipe.freeze_epochs:
        callbacks.append(UnfreezeCallback(recipe.freeze_epochs))
    if ema:
        callbacks.append(ema)
    callbacks.append(record)  # after the average, whose weights it saves
    if recipe.patience:
        callbacks.append(EarlyStoppingCallback(recipe.patience, recipe.min_gain))
    callbacks.append(limit)
    trainer = FaceTrainer(
        recipe,
        steps,
        weights,
        ema,
        record,
        offsets,
        model=model,
        args=arguments(recipe, out, report_to, workers),
        callbacks=callbacks,
        train_dataset=train_set,
        eval_dataset=val_set,
        data_collator=PlaneDataset.collate,
    )
    if state:
        trainer.load_extra_state(state)
    trainer.remove_callback(PrinterCallback)  # RecordCallback prints one line per epoch
    statistics.writer = lambda: _tensorboard_writer(trainer)
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if limit.reached:
        print("stopped at the time limit; the same command resumes the run", flush=True)
    elif PartialState().is_main_process:
        record.write(finished=True)
    return history


def _tensorboard_writer(trainer: FaceTrainer) -> Any:
    """The SummaryWriter of the trainer's TensorBoard callback; None without one."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            return getattr(callback, "tb_writer", None)
    return None
