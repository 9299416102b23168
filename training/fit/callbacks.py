"""What `transformers.Trainer` lacks: averaged weights, staged unfreezing, statistics, the record of a run, a time limit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback

from emotion_hub.models.parts import freeze_backbone, unfreeze
from training.fit.run_folder import BEST_FILE, HISTORY_FILE, write_atomically

__all__ = [
    "DONE_FILE",
    "EMA_FILE",
    "EPOCH_FILE",
    "EmaCallback",
    "EpochCallback",
    "RecordCallback",
    "StatisticsCallback",
    "TimeLimitCallback",
    "UnfreezeCallback",
]

EMA_FILE = "ema.pt"

#: What an epoch has cost up to a state saved inside it.
EPOCH_FILE = "epoch.json"

#: Written last into a state folder: one without it was cut short by a kill.
DONE_FILE = "complete"


class EmaCallback(TrainerCallback):
    """Keeps the exponential moving average of the weights and batch-norm statistics; it is what is measured and saved.

    The decay grows with (1 + n) / (10 + n), so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def average(averaged: list[torch.Tensor], current: list[torch.Tensor], updates: torch.Tensor | int) -> None:
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

    def on_step_end(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        self.average.update_parameters(model)

    def save(self, folder: Path) -> None:
        """Into a state folder."""
        torch.save(self.average.state_dict(), folder / EMA_FILE)

    def load(self, folder: Path) -> None:
        """From a state folder."""
        self.average.load_state_dict(torch.load(folder / EMA_FILE, map_location="cpu", weights_only=True))


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        finished = between_epochs(state)
        self.dataset.set_epoch(int(state.epoch) if finished is None else finished)


def between_epochs(state: Any) -> int | None:
    """How many epochs are finished, None inside one; a Trainer counts epochs in fractions."""
    epochs = state.epoch or 0
    return round(epochs) if abs(epochs - round(epochs)) < 1e-6 else None


class UnfreezeCallback(TrainerCallback):
    """Only the head moves in the first epochs, then everything (stage one and two of the technical report)."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_begin(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        if (state.epoch or 0) + 1e-6 < self.epochs:  # a run resumed inside its last frozen epoch is still frozen
            freeze_backbone(model)
        else:
            unfreeze(model)


class StatisticsCallback(TrainerCallback):
    """Norms of the weights and of their last gradients, a top-level part each, at the end of every epoch; histograms go to TensorBoard."""

    def __init__(self, steps_per_epoch: int, writer: Callable[[], Any] | None = None) -> None:
        self.steps_per_epoch, self.writer = steps_per_epoch, writer
        self.gradients: dict[str, float] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        if (state.global_step + 1) % self.steps_per_epoch == 0:
            self.gradients = {
                name: _norm([p.grad for p in part.parameters() if p.grad is not None])
                for name, part in model.named_children()
            }

    def of(self, model: nn.Module, epoch: int) -> dict[str, dict[str, float]]:
        """{part: {"weight_norm", "weight_std", "grad_norm"}}; the gradients are those after clipping."""
        found = {}
        for name, part in model.named_children():
            weights = [p.detach() for p in part.parameters() if p.ndim > 1]
            if not weights:
                continue
            flat = torch.cat([w.flatten() for w in weights]).float()
            found[name] = {"weight_norm": round(float(flat.norm()), 4), "weight_std": round(float(flat.std()), 6)}
            found[name]["grad_norm"] = round(self.gradients.get(name, 0.0), 6)
            if self.writer and (writer := self.writer()):
                writer.add_histogram(f"weights/{name}", flat, epoch)
        return found


def _norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([t.detach().float().norm() for t in tensors]).norm()) if tensors else 0.0


#: Before an epoch's first step.
_NOTHING = {"steps": 0, "seconds": 0.0, "loss": 0.0}


class RecordCallback(TrainerCallback):
    """Writes `history.json` and, when the chosen score rises, `best.safetensors`. An epoch that was cut counts as one, with all its parts."""

    def __init__(
        self,
        out: Path,
        history: dict[str, Any],
        select: str,
        weights: Callable[[], nn.Module],
        statistics: StatisticsCallback,
    ) -> None:
        self.out, self.history, self.select, self.weights, self.statistics = out, history, select, weights, statistics
        self.begun, self.images, self.steps, self.loss, self.lr = time.monotonic(), 0, 0, float("nan"), 0.0
        self.before = dict(_NOTHING)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if between_epochs(state) is not None:
            self.before = dict(_NOTHING)
        self.begun, self.first_step = time.monotonic(), state.global_step
        self.steps, self.loss = self.before["steps"], self.before["loss"]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            steps = state.global_step - self.first_step
            self.steps = self.before["steps"] + steps
            share = steps / self.steps
            self.loss, self.lr = (
                (1 - share) * self.before["loss"] + share * logs["loss"],
                logs.get("learning_rate", self.lr),
            )

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = self.before["seconds"] + time.monotonic() - self.begun
        self.images = (
            (self.before["steps"] + state.global_step - self.first_step) * args.train_batch_size * args.world_size
        )

    def save(self, folder: Path) -> None:
        """Steps, seconds and mean loss of the epoch so far, into a state folder."""
        part = {
            "steps": self.steps,
            "seconds": self.before["seconds"] + time.monotonic() - self.begun,
            "loss": self.loss,
        }
        (folder / EPOCH_FILE).write_text(json.dumps(part))

    def load(self, folder: Path) -> None:
        """From a state folder; an older one has no such file."""
        if (folder / EPOCH_FILE).is_file():
            self.before = json.loads((folder / EPOCH_FILE).read_text())

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], model: nn.Module, **kwargs: Any
    ) -> None:
        epoch = round(state.epoch or 0)
        row: dict[str, Any] = {"epoch": epoch, "loss": self.loss, "lr": self.lr}
        row |= {
            "val_loss": metrics["eval_loss"],
            "val_accuracy": metrics["eval_accuracy"],
            "val_macro_f1": metrics["eval_macro_f1"],
        }
        row |= {"seconds": round(self.seconds, 1), "images_per_second": round(self.images / max(self.seconds, 1e-9), 1)}
        row["statistics"] = self.statistics.of(model, epoch)
        key = f"val_{self.select}"
        best = max((e[key] for e in self.history["epochs"]), default=-1.0)
        self.history["epochs"].append(row)
        if not state.is_world_process_zero:
            return
        rest = f"validation {row['val_accuracy']:.4f} macro F1 {row['val_macro_f1']:.4f} {row['seconds']:.0f}s {row['images_per_second']:.0f} images/s"
        print(f"epoch {epoch}/{int(args.num_train_epochs)} loss {row['loss']:.4f} {rest}", flush=True)
        if row[key] > best:
            tensors = {k: v.contiguous() for k, v in self.weights().state_dict().items()}
            write_atomically(self.out / BEST_FILE, lambda path: save_file(tensors, path))
        self.write()

    def write(self, finished: bool = False) -> None:
        """The record as it stands; `finished` says that no epoch will follow."""
        if finished:
            self.history["finished"] = True
        write_atomically(
            self.out / HISTORY_FILE, lambda path: Path(path).write_text(json.dumps(self.history, indent=1) + "\n")
        )


class TimeLimitCallback(TrainerCallback):
    """Saves and stops once `seconds` have passed, in the middle of an epoch too; None sets no limit. The first process's clock counts for all."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self.started, self.reached = seconds, time.monotonic(), False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.seconds is None or state.global_step >= state.max_steps:
            return
        over = torch.tensor(float(time.monotonic() - self.started >= self.seconds))
        if broadcast(over.to(args.device)).item():
            self.reached = control.should_log = control.should_save = control.should_training_stop = (
                True  # the log gives the loss so far
            )

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if (
            self.reached and between_epochs(state) is None
        ):  # the epoch was cut: nothing to measure, and the state is saved
            control.should_evaluate = control.should_log = control.should_save = False
