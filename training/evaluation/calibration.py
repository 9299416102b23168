"""Temperature scaling: calibrate probabilities with one fitted factor."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.models.parts import last_linear
from emotion_hub.predictor import softmax
from training.evaluation.metrics import expected_calibration_error, negative_log_likelihood

__all__ = ["LOWEST", "CalibrationRecord", "calibration_record", "fit_temperature", "fold_temperature"]

#: Temperatures from this to its inverse are searched.
LOWEST = 0.05


class BeforeAfter(TypedDict):
    """A metric before and after temperature scaling."""

    before: float
    after: float


class ValidationFigures(TypedDict):
    """Images that the temperature was fitted on, with their log-likelihood and calibration error."""

    n: int
    nll: BeforeAfter
    ece: BeforeAfter


class CalibrationRecord(TypedDict):
    """The part `calibration` of `training.json`."""

    temperature: float
    validation: ValidationFigures


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, arXiv:1706.04599, section 4.2. `logits` are float (N, C), `labels` int64 (N,). The likelihood is
    concave in 1 / T, so there is one minimum. Raises InputError when it lies outside LOWEST .. 1 / LOWEST: such
    predictions are all correct, all wrong, or no logits.
    """
    if not len(labels) or logits.shape[:1] != labels.shape:
        raise InputError(
            f"logits {logits.shape} and labels {labels.shape}: a temperature needs one row of logits for each label, "
            "and at least one"
        )

    def likelihood(log_t: float) -> float:
        return negative_log_likelihood(labels, softmax(logits / np.exp(log_t)))

    minimum = minimize_scalar(likelihood, bounds=(np.log(LOWEST), -np.log(LOWEST)), method="bounded")
    temperature = float(np.exp(minimum.x))
    if not LOWEST * 1.01 < temperature < 0.99 / LOWEST:
        raise InputError(
            f"the temperature runs to {temperature:.3g}, the end of the searched range: these predictions are all "
            "right or all wrong; fit on more images"
        )
    return temperature


@torch.no_grad()
def fold_temperature(network: nn.Module, temperature: float) -> None:
    """Divide weight and bias of the last linear layer by the temperature, in place, which divides the logits by it.

    Raises InputError for a temperature that is not a finite number above 0.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature={temperature!r}: a temperature is a finite number above 0")
    layer = last_linear(network)
    layer.weight.div_(temperature)
    if layer.bias is not None:
        layer.bias.div_(temperature)


def calibration_record(logits: np.ndarray, labels: np.ndarray, temperature: float) -> CalibrationRecord:
    """The temperature, and log-likelihood and calibration error of these predictions before and after it."""
    before, after = softmax(logits), softmax(logits / temperature)
    nll = BeforeAfter(before=negative_log_likelihood(labels, before), after=negative_log_likelihood(labels, after))
    ece = BeforeAfter(
        before=expected_calibration_error(labels, before), after=expected_calibration_error(labels, after)
    )
    return {"temperature": temperature, "validation": {"n": len(labels), "nll": nll, "ece": ece}}
