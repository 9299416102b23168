"""RecordCallback: writes the history and the best weights of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from training.data.files import write_atomically, write_json
from training.fit.callbacks import StatisticsCallback, finished_epochs
from training.fit.record_types import EpochRecord, RunHistory
from training.fit.run_folder import BEST_FILE, HISTORY_FILE, epoch_score

__all__ = ["EPOCH_FILE", "RecordCallback"]

#: Steps, seconds and loss of an epoch in which a state was saved.
EPOCH_FILE = "epoch.json"


class _EpochPart(TypedDict):
    """Steps, seconds and mean loss of the part of an epoch that ran before a state was saved."""

    steps: int
    seconds: float
    loss: float


_NO_STEPS: _EpochPart = {"steps": 0, "seconds": 0.0, "loss": 0.0}


class RecordCallback(TrainerCallback):
    """Writes `history.json` and, when the selected score improves, `best.safetensors`.

    Steps, seconds and loss of an epoch that was interrupted and resumed are added up.
    """

    def __init__(
        self,
        out: Path,
        history: RunHistory,
        select: str,
        weights: Callable[[], nn.Module],
        statistics: StatisticsCallback,
    ) -> None:
        self.out, self.history, self.select, self.weights, self.statistics = out, history, select, weights, statistics
        self.started, self.images, self.steps, self.loss, self.lr = time.monotonic(), 0, 0, float("nan"), 0.0
        self.earlier, self.first_step, self.seconds = _NO_STEPS, 0, 0.0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if finished_epochs(state) is not None:
            self.earlier = _NO_STEPS
        self.started, self.first_step = time.monotonic(), state.global_step
        self.steps, self.loss = self.earlier["steps"], self.earlier["loss"]

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if "loss" in logs:
            steps = state.global_step - self.first_step
            self.steps = self.earlier["steps"] + steps
            share = steps / self.steps
            self.loss = (1 - share) * self.earlier["loss"] + share * logs["loss"]
            self.lr = logs.get("learning_rate", self.lr)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = self.earlier["seconds"] + time.monotonic() - self.started
        steps = self.earlier["steps"] + state.global_step - self.first_step
        self.images = steps * args.train_batch_size * args.world_size

    def save(self, folder: Path) -> None:
        """Save steps, seconds and mean loss of the epoch so far to a state folder."""
        seconds = self.earlier["seconds"] + time.monotonic() - self.started
        (folder / EPOCH_FILE).write_text(json.dumps({"steps": self.steps, "seconds": seconds, "loss": self.loss}))

    def load(self, folder: Path) -> None:
        """Load the figures of an unfinished epoch from a state folder; folders of earlier versions have none."""
        if (folder / EPOCH_FILE).is_file():
            self.earlier = json.loads((folder / EPOCH_FILE).read_text())

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        model: nn.Module = kwargs["model"]
        epoch = round(state.epoch or 0)
        row: EpochRecord = {
            "epoch": epoch,
            "loss": self.loss,
            "lr": self.lr,
            "val_loss": metrics["eval_loss"],
            "val_accuracy": metrics["eval_accuracy"],
            "val_macro_f1": metrics["eval_macro_f1"],
            "seconds": round(self.seconds, 1),
            "images_per_second": round(self.images / max(self.seconds, 1e-9), 1),
            "statistics": self.statistics.of(model, epoch),
        }
        best = max((epoch_score(earlier, self.select) for earlier in self.history["epochs"]), default=-1.0)
        self.history["epochs"].append(row)
        if not state.is_world_process_zero:
            return
        print(
            f"epoch {epoch}/{int(args.num_train_epochs)} loss {row['loss']:.4f} "
            f"validation {row['val_accuracy']:.4f} macro F1 {row['val_macro_f1']:.4f} "
            f"{row['seconds']:.0f}s {row['images_per_second']:.0f} images/s",
            flush=True,
        )
        if epoch_score(row, self.select) > best:
            tensors = {k: v.contiguous() for k, v in self.weights().state_dict().items()}
            write_atomically(self.out / BEST_FILE, lambda path: save_file(tensors, path))
        self.write()

    def write(self, finished: bool = False) -> None:
        """Write the history; `finished` marks that no epoch will follow."""
        if finished:
            self.history["finished"] = True
        write_json(self.out / HISTORY_FILE, self.history)
