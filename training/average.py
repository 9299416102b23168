"""Average the weights of runs that grew from one: `python -m training.average --run A --run B --weight .3 --weight .7 --data D --out OUT`.

Networks fine-tuned from the same weights often lie in one valley of the loss, and their mean answers better than either (Wortsman et al. 2022,
https://arxiv.org/abs/2203.05482). Batch-norm statistics are no weights: they are taken anew from the training images that the last run's recipe
uses (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407). A single run, with `--weight 1`, keeps its weights and gets statistics of faces as they
are, instead of the augmented ones of its training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import file_hash
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor, softmax
from training.evaluation.measure import face_logits
from training.evaluation.metrics import accuracy, confusion, macro_f1, negative_log_likelihood
from training.fit.recipe import Recipe
from training.fit.run_folder import BEST_FILE, HISTORY_FILE, load_outcome, write_atomically
from training.fit.session import environment, load_run_data

__all__ = ["STATISTICS", "average_weights", "main", "renew_statistics"]

#: Training images that set the batch-norm statistics, and how many go through at once.
STATISTICS, BATCH = 4096, 256


def average_weights(models: Sequence[EmotionClassifier], weights: Sequence[float]) -> EmotionClassifier:
    """A classifier with the weighted mean of the models' floating-point tensors and the first one's configuration.

    Dropout, which has no weights, may differ. Raises InputError where they cannot be averaged.
    """
    if not models or len(models) != len(weights):
        raise InputError(f"{len(models)} runs and {len(weights)} weights: give at least one run and a weight for each")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise InputError(f"weights {list(weights)}: shares of at least 0 that sum to 1")
    first = models[0]
    for model in models[1:]:
        if _without_dropout(model.config) != _without_dropout(first.config):
            raise InputError(
                f"{model.config.model} and {first.config.model} differ in network, labels, options or preprocessing; only equals are averaged"
            )
    states = [model.network.state_dict() for model in models]
    mean = {
        name: sum(share * state[name].double() for share, state in zip(weights, states, strict=True)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in states[0].items()
    }
    made = EmotionClassifier(first.config)
    made.network.load_state_dict(mean)
    return made.eval()


def _without_dropout(config: ClassifierConfig) -> ClassifierConfig:
    return replace(config, options={name: value for name, value in config.options.items() if name != "dropout"})


@torch.no_grad()
def renew_statistics(model: EmotionClassifier, pixels: np.ndarray) -> None:
    """Set every batch norm's mean and variance from float32 (N, C, S, S) prepared faces; dropout stays off. Leaves evaluation mode on."""
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


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The history written to --out, which is a run's folder for `training.package` and, by its best.safetensors, a start for `training.train`."""
    parser = argparse.ArgumentParser(prog="training.average", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", required=True, type=Path, action="append", help="an --out folder of training.train; may be repeated"
    )
    parser.add_argument(
        "--weight",
        required=True,
        type=float,
        action="append",
        help="the share of each run, in the same order; they sum to 1",
    )
    parser.add_argument(
        "--data",
        required=True,
        help="the data set they were trained on: statistics from its training split, figures on its validation split",
    )
    parser.add_argument("--out", required=True, type=Path, help="where to write history.json and best.safetensors")
    args = parser.parse_args(argv)
    begun = time.perf_counter()
    loaded = [load_outcome(run) for run in args.run]
    model = average_weights([model for _, model in loaded], args.weight)
    last = loaded[-1][0]
    data = load_run_data(args.data, Recipe.from_dict(last["recipe"]), args.out / "near.npz")
    chosen = np.sort(np.random.default_rng(0).permutation(data.train_indices)[:STATISTICS])
    renew_statistics(model, model.preprocessor.batch([data.train.faces[i] for i in chosen]))
    validation, apart = data.validation, data.validation_indices
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=args.out.name)
    probs, labels = (
        softmax(face_logits(predictor, [validation.faces[i] for i in apart], what="validation")),
        validation.labels[apart],
    )
    matrix = confusion(labels, probs)
    figures = {
        "val_loss": negative_log_likelihood(labels, probs),
        "val_accuracy": float(accuracy(matrix)),
        "val_macro_f1": float(macro_f1(matrix)),
    }
    parts = [
        {"name": run.name, "weight": weight, "sha256": file_hash(run / BEST_FILE)}
        for run, weight in zip(args.run, args.weight, strict=True)
    ]
    history = {
        "recipe": {**last["recipe"], "name": args.out.name},
        "data": last["data"],
        "average": {"of": parts, "statistics": len(chosen)},
        "environment": environment() | {"dtype": "float32"},
        "epochs": [{"epoch": 1, **figures, "seconds": round(time.perf_counter() - begun, 1)}],
        "finished": True,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    write_atomically(args.out / BEST_FILE, lambda part: save_file(tensors, part))
    write_atomically(args.out / HISTORY_FILE, lambda part: Path(part).write_text(json.dumps(history, indent=1) + "\n"))
    print(
        f"{args.out.name}: validation {figures['val_accuracy']:.4f}, macro F1 {figures['val_macro_f1']:.4f}, loss {figures['val_loss']:.4f}"
    )
    return history


if __name__ == "__main__":
    main()
