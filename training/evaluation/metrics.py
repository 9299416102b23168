"""Metrics: accuracy, F1, confusion matrix, ECE, bootstrap intervals.

Everywhere `labels` are int64 (N,), `probs` float (N, C) with rows of sum 1, and `names` the C labels in the order
of the logits. A confusion matrix counts images, int64 (C, C), true label by row and predicted label by column.
All metrics lie in 0..1, except the negative log-likelihood, which is in nats.

scikit-learn computes what it defines in the same way. Written here are: the log-likelihood and the top-k
accuracy, since scikit-learn clips probabilities elsewhere and ranks ties the other way round; the expected
calibration error, which it lacks; and the bootstrap, which needs accuracy and F1 of thousands of confusion
matrices at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from emotion_hub.errors import InputError
from training.evaluation.report_types import ClassFigures, Figures, Interval, ReliabilityBin, Scores

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

#: Bootstrap: number of resamples, and the share of them that an interval holds.
RESAMPLES, LEVEL = 2000, 0.95


def _check_shapes(labels: np.ndarray, probs: np.ndarray) -> None:
    if probs.ndim != 2 or labels.shape != probs.shape[:1]:
        raise InputError(f"labels {labels.shape} and probs {probs.shape}: give one row of probabilities for each label")
    if not len(labels):
        raise InputError("there are no images to measure; choose a split or a group that has some")


def confusion(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The confusion matrix, int64 (C, C), true label by row; raises InputError for no images or unequal lengths."""
    _check_shapes(labels, probs)
    return confusion_matrix(labels, probs.argmax(1), labels=range(probs.shape[1]))


def accuracy(labels: np.ndarray, probs: np.ndarray) -> float:
    """The share of correct predictions; raises InputError for no images or unequal lengths."""
    _check_shapes(labels, probs)
    return float(accuracy_score(labels, probs.argmax(1)))


def macro_f1(labels: np.ndarray, probs: np.ndarray, classes: Sequence[int] | None = None) -> float:
    """The mean F1 over `classes` (default: all), 0 for a class without images and predictions; raises as `accuracy`."""
    _check_shapes(labels, probs)
    averaged = range(probs.shape[1]) if classes is None else classes
    return float(f1_score(labels, probs.argmax(1), labels=averaged, average="macro", zero_division=0))


def per_class(labels: np.ndarray, probs: np.ndarray, names: Sequence[str]) -> dict[str, ClassFigures]:
    """{label: {"precision", "recall", "f1", "support"}}; 0/0 counts as 0."""
    values = precision_recall_fscore_support(labels, probs.argmax(1), labels=range(len(names)), zero_division=0)
    rows = zip(names, *values, strict=True)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in rows
    }


def top_k_accuracy(labels: np.ndarray, probs: np.ndarray, k: int = 2) -> float:
    """The share of images whose label is among the k most probable ones; the first class wins ties."""
    return float((np.argsort(-probs, axis=1, kind="stable")[:, :k] == labels[:, None]).any(axis=1).mean())


def negative_log_likelihood(labels: np.ndarray, probs: np.ndarray) -> float:
    """The mean of -log p(label), in nats; probabilities are clipped to at least 1e-12."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1)).mean())


def reliability_bins(labels: np.ndarray, probs: np.ndarray, bins: int = BINS) -> list[ReliabilityBin]:
    """The reliability diagram: upper edge, images, mean top probability and accuracy of `bins` equal-width bins.

    Bin m of M holds the images whose top probability lies in ((m - 1) / M, m / M]. Mean and accuracy of an empty bin
    are None.
    """
    confidence, correct = probs.max(1), probs.argmax(1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, confidences, hits = (np.bincount(bin_of, weights=w, minlength=bins) for w in (None, confidence, correct))
    rows = zip(np.arange(1, bins + 1) / bins, counts, confidences, hits, strict=True)
    return [
        {
            "to": round(float(edge), 4),
            "n": int(n),
            "confidence": float(c / n) if n else None,
            "accuracy": float(h / n) if n else None,
        }
        for edge, n, c, h in rows
    ]


def expected_calibration_error(labels: np.ndarray, probs: np.ndarray, bins: int = BINS) -> float:
    """ECE = sum over bins m of |B_m| / n * |accuracy(B_m) - confidence(B_m)|, on the bins of `reliability_bins`.

    Guo et al. 2017, arXiv:1706.04599, equation 3. Confidence is the mean top probability of the bin's images.
    """
    total = 0.0
    for row in reliability_bins(labels, probs, bins):
        if row["accuracy"] is not None and row["confidence"] is not None:
            total += row["n"] * abs(row["accuracy"] - row["confidence"])
    return float(total / len(labels))


def bootstrap(
    matrix: np.ndarray,
    classes: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap intervals of a confusion matrix: {"accuracy": [low, high], "macro_f1": [low, high]}.

    Efron & Tibshirani 1993, chapter 13. When n images are drawn with replacement, the cells of their confusion matrix
    are multinomial. The matrices are therefore drawn directly, which gives the same distribution.
    """
    count = int(matrix.sum())
    draws = np.random.default_rng(seed).multinomial(count, matrix.ravel() / count, size=resamples)
    drawn = draws.reshape(resamples, *matrix.shape)
    correct = np.diagonal(drawn, axis1=1, axis2=2)
    f1 = 2 * correct / np.maximum(drawn.sum(axis=2) + drawn.sum(axis=1), 1)  # 2 tp / (2 tp + fp + fn)
    accuracies = correct.sum(axis=1) / count
    macro_f1s = (f1 if classes is None else f1[:, list(classes)]).mean(axis=1)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low_high = [[float(v) for v in np.quantile(values, ends)] for values in (accuracies, macro_f1s)]
    return {"accuracy": low_high[0], "macro_f1": low_high[1]}


def brief(labels: np.ndarray, probs: np.ndarray, present_only: bool = False) -> Figures:
    """Number of images, accuracy, macro F1 and their intervals.

    With `present_only` the F1 is averaged over the labels that occur, for groups that lack some.
    """
    matrix = confusion(labels, probs)
    classes = np.flatnonzero(matrix.sum(1)).tolist() if present_only else None
    return {
        "n": len(labels),
        "accuracy": accuracy(labels, probs),
        "macro_f1": macro_f1(labels, probs, classes),
        "interval": bootstrap(matrix, classes),
    }


def scores(labels: np.ndarray, probs: np.ndarray, names: Sequence[str]) -> Scores:
    """Every metric of this module, as plain JSON types; `interval` holds 95% intervals of accuracy and macro F1."""
    return {
        **brief(labels, probs),
        "top2_accuracy": top_k_accuracy(labels, probs),
        "log_loss": negative_log_likelihood(labels, probs),
        "ece": expected_calibration_error(labels, probs),
        "per_class": per_class(labels, probs, names),
        "confusion_matrix": confusion(labels, probs).tolist(),
        "reliability": reliability_bins(labels, probs),
    }
