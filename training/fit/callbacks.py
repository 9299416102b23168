"""Trainer callbacks: EMA, unfreezing, statistics, time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback

from emotion_hub.models.parts import freeze_backbone, unfreeze

__all__ = [
    "DONE_FILE",
    "EMA_FILE",
    "EmaCallback",
    "EpochCallback",
    "StatisticsCallback",
    "TimeLimitCallback",
    "UnfreezeCallback",
    "finished_epochs",
]

EMA_FILE = "ema.pt"

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]

#: Written last into a state folder; a folder without it is incomplete.
DONE_FILE = "complete"


class EmaCallback(TrainerCallback):
    """Keeps an exponential moving average of the weights and batch-norm statistics, which is measured and saved.

    The decay is at most (1 + n) / (10 + n) after n updates, so that the random start has no lasting effect.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def average(averaged: Tensors, current: Tensors, updates: torch.Tensor | int) -> None:
            n = int(updates)
            weight = 1 - min(decay, (1 + n) / (10 + n))
            if averaged[0].dtype.is_floating_point:
                torch._foreach_lerp_(averaged, current, weight)
            else:
                torch._foreach_copy_(averaged, current)

        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.average.eval()

    @property
    def module(self) -> nn.Module:
        """The averaged network."""
        return self.average.module

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.average.update_parameters(kwargs["model"])

    def save(self, folder: Path) -> None:
        """Save the average to a state folder."""
        torch.save(self.average.state_dict(), folder / EMA_FILE)

    def load(self, folder: Path) -> None:
        """Load the average from a state folder."""
        self.average.load_state_dict(torch.load(folder / EMA_FILE, map_location="cpu", weights_only=True))


class EpochCallback(TrainerCallback):
    """Passes the number of the epoch to the training data set."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        finished = finished_epochs(state)
        self.dataset.set_epoch(int(state.epoch) if finished is None else finished)


def finished_epochs(state: Any) -> int | None:
    """The number of finished epochs; None within an epoch. `state.epoch` is a fraction there."""
    epochs = state.epoch or 0
    return round(epochs) if abs(epochs - round(epochs)) < 1e-6 else None


class UnfreezeCallback(TrainerCallback):
    """Trains only the head in the first epochs, then the whole network (stages 1 and 2 of the technical report)."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model: nn.Module = kwargs["model"]
        if (state.epoch or 0) + 1e-6 < self.epochs:  # also when a run resumes within its last frozen epoch
            freeze_backbone(model)
        else:
            unfreeze(model)


class StatisticsCallback(TrainerCallback):
    """Norms of weights and gradients of each top-level module at the end of an epoch; histograms go to TensorBoard."""

    def __init__(self, steps_per_epoch: int, writer: Callable[[], Any] | None = None) -> None:
        self.steps_per_epoch, self.writer = steps_per_epoch, writer
        self.gradients: dict[str, float] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model: nn.Module = kwargs["model"]
        if (state.global_step + 1) % self.steps_per_epoch == 0:
            self.gradients = {
                name: _norm([p.grad for p in part.parameters() if p.grad is not None])
                for name, part in model.named_children()
            }

    def of(self, model: nn.Module, epoch: int) -> dict[str, dict[str, float]]:
        """{module: {"weight_norm", "weight_std", "grad_norm"}}; gradients are of the last step, after clipping."""
        statistics = {}
        for name, part in model.named_children():
            weights = [p.detach() for p in part.parameters() if p.ndim > 1]
            if not weights:
                continue
            flat = torch.cat([w.flatten() for w in weights]).float()
            statistics[name] = {
                "weight_norm": round(float(flat.norm()), 4),
                "weight_std": round(float(flat.std()), 6),
                "grad_norm": round(self.gradients.get(name, 0.0), 6),
            }
            if self.writer and (writer := self.writer()):
                writer.add_histogram(f"weights/{name}", flat, epoch)
        return statistics


def _norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([t.detach().float().norm() for t in tensors]).norm()) if tensors else 0.0


class TimeLimitCallback(TrainerCallback):
    """Saves the state and stops training after `seconds`, also within an epoch; None sets no limit.

    With several processes the clock of the first one decides.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self.started, self.reached = seconds, time.monotonic(), False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.seconds is None or state.global_step >= state.max_steps:
            return
        over = torch.tensor(float(time.monotonic() - self.started >= self.seconds))
        if broadcast(over.to(args.device)).item():
            self.reached = control.should_save = control.should_training_stop = True
            control.should_log = True  # the log has the loss so far

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.reached and finished_epochs(state) is None:  # an unfinished epoch: its state is saved already
            control.should_evaluate = control.should_log = control.should_save = False
