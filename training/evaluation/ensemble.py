"""Measure a PredictorEnsemble and its members on one split."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from PIL import Image

from emotion_hub.predictor import EmotionPredictor
from emotion_hub.predictor_ensemble import PredictorEnsemble
from training.data.faces import FaceSplit
from training.evaluation.metrics import (
    brief,
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
)
from training.evaluation.predictions import face_probs
from training.evaluation.report_types import Figures

__all__ = ["EnsembleFigures", "Row", "cpu_milliseconds", "ensemble_figures", "mean_probs"]


class Row(Figures):
    """Figures of one predictor or of the ensemble; `f1` maps each label to its F1."""

    log_loss: float
    ece: float
    f1: dict[str, float]
    without_copies: Figures


class EnsembleFigures(TypedDict):
    """Figures of each member by name and of the ensemble.

    `same_label` is the share of faces for which all members predict one label. `one_right` is the share for which at
    least one member is right, the upper limit of any choice between them.
    """

    members: dict[str, Row]
    ensemble: Row
    same_label: float
    one_right: float


def mean_probs(ensemble: PredictorEnsemble, probs: Sequence[np.ndarray]) -> np.ndarray:
    """float64, (N, classes): the ensemble's probabilities from its members' own, each (N, classes).

    The columns of each array have the order of that member's labels; those of the result have the ensemble's.
    """
    mean = np.zeros(probs[0].shape)
    for member, share, own in zip(ensemble.members, ensemble.weights, probs, strict=True):
        mean += share * own[:, [member.labels.index(label) for label in ensemble.labels.labels]]
    return mean


def ensemble_figures(
    ensemble: PredictorEnsemble, split: FaceSplit, unique: np.ndarray
) -> tuple[EnsembleFigures, dict[str, np.ndarray]]:
    """The figures, and whether each prediction is right: {name: bool (N,)} of the members and of the ensemble.

    `unique` are the positions of images without an exact copy in another split. `split` has the ensemble's labels.
    """
    own = [face_probs(member, split.faces, what=split.name) for member in ensemble.members]
    names = [member.name for member in ensemble.members]
    ordered = [
        probs[:, [member.labels.index(label) for label in ensemble.labels.labels]]
        for member, probs in zip(ensemble.members, own, strict=True)
    ]
    rows = dict(zip(names, ordered, strict=True)) | {ensemble.name: mean_probs(ensemble, own)}
    figures = {name: _row(split, probs, unique) for name, probs in rows.items()}
    right = {name: probs.argmax(1) == split.labels for name, probs in rows.items()}
    labels = np.stack([probs.argmax(1) for probs in ordered])
    result: EnsembleFigures = {
        "members": {name: figures[name] for name in names},
        "ensemble": figures[ensemble.name],
        "same_label": float((labels == labels[0]).all(axis=0).mean()),
        "one_right": float((labels == split.labels).any(axis=0).mean()),
    }
    return result, right


def _row(split: FaceSplit, probs: np.ndarray, unique: np.ndarray) -> Row:
    labels = split.label_set.labels
    return {
        **brief(split.labels, probs),
        "log_loss": negative_log_likelihood(split.labels, probs),
        "ece": expected_calibration_error(split.labels, probs),
        "f1": {label: row["f1"] for label, row in per_class(split.labels, probs, labels).items()},
        "without_copies": brief(split.labels[unique], probs[unique]),
    }


def cpu_milliseconds(
    predictors: Sequence[EmotionPredictor | PredictorEnsemble], faces: Sequence[Image.Image], warm_up: int = 5
) -> dict[str, float]:
    """{name: median CPU time of preprocessing and prediction of one face}, in milliseconds of the calling thread.

    CPU time is used because other processes do not lengthen it by their share of the machine; the predictors take
    turns. They must compute in the calling thread, as ONNX Runtime does with `threads=1`.
    """
    times: dict[str, list[float]] = {predictor.name: [] for predictor in predictors}
    for face in [*faces[:warm_up], *faces]:
        for predictor in predictors:
            started = time.thread_time()
            predictor.predict_faces([face])
            times[predictor.name].append(1000 * (time.thread_time() - started))
    return {name: statistics.median(values[warm_up:]) for name, values in times.items()}
