"""Types of `report.json`, the evaluation report of a checkpoint.

`training.evaluate` writes the report; the summary, the drawings, the model cards and the comparison of models read it.
All rates lie in 0..1. Keys that only some reports have are declared in a class with `total=False`: reports of earlier
versions lack intervals and calibration figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

__all__ = [
    "ClassFigures",
    "CorruptionFigures",
    "CoverageFigures",
    "CoverageInterval",
    "DetectedFigures",
    "FerplusFigures",
    "Figures",
    "Interval",
    "LevelFigures",
    "NearCopyFigures",
    "PredictionSetFigures",
    "ReliabilityBin",
    "Report",
    "Scores",
    "SliceFigures",
    "TenCropFigures",
    "corruption_figures",
]


class Interval(TypedDict):
    """Ends of the 95% bootstrap intervals, [low, high]."""

    accuracy: list[float]
    macro_f1: list[float]


class Figures(TypedDict):
    """Accuracy and macro F1 of `n` images."""

    n: int
    accuracy: float
    macro_f1: float
    interval: Interval


class ClassFigures(TypedDict):
    """Figures of one label; `support` counts its images."""

    precision: float
    recall: float
    f1: float
    support: int


class ReliabilityBin(TypedDict):
    """One bin of the reliability diagram: its upper edge, images, mean top probability and accuracy."""

    to: float
    n: int
    confidence: float | None
    accuracy: float | None


class Scores(Figures):
    """All figures of one set of predictions."""

    top2_accuracy: float
    log_loss: float
    ece: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]]
    reliability: list[ReliabilityBin]


class NearCopyFigures(Figures):
    """Figures without images that have a near copy in the training split; `near_copies` counts those images."""

    threshold: float
    near_copies: int


class TenCropFigures(Figures):
    """Figures of probabilities averaged over ten crops, each `share` of the side."""

    share: float
    log_loss: float
    ece: float
    without_copies: Figures


class FerplusFigures(Figures):
    """Figures against FER+'s majority labels; `left_out` counts the images without one, by reason."""

    left_out: dict[str, int]


class SliceFigures(Figures):
    """Figures of one group of images; `small` marks a group whose interval is wide."""

    small: bool


class LevelFigures(Figures):
    """Figures at one strength of a corruption."""

    strength: float


class CorruptionFigures(TypedDict):
    """Figures under one corruption, from mild to strong; `unit` explains the strengths."""

    unit: str
    levels: list[LevelFigures]


class DetectedFigures(TypedDict):
    """Figures of the crops that a face detector makes, and of the same faces without it."""

    detector: str
    faces: int
    not_found: int
    found: Figures
    same_faces: Figures


class CoverageInterval(TypedDict):
    """Ends of 95% intervals, [low, high]: Wilson's of the coverage, the bootstrap's of the mean size."""

    coverage: list[float]
    mean_size: list[float]


class CoverageFigures(TypedDict):
    """The share of `n` prediction sets that hold the true label, and the mean number of labels in a set."""

    n: int
    coverage: float
    mean_size: float
    interval: CoverageInterval


class PredictionSetFigures(CoverageFigures):
    """Figures of the prediction sets whose nominal coverage and thresholds are in the checkpoint's `config.json`.

    `sizes` is the share of sets with 1, 2, ... labels; `per_class` has the figures by true label.
    """

    nominal: float
    thresholds: dict[str, float]
    sizes: list[float]
    per_class: dict[str, CoverageFigures]


class _Readings(TypedDict, total=False):
    """Parts of a report that depend on options, on the data and on the version that wrote it."""

    temperature: float
    without_near_copies: NearCopyFigures
    ten_crop: TenCropFigures
    ferplus: FerplusFigures
    slices: dict[str, dict[str, SliceFigures]]
    robustness: dict[str, Any]
    detected: DetectedFigures
    prediction_sets: PredictionSetFigures


class Report(_Readings, Scores):
    """The whole report. `robustness` holds "seed", "clean" and one `CorruptionFigures` per corruption."""

    checkpoint: str
    sha256: str
    parameters: int
    split: str
    labels: list[str]
    without_copies: Figures
    bootstrap: dict[str, float]
    data: dict[str, Any]
    environment: dict[str, str]


def corruption_figures(report: Report) -> dict[str, CorruptionFigures]:
    """{name: figures} of the corruptions that the report measured, the adversarial step included; {} for none."""
    rows = report.get("robustness", {})
    return {
        name: cast(CorruptionFigures, row) for name, row in rows.items() if isinstance(row, Mapping) and "levels" in row
    }
