"""Canary for what training relies on in transformers' Trainer."""

from __future__ import annotations

import inspect

from transformers import Trainer, TrainerState
from transformers.trainer_callback import TrainerCallback

from training.fit.trainer import FaceTrainer

CHANGED = "transformers changed it; adapt training/fit, then the bound in pyproject.toml (transformers>=5.20,<6)"


def test_the_overridden_methods_are_methods_of_the_trainer_with_the_same_parameters() -> None:
    for name, method in vars(FaceTrainer).items():
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
    for name in ("_save", "_save_checkpoint", "compute_loss", "create_optimizer"):
        assert hasattr(Trainer, name), f"{name}: {CHANGED}"


def test_the_state_has_the_fields_that_callbacks_read() -> None:
    assert {"epoch", "global_step", "max_steps", "log_history", "best_metric"} <= set(vars(TrainerState())), CHANGED


def test_callbacks_are_called_by_these_names() -> None:
    names = ("on_train_begin", "on_step_end", "on_epoch_end", "on_evaluate", "on_train_end")
    assert all(hasattr(TrainerCallback, name) for name in names), CHANGED
