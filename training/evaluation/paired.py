"""Paired comparison of two predictors on the same faces: McNemar's test."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from scipy.stats import binomtest

from emotion_hub.errors import InputError
from training.evaluation.metrics import LEVEL, RESAMPLES

__all__ = ["PairedFigures", "paired"]


class PairedFigures(TypedDict):
    """Difference in accuracy of the second from the first predictor, -1..1, with its 95% interval [low, high].

    `only_first` and `only_second` count the faces that only one of them classifies correctly. `p_value` is that of
    McNemar's exact test: the probability of counts at least as unequal if both were equally accurate.
    """

    n: int
    difference: float
    interval: list[float]
    only_first: int
    only_second: int
    p_value: float


def paired(first: np.ndarray, second: np.ndarray, seed: int = 0) -> PairedFigures:
    """The comparison, from whether each prediction is correct, bool (N,), of the same faces in the same order.

    McNemar 1947, Psychometrika 12 (2); exact, by the binomial distribution. The interval is the percentile bootstrap
    over the faces: their outcomes (both, one, none correct) are drawn from a multinomial distribution. Raises
    InputError for arrays of different lengths and for no faces.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise InputError(
            f"outcomes of {first.shape} and {second.shape} faces: a comparison needs the same faces, at least one"
        )
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    n = len(first)
    shares = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=RESAMPLES)
    ends = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    unequal = only_first + only_second
    return {
        "n": n,
        "difference": (only_second - only_first) / n,
        "interval": [float(end) for end in ends],
        "only_first": only_first,
        "only_second": only_second,
        "p_value": float(binomtest(only_first, unequal).pvalue) if unequal else 1.0,
    }
