"""Measure a checkpoint on a split: `python -m training.evaluate --checkpoint C --data D --split test --out report.json`."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support
from tqdm import tqdm

from emotion_hub.checkpoints import WEIGHTS_FILE, resolve_file
from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor, softmax
from training.data import FaceSplit, load_split, shared_indices

__all__ = ["evaluate", "main", "predict_split", "scores"]


def predict_split(predictor: EmotionPredictor, split: FaceSplit, batch_size: int = 64) -> np.ndarray:
    """float64, (N, num_classes): the probabilities of every face, through the preprocessing that serving uses."""
    rows = []
    for start in tqdm(range(0, len(split), batch_size), desc=f"{predictor.name} on {split.name}", disable=None):
        batch = predictor.preprocessor.batch(split.faces[start : start + batch_size])
        rows.append(softmax(predictor.backend.logits(batch)))
    return np.concatenate(rows)


def scores(labels: np.ndarray, probs: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, macro F1, per-class figures and the confusion matrix (rows: true, columns: predicted), all 0..1."""
    predicted, ids = probs.argmax(1), list(range(len(names)))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=ids, zero_division=0)
    per_class = {
        name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]), "support": int(support[i])} for i, name in enumerate(names)
    }
    return {
        "n": len(labels),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=ids, average="macro", zero_division=0)),
        "log_loss": float(-np.log(np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1)).mean()),
        "per_class": per_class,
        "confusion_matrix": confusion_matrix(labels, predicted, labels=ids).tolist(),
    }


def evaluate(checkpoint: str, data: str, split: str) -> dict[str, Any]:
    """The report of one checkpoint on one split; `without_copies` leaves out the images that also stand in another split.

    Raises InputError for a checkpoint whose labels are not the data's, in the data's order.
    """
    import torch

    predictor = EmotionPredictor.from_pretrained(checkpoint)
    if predictor.labels != FER2013:
        raise InputError(f"{checkpoint} answers with {predictor.labels.labels}; the data's labels are {FER2013.labels}, and one label_id must mean one label")
    faces = load_split(data, split)
    others = [load_split(data, name) for name in ("train", "validation", "test") if name != split]
    probs = predict_split(predictor, faces)
    unique = np.setdiff1d(np.arange(len(faces)), shared_indices(faces, *others))
    names = predictor.labels.labels
    report = scores(faces.labels, probs, names)
    clean = scores(faces.labels[unique], probs[unique], names)
    return {
        "checkpoint": predictor.name,
        "sha256": hashlib.sha256(resolve_file(checkpoint, WEIGHTS_FILE).read_bytes()).hexdigest(),
        "parameters": predictor.backend.num_parameters,
        "split": split,
        "labels": list(names),
        **report,
        "without_copies": {key: clean[key] for key in ("n", "accuracy", "macro_f1")},
        "data": {"name": "FER2013", "pixels_sha256": hashlib.sha256("".join(faces.hashes).encode()).hexdigest()},
        "environment": {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()},
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="embedded name, folder or Hub id")
    parser.add_argument("--data", required=True, help="folder of parquet files, or a Hub id")
    parser.add_argument("--split", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--out", type=Path, help="where to write the report as JSON")
    args = parser.parse_args(argv)
    report = evaluate(args.checkpoint, args.data, args.split)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    clean = report["without_copies"]
    print(f"{report['checkpoint']} on {args.split}: accuracy {report['accuracy']:.4f}, macro F1 {report['macro_f1']:.4f}, n {report['n']}")
    print(f"without the images that stand in another split too: accuracy {clean['accuracy']:.4f}, n {clean['n']}")
    return report


if __name__ == "__main__":
    main()
