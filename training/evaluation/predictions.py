"""Logits and probabilities of faces, with the preprocessing of serving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.predictor import EmotionPredictor, softmax

__all__ = ["face_logits", "face_probs"]


def face_logits(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], batch_size: int = 64, what: str = "faces"
) -> np.ndarray:
    """float32, (N, num_classes): the logits of every face, with the preprocessing that serving uses."""
    starts = tqdm(range(0, len(faces), batch_size), desc=f"{predictor.name}: {what}", disable=None)
    rows = [
        predictor.backend.logits(predictor.preprocessor.batch(faces[start : start + batch_size])) for start in starts
    ]
    return np.concatenate(rows) if rows else np.empty((0, len(predictor.labels)), dtype=np.float32)


def face_probs(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], batch_size: int = 64, what: str = "faces"
) -> np.ndarray:
    """float64, (N, num_classes): the probabilities of every face."""
    return softmax(face_logits(predictor, faces, batch_size, what))
