"""Average the weights of several runs and renew their batch-norm statistics.

Networks fine-tuned from the same weights often lie in one basin of the loss, and the mean of their weights is more
accurate than either network (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482). Batch-norm statistics are not
weights: they are computed again from training images (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import file_hash
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor, softmax
from training.data.files import write_atomically, write_json
from training.evaluation.metrics import accuracy, macro_f1, negative_log_likelihood
from training.evaluation.predictions import face_logits
from training.fit.recipe import Recipe
from training.fit.record_types import AveragePart, RunHistory
from training.fit.run_folder import BEST_FILE, HISTORY_FILE, load_outcome
from training.fit.session import RunData, environment, load_run_data

__all__ = ["STATISTICS", "average_runs", "average_weights", "renew_statistics"]

#: Training images that set the batch-norm statistics, and the batch size for them.
STATISTICS, BATCH = 4096, 256


def average_weights(models: Sequence[EmotionClassifier], weights: Sequence[float]) -> EmotionClassifier:
    """A classifier with the weighted mean of the models' floating-point tensors and the first model's configuration.

    Dropout has no weights and may differ. Raises InputError for models or weights that cannot be averaged.
    """
    if not models or len(models) != len(weights):
        raise InputError(f"{len(models)} runs and {len(weights)} weights: give at least one run and a weight for each")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise InputError(f"weights {list(weights)}: give shares of at least 0 that sum to 1")
    first = models[0]
    for model in models[1:]:
        if _without_dropout(model.config) != _without_dropout(first.config):
            raise InputError(
                f"{model.config.model} and {first.config.model} differ in network, labels, options or preprocessing; "
                "give runs with equal configurations"
            )
    states = [model.network.state_dict() for model in models]
    mean = {
        name: sum(share * state[name].double() for share, state in zip(weights, states, strict=True)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in states[0].items()
    }
    averaged = EmotionClassifier(first.config)
    averaged.network.load_state_dict(mean)
    return averaged.eval()


def _without_dropout(config: ClassifierConfig) -> ClassifierConfig:
    return replace(config, options={name: value for name, value in config.options.items() if name != "dropout"})


@torch.no_grad()
def renew_statistics(model: EmotionClassifier, pixels: np.ndarray) -> None:
    """Set the mean and variance of every batch norm from prepared faces, float32 (N, C, S, S), normalised.

    Dropout stays off. The model is in evaluation mode afterwards.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    for start in range(0, len(pixels), BATCH):
        model(torch.from_numpy(pixels[start : start + BATCH]))
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    model.eval()


def average_runs(runs: Sequence[Path], weights: Sequence[float], data: str, out: Path) -> RunHistory:
    """The history of the averaged run, written to `out` together with its weights.

    `data` is the data set that the runs were trained on. Batch-norm statistics come from the training images that the
    last run's recipe uses, validation figures from its validation split. Raises what `average_weights` raises, and
    CheckpointError for a run without a finished epoch.
    """
    started = time.perf_counter()
    outcomes = [load_outcome(run) for run in runs]
    model = average_weights([model for _, model in outcomes], weights)
    last = outcomes[-1][0]
    splits = load_run_data(data, Recipe.from_dict(last["recipe"]), out / "near.npz")
    chosen = np.sort(np.random.default_rng(0).permutation(splits.train_indices)[:STATISTICS])
    renew_statistics(model, model.preprocessor.batch([splits.train.faces[i] for i in chosen]))
    figures = _validation_figures(model, splits, out.name)
    parts: list[AveragePart] = [
        {"name": run.name, "weight": weight, "sha256": file_hash(run / BEST_FILE)}
        for run, weight in zip(runs, weights, strict=True)
    ]
    history: RunHistory = {
        "recipe": {**last["recipe"], "name": out.name},
        "data": last["data"],
        "average": {"of": parts, "statistics": len(chosen)},
        "environment": environment() | {"dtype": "float32"},
        "epochs": [
            {
                "epoch": 1,
                "val_loss": figures["loss"],
                "val_accuracy": figures["accuracy"],
                "val_macro_f1": figures["macro_f1"],
                "seconds": round(time.perf_counter() - started, 1),
            }
        ],
        "finished": True,
    }
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    write_atomically(out / BEST_FILE, lambda part: save_file(tensors, part))
    write_json(out / HISTORY_FILE, history)
    return history


def _validation_figures(model: EmotionClassifier, splits: RunData, name: str) -> dict[str, float]:
    """Loss, accuracy and macro F1 on the validation images."""
    validation, kept = splits.validation, splits.validation_indices
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=name)
    labels = validation.labels[kept]
    probs = softmax(face_logits(predictor, [validation.faces[i] for i in kept], what="validation"))
    return {
        "loss": negative_log_likelihood(labels, probs),
        "accuracy": accuracy(labels, probs),
        "macro_f1": macro_f1(labels, probs),
    }
