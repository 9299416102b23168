"""Losses for unequal class frequencies: class weights, logit adjustment."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError
from training.fit.recipe import Recipe

__all__ = ["balancing", "class_weights", "log_priors", "training_loss"]


def balancing(
    recipe: Recipe, labels: np.ndarray, targets: np.ndarray
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """`weights` and `offsets` of `training_loss`, float32 (C,); each None where the recipe does not use it.

    `labels` and `targets` are those of all training images. Raises ConfigError for a class without images.
    """
    weights = offsets = None
    if recipe.class_weights:
        weights = torch.from_numpy(class_weights(labels, len(recipe.labels), recipe.class_weights, recipe.class_beta))
    if recipe.loss == "logit_adjusted":
        offsets = recipe.tau * torch.from_numpy(log_priors(targets))
    return weights, offsets


def class_weights(labels: np.ndarray, classes: int, kind: str = "inverse", beta: float = 0.999) -> np.ndarray:
    """float32 (C,): weights of the classes with a mean of 1 over the images.

    "inverse" weighs a class with n images by 1 / n, "class_balanced" by (1 - beta) / (1 - beta^n), the inverse of its
    effective number of images (Cui et al. 2019, arXiv:1901.05555, equation 2): beta 0 gives equal weights, beta near 1
    those of "inverse". The paper scales them to a sum of C instead, a constant factor of the loss. Raises ConfigError
    for a class without images.
    """
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise ConfigError(
            f"class_weights={kind!r} needs images of every class; label_id "
            f"{np.flatnonzero(counts == 0).tolist()} has none; add images or leave class_weights out"
        )
    weights = 1 / counts if kind == "inverse" else (1 - beta) / (1 - beta**counts)
    return (weights * len(labels) / (weights * counts).sum()).astype(np.float32)


def log_priors(targets: np.ndarray) -> np.ndarray:
    """float32 (C,): logarithms of the mean target of each class, from float32 (N, C) targets with rows of sum 1.

    With labels alone these are the class frequencies. With FER+ votes or teachers they are the frequencies that a
    network learns from such targets, and MixUp and CutMix do not change them on average. Raises ConfigError for a
    class that no target contains.
    """
    priors = targets.mean(axis=0, dtype=np.float64)
    if not (priors > 0).all():
        raise ConfigError(
            "loss='logit_adjusted' needs images of every class; label_id "
            f"{np.flatnonzero(priors <= 0).tolist()} has none; add images or use loss='cross_entropy'"
        )
    return np.log(priors).astype(np.float32)


def training_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
    offsets: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean cross-entropy of float32 (N, C) logits against (N, C) probabilities or (N,) labels, a scalar.

    `offsets`, float32 (C,), tau times `log_priors`, make it the logit-adjusted loss (Menon et al. 2021,
    arXiv:2007.07314, equation 10): -sum_y t_y log softmax(f + tau log pi)_y for a target t. At its minimum
    softmax(f + tau log pi) = t, hence softmax(f) is proportional to t / pi^tau: with tau 1 the network predicts as if
    all labels were equally frequent. Soft targets must have the frequencies pi, so a teacher must not be adjusted
    itself. Without offsets it is the plain cross-entropy.
    """
    adjusted = logits if offsets is None else logits + offsets.to(logits.device)
    weights = None if weights is None else weights.to(logits.device)
    return F.cross_entropy(adjusted, targets, weight=weights, label_smoothing=smoothing)
