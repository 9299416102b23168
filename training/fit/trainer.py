"""FaceTrainer: transformers.Trainer with soft targets, MixUp, CutMix, EMA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2
from transformers import EvalPrediction, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from emotion_hub.errors import ConfigError
from training.evaluation.metrics import accuracy, macro_f1
from training.fit.callbacks import DONE_FILE, EmaCallback
from training.fit.losses import training_loss
from training.fit.optim import build_optimizer, rate_factor
from training.fit.recipe import Recipe
from training.fit.record import RecordCallback
from training.fit.trainer_compat import CompatTrainer

__all__ = ["FaceTrainer", "arguments", "last_complete_state", "measures", "mixers"]


def arguments(recipe: Recipe, out: Path, report_to: str = "none", workers: int = 0) -> TrainingArguments:
    """The recipe as `TrainingArguments`; raises ConfigError for float16 without a GPU."""
    cuda = torch.cuda.is_available()
    if recipe.dtype == "float16" and not cuda:
        raise ConfigError("dtype='float16' needs a GPU; use 'bfloat16' here")
    return TrainingArguments(
        output_dir=str(out / "state"),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=256,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.lr,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="reduce_lr_on_plateau" if recipe.schedule == "plateau" else "constant",
        lr_scheduler_kwargs={"mode": "max", "factor": recipe.gamma, "patience": 2}
        if recipe.schedule == "plateau"
        else None,
        max_grad_norm=recipe.clip_norm,
        bf16=recipe.dtype == "bfloat16",
        fp16=recipe.dtype == "float16",
        use_cpu=not cuda,
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        metric_for_best_model=recipe.select,
        greater_is_better=True,
        report_to=report_to,
        restore_callback_states_from_checkpoint=True,  # early stopping keeps its count of epochs without a gain
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=workers,
        dataloader_persistent_workers=workers > 0,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=recipe.freeze_epochs > 0,
        disable_tqdm=True,
        log_level="error",
    )


def measures(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracy and macro F1 of a prediction, 0..1."""
    labels, logits = np.asarray(prediction.label_ids), np.asarray(prediction.predictions)
    return {"accuracy": accuracy(labels, logits), "macro_f1": macro_f1(labels, logits)}


def mixers(recipe: Recipe) -> list[nn.Module]:
    """torchvision's MixUp (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

    Each only where the recipe sets its alpha.
    """
    return [kind(alpha=alpha) for kind, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)) if alpha]


def last_complete_state(out: Path) -> Path | None:
    """The newest complete state folder; None without one.

    An incomplete folder, left when the process was killed while saving, is renamed so that it is not found again.
    """
    folder = out / "state"
    while folder.is_dir() and (newest := get_last_checkpoint(str(folder))):
        state = Path(newest)
        if (state / DONE_FILE).is_file():
            return state
        state.rename(folder / f"cut-short-{state.name.rsplit('-', 1)[1]}")
    return None


class FaceTrainer(CompatTrainer):
    """A Trainer with soft targets, mixed batches and discriminative rates; measures and saves averaged weights."""

    def __init__(
        self,
        recipe: Recipe,
        steps_per_epoch: int,
        weights: torch.Tensor | None = None,
        ema: EmaCallback | None = None,
        record: RecordCallback | None = None,
        offsets: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(compute_metrics=measures, **kwargs)
        self.recipe, self.steps_per_epoch, self.ema, self.record = recipe, steps_per_epoch, ema, record
        if ema:
            ema.average.to(self.args.device)  # Trainer moves only the network
        self.class_weights, self.offsets, self.mixers = weights, offsets, mixers(recipe)
        self.loss_is_scaled_for_ga = False

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            network: nn.Module = self.model if model is None else model  # type: ignore[assignment]  # given to __init__
            self.optimizer = build_optimizer(network, self.recipe)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        if self.recipe.schedule == "plateau":
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:

            def factor(step: int) -> float:
                return rate_factor(step, num_training_steps, self.steps_per_epoch, self.recipe)

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.create_optimizer(), factor)
        return self.lr_scheduler

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        pixels, labels = inputs["pixel_values"], inputs["labels"]
        options: dict[str, Any] = {}  # the validation loss is the plain cross-entropy
        if model.training:
            options = {"weights": self.class_weights, "offsets": self.offsets, "smoothing": self.recipe.label_smoothing}
            if self.mixers:
                mixer = self.mixers[int(torch.randint(len(self.mixers), ()))]
                pixels, labels = mixer(pixels, labels)
        logits = model(pixels.to(memory_format=torch.channels_last)).float()
        loss = training_loss(logits, labels, **options)
        return (loss, {"logits": logits}) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measures of the averaged weights, or of the network's own weights without an average."""
        if self.ema is None:
            return super().evaluate(*args, **kwargs)
        training, self.model = self.model, self.ema.module
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self.model = training

    def state_saved(self, folder: Path) -> None:
        if self.ema:
            self.ema.save(folder)
        if self.record:
            self.record.save(folder)
        (folder / DONE_FILE).touch()

    def load_extra_state(self, state: Path) -> None:
        """Load the averaged weights and the figures of an unfinished epoch from a state folder."""
        if self.ema:
            self.ema.load(state)
        if self.record:
            self.record.load(state)
