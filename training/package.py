"""Make a checkpoint folder of a finished run: `python -m training.package --run RUN --out FOLDER --data D` (`--data` calibrates it)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import INT8_FILE, ONNX_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.external_data import share_weights
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import apart_indices, load_split
from training.evaluation.calibration import calibration_record, fit_temperature, fold_temperature
from training.evaluation.measure import face_logits
from training.fit.run_folder import HISTORY_FILE, half_bytes, load_outcome
from training.publishing.int8 import write_int8

__all__ = ["calibrate", "main", "package"]

LIMIT = 16 * 1024 * 1024


def package(run: Path, out: Path, earlier: list[Path] | None = None, data: str | Path | None = None) -> Path:
    """Write config, float16 weights, an ONNX file that reads them, and the training record of the run's best epoch to `out`, and return it.

    `earlier` are the runs it started from, for the record. With `data`, a temperature is fitted on its validation split and folded into the weights,
    the record says so under `calibration`, and the ONNX file is written in 8 bits as well. Raises CheckpointError when the run has no best weights yet,
    the file would pass 16 MB, or the first of the runs started from another one's weights.
    """
    history, model = load_outcome(run)
    if (size := half_bytes(model)) > LIMIT:
        raise CheckpointError(f"{run} makes a file of {size / 2**20:.1f} MB; an embedded checkpoint has at most 16")
    stages = [json.loads((path / HISTORY_FILE).read_text()) for path in earlier or []]
    stages.append(history)
    if stages[0]["recipe"].get("init") == "checkpoint":
        raise CheckpointError(
            f"run {stages[0]['recipe'].get('name', str(run))!r} started from the weights of an earlier one, which the record must name; give the folder of "
            "that run with --earlier, before all others"
        )
    record = {"stages": stages, **({"calibration": calibrate(model, data)} if data else {})}
    model.half().save_pretrained(out)
    export_onnx(
        EmotionClassifier.from_pretrained(out), out / ONNX_FILE, storage="float16", weights_file=out / WEIGHTS_FILE
    )
    share_weights(out / ONNX_FILE)
    (out / INT8_FILE).unlink(missing_ok=True)
    if data:
        write_int8(out, data)
    (out / REPORT_FILE).unlink(missing_ok=True)  # it belongs to the weights that were there before
    (out / TRAINING_FILE).write_text(json.dumps(record, indent=1) + "\n")
    return out


def calibrate(model: EmotionClassifier, data: str | Path) -> dict[str, Any]:
    """Fit a temperature on validation without the images it shares with test, fold it into the model, and return the record of it.

    Raises CheckpointError when the network's logits do not follow from its last linear layer alone.
    """
    validation, test = (load_split(data, name, model.labels) for name in ("validation", "test"))
    apart = apart_indices(validation, test)
    faces, labels = [validation.faces[i] for i in apart], validation.labels[apart]
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=model.config.model)
    logits = face_logits(predictor, faces, what="validation")
    temperature = fit_temperature(logits, labels)
    fold_temperature(model.network, temperature)
    if not np.allclose(face_logits(predictor, faces[:8], what="check"), logits[:8] / temperature, rtol=1e-3, atol=1e-3):
        raise CheckpointError(
            f"{model.config.model} does not give its logits by its last linear layer, so no temperature can be folded in; leave --data out"
        )
    return calibration_record(logits, labels, temperature)


def main(argv: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(prog="training.package", description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, type=Path, help="the --out folder of training.train")
    parser.add_argument("--earlier", type=Path, action="append", help="a run this one started from; may be repeated")
    parser.add_argument(
        "--data",
        help="the data set the run was trained on: its validation split calibrates the probabilities, training faces the 8-bit file",
    )
    parser.add_argument("--out", required=True, type=Path, help="the checkpoint's folder")
    args = parser.parse_args(argv)
    folder = package(args.run, args.out, args.earlier, args.data)
    print(f"wrote {folder}: {(folder / WEIGHTS_FILE).stat().st_size / 2**20:.2f} MB")
    if record := json.loads((folder / TRAINING_FILE).read_text()).get("calibration"):
        before, after = (
            f"log loss {record['validation']['nll'][w]:.4f}, ECE {record['validation']['ece'][w]:.4f}"
            for w in ("before", "after")
        )
        print(
            f"temperature {record['temperature']:.4f} on {record['validation']['n']} validation images: {before}, now {after}"
        )
    return folder


if __name__ == "__main__":
    main()
