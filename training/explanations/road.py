"""ROAD: relevance maps measured by removing pixels and debiasing.

Rong, Leemann et al. 2022, arXiv:2202.00449. Removed pixels are replaced by a noisy linear mean of their neighbours, so
that the shape of the removed area does not tell the network what was there. The imputation is pytorch-grad-cam's.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from emotion_hub.explainers.base import GRID, Subject, on_grid
from emotion_hub.preprocess import FILTERS

__all__ = ["SHARES", "road"]

#: Shares of the cells that are removed; the score is the mean over them.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def road(subject: Subject, heatmap: np.ndarray, seed: int = 0) -> float:
    """Half the probability kept when the least relevant cells are removed, minus that when the most relevant are.

    -0.5..0.5, the mean over `SHARES`; higher is better, 0 is what a map without information gets on average. Cells are
    those of the 48-pixel face for both pipelines. Cells of equal relevance are removed in a fixed random order, so that
    every share removes the same number of cells. `seed` is that of this order and of the imputation's noise.
    """
    cells = on_grid(heatmap).ravel()
    random_order = np.random.default_rng(seed).permutation(cells.size)
    order = random_order[np.argsort(-cells[random_order], kind="stable")]
    counts = [round(share * cells.size) for share in SHARES]
    rows = np.ones((2 * len(counts), cells.size), dtype=bool)
    for row, count in enumerate(counts):
        rows[row, order[:count]] = False  # the most relevant
        rows[len(counts) + row, order[-count:]] = False
    kept = rows.reshape(-1, GRID, GRID)
    gray = np.asarray(subject.prepared.convert("L"), dtype=np.float32)
    face = torch.from_numpy(on_grid(gray) / 255)[None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        imputer = NoisyLinearImputer()
        imputed = [imputer(face, torch.from_numpy(mask.astype(np.float32)))[0].numpy() for mask in kept]
    probs = subject.probs(np.stack([_composed(subject, *pair) for pair in zip(kept, imputed, strict=True)]))
    most, least = probs[: len(counts)].mean(), probs[len(counts) :].mean()
    return float((least - most) / 2)


def _composed(subject: Subject, kept: np.ndarray, imputed: np.ndarray) -> np.ndarray:
    """float32, (C, S, S), normalised: the face in cells that are `kept`, else the imputed gray levels, 0..1."""
    levels = Image.fromarray((255 * imputed).clip(0, 255).round().astype(np.uint8))
    config = subject.predictor.preprocessor.config
    if subject.size != GRID:
        levels = levels.resize((subject.size, subject.size), FILTERS[config.upsample])
    index = np.arange(subject.size) * GRID // subject.size
    pixels = subject.predictor.preprocessor.normalise(np.asarray(levels))
    return np.where(kept[index[:, None], index[None, :]][None], subject.pixel_values, pixels)
