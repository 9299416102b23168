"""Package a finished run as a checkpoint: weights, ONNX, training record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import INT8_FILE, ONNX_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.external_data import share_weights
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import load_split
from training.data.files import write_json
from training.data.selection import apart_indices
from training.evaluation.calibration import (
    CalibrationRecord,
    calibration_record,
    fit_temperature,
    fold_temperature,
)
from training.evaluation.predictions import face_logits
from training.fit.record_types import TrainingRecord
from training.fit.run_folder import half_bytes, load_history, load_outcome
from training.publishing.int8 import write_int8
from training.publishing.prediction_sets import fit_checkpoint, write_config

__all__ = ["calibrate", "package"]

log = logging.getLogger(__name__)

#: Largest file of weights in bytes.
LIMIT = 16 * 1024 * 1024


def package(run: Path, out: Path, earlier: Sequence[Path] = (), data: str | Path | None = None) -> Path:
    """Write the run's best epoch to `out` and return `out`.

    `out` gets the configuration, float16 weights, an ONNX file that refers to them, and the training record.
    `earlier` are the runs that this one started from, for the record. With `data`, a temperature is fitted on its
    validation split and folded into the weights, which the record states under `calibration`; then prediction sets are
    fitted on the same images, unless a label has too few, and an 8-bit ONNX file is written as well. Raises
    CheckpointError when the run has no best weights yet, the file would exceed 16 MB, or the first run of the record
    started from the weights of another run.
    """
    history, model = load_outcome(run)
    if (size := half_bytes(model)) > LIMIT:
        raise CheckpointError(f"{run} makes a file of {size / 2**20:.1f} MB; an embedded checkpoint has at most 16")
    stages = [*(load_history(path) for path in earlier), history]
    if stages[0]["recipe"].get("init") == "checkpoint":
        raise CheckpointError(
            f"run {stages[0]['recipe'].get('name', str(run))!r} started from the weights of an earlier run, which the "
            "record must contain; give the folder of that run with --earlier, before all others"
        )
    record: TrainingRecord = {"stages": stages}
    if data and (calibration := calibrate(model, data)):
        record["calibration"] = calibration
    model.half().save_pretrained(out)
    if data:
        try:
            write_config(out, fit_checkpoint(out, data))
        except InputError as error:  # the checkpoint is complete without them
            log.warning("%s gets no prediction sets: %s", out, error)
    export_onnx(
        EmotionClassifier.from_pretrained(out), out / ONNX_FILE, storage="float16", weights_file=out / WEIGHTS_FILE
    )
    share_weights(out / ONNX_FILE)
    (out / INT8_FILE).unlink(missing_ok=True)
    if data:
        write_int8(out, data)
    (out / REPORT_FILE).unlink(missing_ok=True)  # it measured the weights that were here before
    write_json(out / TRAINING_FILE, record)
    return out


def calibrate(model: EmotionClassifier, data: str | Path) -> CalibrationRecord | None:
    """Fit a temperature, fold it into the model, and return the record of it.

    It is fitted on the validation images that have no exact copy in test. The record is None, and the model unchanged,
    when no temperature fits them: a small split may be predicted without an error. Raises CheckpointError when the
    network's logits are not the output of its last linear layer alone.
    """
    validation, test = (load_split(data, name, model.labels) for name in ("validation", "test"))
    kept = apart_indices(validation, test)
    faces, labels = [validation.faces[i] for i in kept], validation.labels[kept]
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=model.config.model)
    logits = face_logits(predictor, faces, what="validation")
    try:
        temperature = fit_temperature(logits, labels)
    except InputError as error:
        log.warning("the probabilities are not calibrated: %s", error)
        return None
    fold_temperature(model.network, temperature)
    if not np.allclose(face_logits(predictor, faces[:8], what="check"), logits[:8] / temperature, rtol=1e-3, atol=1e-3):
        raise CheckpointError(
            f"the logits of {model.config.model} are not the output of its last linear layer, so no temperature can be "
            "folded in; leave --data out"
        )
    return calibration_record(logits, labels, temperature)
