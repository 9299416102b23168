"""Figures of a classifier's answers: accuracy, F1, confusion, calibration, and how far a sample of this size can be trusted.

Everywhere `labels` are int64 (N,), `probs` float (N, C) with rows of sum 1, `names` the C labels in the order of the logits,
and a confusion matrix counts images, int64 (C, C), true label by row and answer by column. All figures lie in 0..1 but the
negative log-likelihood, which is in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from emotion_hub.errors import InputError

__all__ = [
    "BINS",
    "LEVEL",
    "RESAMPLES",
    "accuracy",
    "bootstrap",
    "brief",
    "confusion",
    "expected_calibration_error",
    "macro_f1",
    "negative_log_likelihood",
    "per_class",
    "reliability_bins",
    "scores",
    "top_k_accuracy",
]

#: Bins of the reliability diagram and of the expected calibration error.
BINS = 15

#: Bootstrap: how often the images are drawn anew, and the share of the draws that an interval holds.
RESAMPLES, LEVEL = 2000, 0.95


def confusion(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """int64 (C, C): images by true label (row) and answer (column); raises InputError for no images or shapes that do not fit."""
    if probs.ndim != 2 or labels.shape != probs.shape[:1]:
        raise InputError(
            f"labels {labels.shape} and probs {probs.shape}: one row of probabilities belongs to each label"
        )
    if not len(labels):
        raise InputError("there are no images to measure; choose a split or a group that has some")
    return confusion_matrix(labels, probs.argmax(1), labels=range(probs.shape[1]))


def accuracy(matrix: np.ndarray) -> np.ndarray | float:
    """The share of right answers of a confusion matrix (C, C), or of a stack of them (..., C, C)."""
    return np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=(-2, -1))


def macro_f1(matrix: np.ndarray, classes: Sequence[int] | None = None) -> np.ndarray | float:
    """The mean over `classes` (all by default) of 2 tp / (2 tp + fp + fn), 0 where that is 0/0, of a confusion matrix (C, C) or a stack of them."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    either = matrix.sum(axis=-1) + matrix.sum(axis=-2)
    f1 = 2 * right / np.maximum(either, 1)
    return (f1 if classes is None else f1[..., list(classes)]).mean(axis=-1)


def per_class(labels: np.ndarray, probs: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """{label: {"precision", "recall", "f1", "support"}}; what would be 0/0 is 0."""
    values = precision_recall_fscore_support(labels, probs.argmax(1), labels=range(len(names)), zero_division=0)
    rows = zip(names, *values, strict=True)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in rows
    }


def top_k_accuracy(labels: np.ndarray, probs: np.ndarray, k: int = 2) -> float:
    """The share of images whose label is among the k most probable ones."""
    return float((np.argsort(-probs, axis=1, kind="stable")[:, :k] == labels[:, None]).any(axis=1).mean())


def negative_log_likelihood(labels: np.ndarray, probs: np.ndarray) -> float:
    """The mean of -log p(label), in nats; probabilities below 1e-12 count as that."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1)).mean())


def reliability_bins(labels: np.ndarray, probs: np.ndarray, bins: int = BINS) -> list[dict[str, float | int | None]]:
    """The reliability diagram: for each of `bins` equal-width bins of the top probability, ((m - 1) / M, m / M], its upper edge, images, mean top
    probability and accuracy (None for an empty bin)."""
    confidence, right = probs.max(1), probs.argmax(1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count, confident, correct = (np.bincount(which, weights=w, minlength=bins) for w in (None, confidence, right))
    rows = zip(np.arange(1, bins + 1) / bins, count, confident, correct, strict=True)
    return [
        {
            "to": round(float(to), 4),
            "n": int(n),
            "confidence": float(c / n) if n else None,
            "accuracy": float(a / n) if n else None,
        }
        for to, n, c, a in rows
    ]


def expected_calibration_error(labels: np.ndarray, probs: np.ndarray, bins: int = BINS) -> float:
    """ECE = sum over bins m of |B_m| / n * |accuracy(B_m) - confidence(B_m)|, on the bins of `reliability_bins`.

    Guo et al. 2017, arXiv:1706.04599, equation 3. Confidence is the mean top probability of the bin's images.
    """
    rows = [row for row in reliability_bins(labels, probs, bins) if row["n"]]
    return float(sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(labels))


def bootstrap(
    matrix: np.ndarray,
    classes: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, list[float]]:
    """{"accuracy": [low, high], "macro_f1": [low, high]}: percentile intervals from drawing the images anew (Efron & Tibshirani 1993, chapter 13).

    Drawing n images with replacement makes the cells of the confusion matrix multinomial, so the matrices are drawn, all at once,
    which is the same distribution.
    """
    count = int(matrix.sum())
    drawn = (
        np.random.default_rng(seed)
        .multinomial(count, matrix.ravel() / count, size=resamples)
        .reshape(resamples, *matrix.shape)
    )
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: [float(v) for v in np.quantile(values, ends)]
        for name, values in (("accuracy", accuracy(drawn)), ("macro_f1", macro_f1(drawn, classes)))
    }


def brief(labels: np.ndarray, probs: np.ndarray, present_only: bool = False) -> dict[str, Any]:
    """n, accuracy, macro F1 and their intervals; `present_only` takes the mean F1 over the labels that occur, for groups that lack some."""
    matrix = confusion(labels, probs)
    classes = np.flatnonzero(matrix.sum(1)).tolist() if present_only else None
    figures = {
        "n": int(matrix.sum()),
        "accuracy": float(accuracy(matrix)),
        "macro_f1": float(macro_f1(matrix, classes)),
    }
    return {**figures, "interval": bootstrap(matrix, classes)}


def scores(labels: np.ndarray, probs: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Every figure of this module, as plain JSON types; `interval` holds the 95% intervals of accuracy and macro F1."""
    matrix = confusion(labels, probs)
    return {
        **brief(labels, probs),
        "top2_accuracy": top_k_accuracy(labels, probs),
        "log_loss": negative_log_likelihood(labels, probs),
        "ece": expected_calibration_error(labels, probs),
        "per_class": per_class(labels, probs, names),
        "confusion_matrix": matrix.tolist(),
        "reliability": reliability_bins(labels, probs),
    }
