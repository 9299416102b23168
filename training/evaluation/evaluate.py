"""Build the evaluation report of a checkpoint on one split of a data set."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotion_hub.checkpoints import TRAINING_FILE, WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.detectors import YuNetDetector
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import SPLITS, FaceSplit, load_split
from training.data.selection import apart_indices, near_threshold
from training.evaluation.conformal import set_figures
from training.evaluation.measure import (
    CROP_SHARE,
    ferplus_reading,
    near_copies_in,
    slice_by,
    ten_crop_probs,
)
from training.evaluation.metrics import (
    LEVEL,
    RESAMPLES,
    brief,
    expected_calibration_error,
    negative_log_likelihood,
    scores,
)
from training.evaluation.predictions import face_probs
from training.evaluation.report_types import NearCopyFigures, Report, TenCropFigures
from training.evaluation.robustness import detector_slice, robustness

__all__ = ["evaluate"]


def evaluate(
    checkpoint: str,
    data: str,
    split: str,
    *,
    near: float | None = None,
    ten_crop: bool = False,
    slices: Sequence[str] = (),
    robust: bool = False,
    yunet: Path | None = None,
) -> Report:
    """The report of one checkpoint on one split, plain JSON types.

    `without_copies` leaves out images that have an exact copy in another split. With `near`, a correlation,
    `without_near_copies` also leaves out images with a near copy in train (0 and None measure no near copies). Images
    whose label the checkpoint lacks are left out and counted in `data`. Data with FER+ votes are also measured against
    these. `prediction_sets` measures those of a checkpoint that has them. Raises InputError for data without images of
    the checkpoint's labels and for a column that holds no groups, and ConfigError for a `near` that is no correlation.
    """
    import torch

    near = near_threshold(near)
    predictor = EmotionPredictor.from_pretrained(checkpoint, backend="torch")
    faces = load_split(data, split, predictor.labels)
    others = {name: load_split(data, name, predictor.labels) for name in SPLITS if name != split}
    probs = face_probs(predictor, faces.faces, what=split)
    unique = apart_indices(faces, *others.values())
    weights = resolve_file(checkpoint, WEIGHTS_FILE)
    pixels = hashlib.sha256("".join(faces.hashes).encode()).hexdigest()
    report: Report = {
        "checkpoint": predictor.name,
        "sha256": file_hash(weights),
        "parameters": predictor.backend.num_parameters,
        "split": split,
        "labels": list(predictor.labels.labels),
        **scores(faces.labels, probs, predictor.labels.labels),
        "without_copies": brief(faces.labels[unique], probs[unique]),
        "bootstrap": {"level": LEVEL, "resamples": RESAMPLES},
        "data": {
            "name": Path(data).name,
            "pixels_sha256": pixels,
            **({"other_labels": faces.dropped} if faces.dropped else {}),
        },
        "environment": {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()},
    }
    if (temperature := _temperature(weights.with_name(TRAINING_FILE))) is not None:
        report["temperature"] = temperature
    if predictor.prediction_sets is not None:
        names = predictor.labels.labels
        report["prediction_sets"] = set_figures(faces.labels, probs, names, predictor.prediction_sets)
    if near is not None:
        train = others.get("train")  # None when train itself is measured
        report["without_near_copies"] = _without_near_copies(faces, train, probs, unique, near)
    if ten_crop:
        report["ten_crop"] = _ten_crop(predictor, faces, unique)
    if faces.votes is not None:
        report["ferplus"] = ferplus_reading(faces, probs)
    if slices:
        report["slices"] = {column: slice_by(faces, probs, column) for column in slices}
    if robust:
        report["robustness"] = robustness(predictor, faces.faces, faces.labels)
    if yunet:
        report["detected"] = detector_slice(predictor, faces.faces, faces.labels, YuNetDetector(yunet))
    return report


def _temperature(training: Path) -> float | None:
    """The temperature that the checkpoint's training record names; None for a checkpoint without one."""
    record = json.loads(training.read_text()) if training.is_file() else {}
    return record["calibration"]["temperature"] if "calibration" in record else None


def _without_near_copies(
    faces: FaceSplit, train: FaceSplit | None, probs: np.ndarray, unique: np.ndarray, near: float
) -> NearCopyFigures:
    kept = unique if train is None else np.setdiff1d(unique, near_copies_in(faces, train, near))
    return {"threshold": near, "near_copies": len(unique) - len(kept), **brief(faces.labels[kept], probs[kept])}


def _ten_crop(predictor: EmotionPredictor, faces: FaceSplit, unique: np.ndarray) -> TenCropFigures:
    probs = ten_crop_probs(predictor, faces.faces)
    return {
        "share": CROP_SHARE,
        **brief(faces.labels, probs),
        "log_loss": negative_log_likelihood(faces.labels, probs),
        "ece": expected_calibration_error(faces.labels, probs),
        "without_copies": brief(faces.labels[unique], probs[unique]),
    }
