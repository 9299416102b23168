"""Prediction sets of a checkpoint folder: fit on validation, store, measure."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.models.config import ClassifierConfig
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import load_split
from training.data.files import write_json
from training.data.selection import apart_indices
from training.evaluation.conformal import COVERAGE, fit_prediction_sets, set_figures
from training.evaluation.predictions import face_probs
from training.evaluation.report_types import PredictionSetFigures
from training.publishing.checkpoint_files import report_of

__all__ = ["add_to_report", "fit_checkpoint", "write_config"]


def fit_checkpoint(folder: Path, data: str | Path, coverage: float = COVERAGE) -> PredictionSets:
    """The thresholds of a checkpoint folder, fitted on the validation images that have no exact copy in test.

    Raises the errors of loading the checkpoint and the data, and those of `fit_prediction_sets`.
    """
    predictor = EmotionPredictor.from_pretrained(folder, backend="torch")
    validation, test = (load_split(data, name, predictor.labels) for name in ("validation", "test"))
    kept = apart_indices(validation, test)
    probs = face_probs(predictor, [validation.faces[i] for i in kept], what="validation")
    return fit_prediction_sets(validation.labels[kept], probs, predictor.labels.labels, coverage)


def write_config(folder: Path, sets: PredictionSets) -> None:
    """Write the rule to `config.json` of the folder; its other entries, those of other libraries too, stay as they are.

    Raises CheckpointError for a folder without one, and ConfigError for a configuration that breaks a rule.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}; give an embedded name or the folder of a checkpoint")
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("prediction_sets", None)
    entries: dict[str, object] = {}
    for key, value in values.items():
        entries[key] = value
        if key == "options":
            entries["prediction_sets"] = sets.to_dict()
    entries.setdefault("prediction_sets", sets.to_dict())
    ClassifierConfig.from_dict(entries)
    write_json(path, entries, indent=2)


def add_to_report(folder: Path, data: str | Path) -> PredictionSetFigures:
    """Measure the folder's prediction sets on test, write them to its `report.json`, and return their figures.

    The default backend predicts: ONNX Runtime takes a fifth of torch's time for equal probabilities to five digits.
    Every other figure of the report stays as it is: the sets depend on the same probabilities of the same images and
    weights, which are checked. Raises CheckpointError for a report that is missing, or of another split or other
    weights, for a checkpoint without prediction sets, and InputError for other images than those of the report.
    """
    report = report_of(folder)
    predictor = EmotionPredictor.from_pretrained(folder)
    if predictor.prediction_sets is None:
        raise CheckpointError(
            f"{folder.name} has no prediction sets; fit them: python -m training.conformal --checkpoint {folder} "
            "--data DATA"
        )
    test = load_split(data, "test", predictor.labels)
    pixels = hashlib.sha256("".join(test.hashes).encode()).hexdigest()
    if pixels != report["data"].get("pixels_sha256"):
        raise InputError(
            f"the test split of {data} is not the one that {REPORT_FILE} of {folder.name} measured "
            f"({report['data'].get('name')}); give that data set with --data, or measure again with training.evaluate"
        )
    probs = face_probs(predictor, test.faces, what="test")
    report["prediction_sets"] = set_figures(test.labels, probs, predictor.labels.labels, predictor.prediction_sets)
    write_json(folder / REPORT_FILE, report)
    return report["prediction_sets"]
