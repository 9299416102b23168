"""Measure a checkpoint on a split: `python -m training.evaluate --checkpoint C --data D --split test --out report.json`."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.checkpoints import TRAINING_FILE, WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.detectors import YuNetDetector
from emotion_hub.predictor import EmotionPredictor
from training.data.duplicates import THRESHOLD
from training.data.faces import SPLITS, FaceSplit, apart_indices, load_split
from training.evaluation.measure import (
    CROP_SHARE,
    face_probs,
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
from training.evaluation.plots import write_plots
from training.evaluation.robustness import detector_slice, robustness
from training.evaluation.summary import markdown

__all__ = ["evaluate", "main"]


def evaluate(
    checkpoint: str,
    data: str,
    split: str,
    *,
    near: bool = False,
    ten_crop: bool = False,
    slices: Sequence[str] = (),
    robust: bool = False,
    yunet: Path | None = None,
) -> dict[str, Any]:
    """The report of one checkpoint on one split, plain JSON types.

    `without_copies` leaves out the images that also stand in another split; `near` adds `without_near_copies`, which leaves out those with a near copy in
    train as well. The images whose label the checkpoint does not have are left out and counted in `data`. Data with FER+ votes are read against these too.
    Raises InputError for data without images of the checkpoint's labels and for a column that cannot be sliced by.
    """
    import torch

    predictor = EmotionPredictor.from_pretrained(checkpoint, backend="torch")
    faces = load_split(data, split, predictor.labels)
    others = {name: load_split(data, name, predictor.labels) for name in SPLITS if name != split}
    probs = face_probs(predictor, faces.faces, what=split)
    unique = apart_indices(faces, *others.values())
    weights = resolve_file(checkpoint, WEIGHTS_FILE)
    report = {
        "checkpoint": predictor.name,
        "sha256": file_hash(weights),
        "parameters": predictor.backend.num_parameters,
        **_temperature(weights.with_name(TRAINING_FILE)),
        "split": split,
        "labels": list(predictor.labels.labels),
        **scores(faces.labels, probs, predictor.labels.labels),
        "without_copies": brief(faces.labels[unique], probs[unique]),
    }
    if near:
        apart = np.setdiff1d(unique, near_copies_in(faces, others["train"])) if split != "train" else unique
        report["without_near_copies"] = {
            "threshold": THRESHOLD,
            "near_copies": len(unique) - len(apart),
            **brief(faces.labels[apart], probs[apart]),
        }
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
    pixels = hashlib.sha256("".join(faces.hashes).encode()).hexdigest()
    return {
        **report,
        "bootstrap": {"level": LEVEL, "resamples": RESAMPLES},
        "data": {
            "name": Path(data).name,
            "pixels_sha256": pixels,
            **({"other_labels": faces.dropped} if faces.dropped else {}),
        },
        "environment": {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()},
    }


def _temperature(training: Path) -> dict[str, float]:
    """{"temperature": T} of a checkpoint whose training record has one."""
    record = json.loads(training.read_text()) if training.is_file() else {}
    return {"temperature": record["calibration"]["temperature"]} if "calibration" in record else {}


def _ten_crop(predictor: EmotionPredictor, faces: FaceSplit, unique: np.ndarray) -> dict[str, Any]:
    probs = ten_crop_probs(predictor, faces.faces)
    calibration = {
        "log_loss": negative_log_likelihood(faces.labels, probs),
        "ece": expected_calibration_error(faces.labels, probs),
    }
    return {
        "share": CROP_SHARE,
        **brief(faces.labels, probs),
        **calibration,
        "without_copies": brief(faces.labels[unique], probs[unique]),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="embedded name, folder or Hub id")
    parser.add_argument(
        "--data", required=True, help="a data set in any form that training.data.faces reads, or a Hub id"
    )
    parser.add_argument("--split", default="validation", choices=SPLITS)
    parser.add_argument(
        "--near", action="store_true", help="measure without near copies in train, too (about a minute on FER2013)"
    )
    parser.add_argument(
        "--ten-crop",
        action="store_true",
        help=f"average ten crops of {CROP_SHARE:g} of the side, too (ten times the work)",
    )
    parser.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="COLUMN",
        help="figures for each value of a column of the data; may be repeated",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="figures under corruptions and an adversarial step (19 times the work)",
    )
    parser.add_argument(
        "--yunet", type=Path, metavar="FILE", help="YuNet's ONNX file: measure the crops it makes of 48-pixel faces"
    )
    parser.add_argument("--out", type=Path, help="where to write the report as JSON")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="where to write report.md and the drawings")
    args = parser.parse_args(argv)
    extra = {
        "near": args.near,
        "ten_crop": args.ten_crop,
        "slices": args.slice,
        "robust": args.robustness,
        "yunet": args.yunet,
    }
    report = evaluate(args.checkpoint, args.data, args.split, **extra)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    if args.plots:
        drawings = write_plots(report, args.plots)
        (args.plots / "report.md").write_text(markdown(report, drawings))
    print(markdown(report))
    return report


if __name__ == "__main__":
    main()
