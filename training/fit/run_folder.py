"""Files of a run: starting weights, history, best weights."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file

from emotion_hub.checkpoints import WEIGHTS_FILE, resolve_file
from emotion_hub.errors import CheckpointError
from emotion_hub.models.classifier import EmotionClassifier
from training.fit.recipe import Recipe
from training.fit.record_types import EpochRecord, RunHistory

__all__ = [
    "BEST_FILE",
    "HISTORY_FILE",
    "best_epoch",
    "epoch_score",
    "half_bytes",
    "load_history",
    "load_outcome",
    "weights_file",
]

HISTORY_FILE = "history.json"
BEST_FILE = "best.safetensors"


def load_history(folder: Path) -> RunHistory:
    """The history of a run; raises CheckpointError for a folder without one."""
    if not (folder / HISTORY_FILE).is_file():
        raise CheckpointError(f"{folder} has no {HISTORY_FILE}; give the --out folder of a run with a finished epoch")
    return json.loads((folder / HISTORY_FILE).read_text())


def load_outcome(folder: Path) -> tuple[RunHistory, EmotionClassifier]:
    """The history of a run and a classifier with its best weights.

    Raises CheckpointError for a run without a finished epoch.
    """
    if not ((folder / HISTORY_FILE).is_file() and (folder / BEST_FILE).is_file()):
        raise CheckpointError(
            f"{folder} has no finished epoch; it needs {HISTORY_FILE} and {BEST_FILE}, which training.train writes"
        )
    history = load_history(folder)
    model = EmotionClassifier(Recipe.from_dict(history["recipe"]).classifier)
    model.network.load_state_dict(load_file(folder / BEST_FILE))
    return history, model


def epoch_score(epoch: EpochRecord, select: str) -> float:
    """The validation score by which a recipe's `select` compares epochs."""
    return epoch["val_macro_f1"] if select == "macro_f1" else epoch["val_accuracy"]


def best_epoch(history: RunHistory) -> EpochRecord:
    """The first epoch with the highest validation score, whose weights were kept."""
    select = history["recipe"].get("select", "accuracy")
    return max(history["epochs"], key=lambda epoch: epoch_score(epoch, select))


def half_bytes(model: EmotionClassifier) -> int:
    """Bytes of the model's tensors when floating-point numbers are stored in 16 bits."""
    return sum(t.numel() * (2 if t.is_floating_point() else t.element_size()) for t in model.state_dict().values())


def weights_file(source: str) -> Path:
    """The file of starting weights: `source` itself, or the weights of a checkpoint's name, folder or Hub id.

    Raises UnknownModelError for a name that is none of these.
    """
    path = Path(source)
    return path if path.is_file() or path.suffix in (".safetensors", ".pt") else resolve_file(source, WEIGHTS_FILE)
