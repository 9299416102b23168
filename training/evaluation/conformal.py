"""Fit the thresholds of prediction sets, and measure the sets.

Split-conformal prediction: Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"; Angelopoulos and
Bates 2021, arXiv:2107.07511, section 1 for the quantile. The score and the thresholds per label are those of Sadinle,
Lei and Wasserman 2019, JASA 114(525).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from emotion_hub.errors import InputError
from emotion_hub.prediction_sets import PredictionSets
from training.evaluation.metrics import LEVEL, RESAMPLES
from training.evaluation.report_types import CoverageFigures, PredictionSetFigures

__all__ = ["COVERAGE", "conformal_quantile", "coverage_figures", "fit_prediction_sets", "set_figures"]

#: Nominal coverage of the shipped checkpoints.
COVERAGE = 0.9

#: Digits of a stored threshold. Rounding up keeps the coverage; few digits make a fit on another processor, whose
#: float32 results differ in the seventh digit, end at the same thresholds.
DIGITS = 4


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest of n scores; infinity when n is too small, which excludes no label.

    A score that is exchangeable with these is at most the quantile with a probability of at least `coverage` and,
    without ties, of at most coverage + 1 / (n + 1): arXiv:2107.07511, theorem 1.
    """
    rank = math.ceil(round((len(scores) + 1) * coverage, 9))  # a product of floats may exceed a whole number by 1e-15
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


def fit_prediction_sets(
    labels: np.ndarray,
    probs: np.ndarray,
    names: Sequence[str],
    coverage: float = COVERAGE,
    *,
    per_label: bool = True,
) -> PredictionSets:
    """The rule of `PredictionSets` from the scores 1 - p(true label), with thresholds rounded up to `DIGITS` digits.

    `labels` are int64 (N,), `probs` float (N, C), `names` the C labels. With `per_label` each threshold is the quantile
    of the images of its label (label-conditional coverage). Else one quantile of all images is the threshold of every
    label (marginal coverage).

    Raises InputError for no images, unequal lengths and a label with too few images, which would be in every set, and
    ConfigError for a coverage outside of 0..1.
    """
    if not len(labels) or labels.shape != probs.shape[:1] or probs.shape[1:] != (len(names),):
        raise InputError(
            f"labels {labels.shape} and probs {probs.shape} for {len(names)} labels: prediction sets need one row of "
            "probabilities for each image, and at least one image"
        )
    PredictionSets(coverage, dict.fromkeys(names, 1.0))  # checks the coverage
    scores = 1 - probs[np.arange(len(labels)), labels]
    groups = [scores[labels == k] for k in range(len(names))] if per_label else [scores] * len(names)
    thresholds = {}
    for name, group in zip(names, groups, strict=True):
        quantile = conformal_quantile(group, coverage)
        if quantile > 1:
            least = math.ceil(round(coverage / (1 - coverage), 6))
            raise InputError(
                f"{len(group)} validation images of {name!r}: a coverage of {coverage:g} needs at least {least} of "
                "each label; add images, or lower the coverage"
            )
        thresholds[name] = min(1.0, math.ceil(quantile * 10**DIGITS) / 10**DIGITS)
    return PredictionSets(coverage, thresholds)


def coverage_figures(labels: np.ndarray, members: np.ndarray) -> CoverageFigures:
    """n, coverage and mean size of prediction sets, with 95% intervals; `members` is bool (N, C).

    The interval of the coverage is Wilson's (1927), which stays meaningful for the few images of a rare label; that of
    the size is a percentile bootstrap over the images. Raises InputError for no images.
    """
    if not len(labels):
        raise InputError("there are no images to measure; choose a split or a group that has some")
    covered, sizes = members[np.arange(len(labels)), labels], members.sum(axis=1)
    wilson = binomtest(int(covered.sum()), len(covered)).proportion_ci(LEVEL, method="wilson")
    counts = np.bincount(sizes, minlength=members.shape[1] + 1)
    draws = np.random.default_rng(0).multinomial(len(sizes), counts / len(sizes), size=RESAMPLES)
    means = draws @ np.arange(len(counts)) / len(sizes)
    return {
        "n": len(labels),
        "coverage": float(covered.mean()),
        "mean_size": float(sizes.mean()),
        "interval": {
            "coverage": [float(wilson.low), float(wilson.high)],
            "mean_size": [float(end) for end in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])],
        },
    }


def set_figures(
    labels: np.ndarray, probs: np.ndarray, names: Sequence[str], sets: PredictionSets
) -> PredictionSetFigures:
    """The part `prediction_sets` of a report: figures of all images and of each label that occurs.

    `sizes` is the share of images by the size of their set, from 1 up. Raises InputError for no images.
    """
    members = sets.members(probs, names)
    sizes = np.bincount(members.sum(axis=1), minlength=len(names) + 1)[1:] / max(1, len(labels))
    return {
        **coverage_figures(labels, members),
        "nominal": sets.coverage,
        "thresholds": dict(sets.thresholds),
        "sizes": [float(share) for share in sizes],
        "per_class": {
            name: coverage_figures(labels[labels == k], members[labels == k])
            for k, name in enumerate(names)
            if (labels == k).any()
        },
    }
