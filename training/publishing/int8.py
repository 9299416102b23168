"""Quantise a checkpoint folder to 8 bits, calibrated on training faces."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from emotion_hub.checkpoints import CONFIG_FILE, INT8_FILE, ONNX_FILE, WEIGHTS_FILE
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.quantize import CALIBRATION_FACES, Quantized, quantize_onnx
from training.data.faces import SPLITS, load_split
from training.data.selection import clean_training_indices

__all__ = ["write_int8"]


def write_int8(folder: Path, data: str | Path) -> Quantized:
    """Write the int8 ONNX file of the checkpoint in `folder` beside its weights.

    Its ranges are calibrated on faces drawn, with a seed, from the training images of `data` that have no exact
    copy in the other splits. Raises InputError for a folder without a checkpoint and for data without one of the
    three splits.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{folder} has no {CONFIG_FILE}; give the folder of a checkpoint, as training.package writes it"
        )
    classifier = EmotionClassifier.from_pretrained(folder)
    train, *evaluation = (load_split(data, name, classifier.labels) for name in SPLITS)
    kept, _ = clean_training_indices(train, *evaluation, near=None)
    chosen = np.sort(np.random.default_rng(0).choice(kept, size=min(CALIBRATION_FACES, len(kept)), replace=False))
    with tempfile.TemporaryDirectory() as temporary:
        full = export_onnx(classifier, Path(temporary) / ONNX_FILE, weights_file=folder / WEIGHTS_FILE)
        return quantize_onnx(full.path, folder / INT8_FILE, [train.faces[i] for i in chosen])
