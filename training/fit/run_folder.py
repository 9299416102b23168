"""What a run leaves in its folder: how it is written, and read back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from emotion_hub.errors import CheckpointError
from emotion_hub.models.classifier import EmotionClassifier
from training.fit.recipe import Recipe

__all__ = ["BEST_FILE", "HISTORY_FILE", "half_bytes", "load_outcome", "write_atomically"]

HISTORY_FILE = "history.json"
BEST_FILE = "best.safetensors"


def write_atomically(path: Path, write: Callable[[str], Any]) -> None:
    """Write beside the file and move it into place, so that a kill leaves the old one whole."""
    part = path.with_name(path.name + ".part")
    write(str(part))
    os.replace(part, path)


def load_outcome(folder: Path) -> tuple[dict[str, Any], EmotionClassifier]:
    """The history of a run and a classifier with its best weights; raises CheckpointError when it has no finished epoch."""
    history_file, weights_file = folder / HISTORY_FILE, folder / BEST_FILE
    if not (history_file.is_file() and weights_file.is_file()):
        raise CheckpointError(
            f"{folder} has no finished epoch; it needs {HISTORY_FILE} and {BEST_FILE}, which training.train writes"
        )
    history = json.loads(history_file.read_text())
    model = EmotionClassifier(Recipe.from_dict(history["recipe"]).classifier)
    model.network.load_state_dict(load_file(weights_file))
    return history, model


def half_bytes(model: EmotionClassifier) -> int:
    """Bytes of the tensors with floats in half precision."""
    return sum(t.numel() * (2 if t.is_floating_point() else t.element_size()) for t in model.state_dict().values())
