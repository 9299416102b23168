"""Differences between groups: Wilson intervals, permutation tests, Holm.

Everywhere `labels` and `predictions` are int64 (N,), positions in a label set, and `groups` int64 (N,), 0 .. G-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, random_table

from training.evaluation.metrics import LEVEL

__all__ = ["PERMUTATIONS", "GapTest", "gap_tests", "holm", "wilson"]

#: Permutations of a test, so that the smallest p value is 1 in 10,001.
PERMUTATIONS = 10_000


class GapTest(NamedTuple):
    """The gap of a metric between its highest and its lowest group, 0..1, their positions, and the p value."""

    value: float
    highest: int
    lowest: int
    p: float


def wilson(correct: int, n: int, level: float = LEVEL) -> list[float]:
    """Wilson's interval of a share, [low, high] in 0..1 (Wilson 1927, JASA 22)."""
    interval = binomtest(correct, n).proportion_ci(level, method="wilson")
    return [float(interval.low), float(interval.high)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number: the m - k times k-th smallest, made monotone, at most 1 (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, dtype=np.float64)[order]), 1)
    corrected = np.empty(len(p_values))
    corrected[order] = raised
    return corrected.tolist()


def gap_tests(
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, GapTest]:
    """{"accuracy", "macro_f1"}: the gap between the highest and the lowest group, and how likely chance makes it.

    The null hypothesis is that, given its label, an image is predicted alike in every group. Groups are therefore
    permuted among the images of one label, so that groups with other shares of difficult labels are not called
    different. The statistic is the gap itself, so that the choice of the two groups is accounted for. p is (1 + k) /
    (1 + permutations), where k permutations reach the gap (Phipson & Smyth 2010, arXiv:1603.05766). Macro F1 is
    averaged over the labels that occur in a group.

    Permuting leaves the margins of each label's table of groups by predictions as they are. Tables with these margins
    are drawn directly (Patefield 1981), which gives the same distribution.
    """
    classes = int(max(labels.max(), predictions.max())) + 1
    observed = np.zeros((classes, int(groups.max()) + 1, classes), dtype=np.int64)
    np.add.at(observed, (labels, groups, predictions), 1)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((permutations, *observed.shape), dtype=np.int64)
    for label, table in enumerate(observed):
        if table.any():
            margins = random_table(table.sum(axis=1), table.sum(axis=0))
            drawn[:, label] = margins.rvs(size=permutations, random_state=rng)
    values, chance = _metrics(observed[None]), _metrics(drawn)
    result = {}
    for name, [by_group] in values.items():
        gap = float(np.ptp(by_group))
        reached = int((np.ptp(chance[name], axis=1) >= gap - 1e-12).sum())
        p = (1 + reached) / (1 + permutations)
        result[name] = GapTest(gap, int(by_group.argmax()), int(by_group.argmin()), p)
    return result


def _metrics(tables: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: float64 (B, G)} of tables (B, labels, G, predictions); every group has an image."""
    correct = np.einsum("blgl->bgl", tables)  # by predicted label, which is the true one
    actual = tables.sum(axis=3).swapaxes(1, 2)
    predicted = tables.sum(axis=1)
    f1 = 2 * correct / np.maximum(actual + predicted, 1)
    present = actual > 0
    return {
        "accuracy": correct.sum(axis=2) / actual.sum(axis=2),
        "macro_f1": (f1 * present).sum(axis=2) / present.sum(axis=2),
    }
