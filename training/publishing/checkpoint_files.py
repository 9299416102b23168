"""Read the report and the training record of a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, file_hash
from emotion_hub.errors import CheckpointError
from training.evaluation.report_types import Report
from training.fit.record_types import TrainingRecord

__all__ = ["FER2013_NAME", "FER2013_TRAINING", "PRIVATE_TEST", "data_name", "record_of", "report_of"]

#: FER2013's name on cards, `pixels_sha256` of its PrivateTest in reports, and the number of its training images.
FER2013_NAME = "FER2013"
PRIVATE_TEST = "ba45fcdb61ef0793b32a99d1b255dcd941c232df9fdab236a6844b34982375ed"
FER2013_TRAINING = 28_709


def _load(folder: Path, name: str, command: str) -> Any:
    """The content of a JSON file; raises CheckpointError that names the command which writes it."""
    if not (folder / name).is_file():
        raise CheckpointError(f"{folder.name} has no {name}; make it with: {command}")
    return json.loads((folder / name).read_text())


def report_of(folder: Path) -> Report:
    """The report of a checkpoint on the test split.

    Raises CheckpointError, with the command that writes it, for a report that is missing or measures another split or
    other weights.
    """
    command = f"python -m training.evaluate --checkpoint {folder} --data DATA --split test --out {folder / REPORT_FILE}"
    report: Report = _load(folder, REPORT_FILE, command)
    if report["split"] != "test":
        raise CheckpointError(
            f"{REPORT_FILE} of {folder.name} measures {report['split']!r}, a card states the test split; make it with: "
            f"{command}"
        )
    if (folder / WEIGHTS_FILE).is_file() and report["sha256"] != file_hash(folder / WEIGHTS_FILE):
        raise CheckpointError(
            f"{REPORT_FILE} of {folder.name} measures other weights than {WEIGHTS_FILE} beside it; make it with: "
            f"{command}"
        )
    return report


def record_of(folder: Path) -> TrainingRecord:
    """The training record of a checkpoint.

    Raises CheckpointError, with the command that writes it, if it is missing.
    """
    return _load(folder, TRAINING_FILE, f"python -m training.package --run RUN --out {folder}")


def data_name(report: Report | None) -> str:
    """FER2013 for a report on its PrivateTest, else the name of the data in the report."""
    data = report.get("data", {}) if report else {}
    return FER2013_NAME if data.get("pixels_sha256") == PRIVATE_TEST else data.get("name") or "unnamed data"
