"""Canary for what trainer_compat and the trainer rely on in transformers."""

from __future__ import annotations

import inspect

import torch
from transformers import Trainer, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from training.fit.trainer import FaceTrainer
from training.fit.trainer_compat import CompatTrainer

CHANGED = "transformers changed it; adapt training/fit/trainer_compat.py, then the bound transformers>=5.20,<6"


def test_the_overridden_methods_are_methods_of_the_trainer_with_the_same_parameters() -> None:
    overridden = [*vars(FaceTrainer).items(), *vars(CompatTrainer).items()]
    for name, method in overridden:
        if not inspect.isfunction(method) or name == "__init__":
            continue
        theirs = getattr(Trainer, name, None)
        if theirs is None:
            continue
        required = [
            p.name for p in inspect.signature(theirs).parameters.values() if p.default is inspect.Parameter.empty
        ]
        own = inspect.signature(method).parameters
        accepts_all = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in own.values())
        assert accepts_all or set(required) <= set(own), f"{name}: {CHANGED}"
    for name in ("_save", "_save_checkpoint", "_get_output_dir", "prediction_step", "compute_loss", "create_optimizer"):
        assert hasattr(Trainer, name), f"{name}: {CHANGED}"


def test_the_state_has_the_fields_that_callbacks_read() -> None:
    assert {"epoch", "global_step", "max_steps", "log_history", "best_metric"} <= set(vars(TrainerState())), CHANGED


def test_callbacks_are_called_by_these_names() -> None:
    names = ("on_train_begin", "on_step_end", "on_epoch_end", "on_evaluate", "on_train_end")
    assert all(hasattr(TrainerCallback, name) for name in names), CHANGED


def test_the_loader_of_training_drops_the_incomplete_batch_and_that_of_evaluation_keeps_it(tmp_path) -> None:
    faces = [{"pixel_values": torch.zeros(1, 4, 4), "labels": torch.tensor(0)} for _ in range(5)]
    trainer = CompatTrainer(
        model=torch.nn.Linear(1, 1),
        args=TrainingArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=2, per_device_eval_batch_size=2, report_to="none"
        ),
        train_dataset=faces,
        eval_dataset=faces,
    )
    assert len(trainer.get_train_dataloader()) == 2, CHANGED
    assert len(trainer.get_eval_dataloader()) == 3, CHANGED
