"""Fast predictor, detector and pictures for the tests of batch and video."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from emotion_hub.detectors import Detection, FaceDetector, Framing
from emotion_hub.labels import FER2013, LabelSet
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor

__all__ = [
    "ENVIRONMENT",
    "ROOT",
    "CornerDetector",
    "Linear",
    "linear_predictor",
    "noise_png",
    "parquet_rows",
]

ROOT = Path(__file__).resolve().parents[2]

#: Environment of subprocesses that import this module.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class Linear:
    """A backend of one random linear layer; `calls` holds the number of faces of each call."""

    def __init__(self, classes: int, channels: int = 1, side: int = 48, seed: int = 0) -> None:
        self.weight = np.random.default_rng(seed).normal(0, 0.02, (channels * side * side, classes)).astype(np.float32)
        self.num_parameters, self.weights = self.weight.size, f"seed{seed}"
        self.calls: list[int] = []

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.calls.append(len(pixel_values))
        return pixel_values.reshape(len(pixel_values), -1) @ self.weight


def linear_predictor(
    name: str = "linear",
    labels: LabelSet = FER2013,
    preprocess: str = "native48",
    seed: int = 0,
    detector: FaceDetector | None = None,
) -> EmotionPredictor:
    """A predictor with a `Linear` backend."""
    preprocessor = Preprocessor(preprocess)
    backend = Linear(len(labels), preprocessor.config.channels, preprocessor.config.size, seed)
    return EmotionPredictor(backend, labels, preprocessor, name=name, detector=detector)


class CornerDetector:
    """Finds two faces at fixed places in every image, the smaller one first."""

    name, framing = "corners", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection((5, 5, 35, 35), 0.5), Detection((40, 30, 100, 90), 0.75)]


def noise_png(seed: int, side: int = 48) -> bytes:
    """A PNG file of gray noise, another one for each seed."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file."""
    return pq.read_table(path).to_pylist()
