"""Temperature scaling: one number, fitted on validation, that makes probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.models.parts import last_linear
from emotion_hub.predictor import softmax
from training.evaluation.metrics import expected_calibration_error, negative_log_likelihood

__all__ = ["LOWEST", "calibration_record", "fit_temperature", "fold_temperature"]

#: Temperatures from this to its inverse are searched.
LOWEST = 0.05


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the negative log-likelihood of softmax(logits / T); logits float (N, C), labels int64 (N,).

    Guo et al. 2017, arXiv:1706.04599, section 4.2. The likelihood is concave in 1 / T, so there is one minimum. Raises InputError when it lies outside
    LOWEST .. 1 / LOWEST: such answers are all right, all wrong or no logits.
    """
    if not len(labels) or logits.shape[:1] != labels.shape:
        raise InputError(
            f"logits {logits.shape} and labels {labels.shape}: a temperature needs one row of logits for each label, and at least one"
        )

    def likelihood(log_t: float) -> float:
        return negative_log_likelihood(labels, softmax(logits / np.exp(log_t)))

    found = minimize_scalar(likelihood, bounds=(np.log(LOWEST), -np.log(LOWEST)), method="bounded")
    temperature = float(np.exp(found.x))
    if not LOWEST * 1.01 < temperature < 0.99 / LOWEST:
        raise InputError(
            f"the temperature runs to {temperature:.3g}, the end of what is searched: these answers are all right or all wrong; fit on more images"
        )
    return temperature


@torch.no_grad()
def fold_temperature(network: nn.Module, temperature: float) -> None:
    """Divide the last linear layer's weight and bias by the temperature, in place: the logits are then the old ones divided by it.

    Raises InputError for a temperature that is not a finite number above 0.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature={temperature!r}: a temperature is a finite number above 0")
    layer = last_linear(network)
    layer.weight.div_(temperature)
    if layer.bias is not None:
        layer.bias.div_(temperature)


def calibration_record(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, Any]:
    """{"temperature", "validation": {"n", "nll": {"before", "after"}, "ece": {"before", "after"}}}: what the temperature does to these answers."""
    both = {"before": softmax(logits), "after": softmax(logits / temperature)}
    measures = {"nll": negative_log_likelihood, "ece": expected_calibration_error}
    figures = {
        name: {when: measure(labels, probs) for when, probs in both.items()} for name, measure in measures.items()
    }
    return {"temperature": temperature, "validation": {"n": len(labels), **figures}}
