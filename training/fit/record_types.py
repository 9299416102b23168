"""Types of `history.json` and `training.json`, the records of training.

`history.json` is written by `training.train` and `training.average`, `training.json` by `training.package`. Cards
and the comparison of models read them.
"""

from __future__ import annotations

from typing import Any, TypedDict

from training.evaluation.calibration import CalibrationRecord

__all__ = ["AveragePart", "AverageRecord", "EpochRecord", "RunHistory", "TrainingRecord", "WeightsOrigin"]


class WeightsOrigin(TypedDict):
    """A file of weights that a run started or learned from."""

    name: str
    sha256: str


class AveragePart(WeightsOrigin):
    """One of the runs whose weights were averaged, and its share."""

    weight: float


class AverageRecord(TypedDict):
    """What `training.average` averaged; `statistics` counts the images that set the batch-norm statistics."""

    of: list[AveragePart]
    statistics: int


class _Training(TypedDict, total=False):
    """Figures of an epoch that only training has."""

    loss: float
    lr: float
    images_per_second: float
    statistics: dict[str, dict[str, float]]


class EpochRecord(_Training):
    """One epoch: validation figures and seconds."""

    epoch: int
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    seconds: float


class _Sources(TypedDict, total=False):
    """Parts of a record that depend on the kind of run and on the version that wrote it."""

    init: WeightsOrigin
    teachers: list[WeightsOrigin]
    average: AverageRecord
    environment: dict[str, Any]
    finished: bool


class RunHistory(_Sources):
    """A run: its recipe (`Recipe.to_dict`), counts of its images with their fingerprint, and its epochs."""

    recipe: dict[str, Any]
    data: dict[str, Any]
    epochs: list[EpochRecord]


class _Calibration(TypedDict, total=False):
    calibration: CalibrationRecord


class TrainingRecord(_Calibration):
    """`training.json`: the runs that led to the weights, in order, and the temperature that was folded into them."""

    stages: list[RunHistory]
