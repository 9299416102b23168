"""What one trained model's files say beside another's: rows of a comparison, and pairs that differ in their start."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, resolve_file
from emotion_hub.errors import ConfigError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.models.registry import create_model, get_entry, list_models
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import apart_indices, load_split
from training.evaluation.latency import speed
from training.evaluation.measure import face_probs
from training.evaluation.metrics import brief
from training.fit.recipe import Recipe
from training.fit.run_folder import half_bytes, load_outcome

__all__ = ["checkpoint_row", "epochs_to", "pretraining_pairs", "registry_rows", "run_row"]


def checkpoint_row(name: str, target: float, data: str | None = None) -> dict[str, Any]:
    """The row of an embedded checkpoint, a folder or a Hub id; its report and training record are used where it has them."""
    model = EmotionClassifier.from_pretrained(name)
    weights = resolve_file(name, WEIGHTS_FILE)
    record, report = (_json(weights.with_name(file)) for file in (TRAINING_FILE, REPORT_FILE))
    row = _row(Path(name).name, "checkpoint", model, weights.stat().st_size, record.get("stages", []), target, data)
    if report:
        row["report"] = {
            key: report[key]
            for key in ("split", "n", "accuracy", "macro_f1", "interval", "ece", "without_copies")
            if key in report
        }
    return row


def run_row(folder: Path, target: float, data: str | None = None) -> dict[str, Any]:
    """The row of a folder of training.train; raises CheckpointError when it has no finished epoch. The file's size is that in half precision."""
    history, model = load_outcome(folder)
    return _row(folder.resolve().name, "run", model.eval(), half_bytes(model), [history], target, data)


def registry_rows(known: set[str]) -> list[dict[str, Any]]:
    """Name, preprocessing and parameters of every registered network not in `known`, None for one that is nothing without options.

    Nothing is trained or even allocated.
    """
    return [
        {"model": name, "preprocess": get_entry(name).preprocessing, "parameters": _parameters(name)}
        for name in list_models()
        if name not in known
    ]


def _parameters(name: str) -> int | None:
    try:
        with torch.device("meta"):
            return sum(p.numel() for p in create_model(name).parameters())
    except ConfigError:  # an ensemble has no members of its own
        return None


def epochs_to(epochs: Sequence[dict[str, Any]], accuracy: float) -> int | None:
    """How many epochs a history needs until its validation accuracy reaches this one; None when it never does."""
    return next((i for i, epoch in enumerate(epochs, 1) if epoch["val_accuracy"] >= accuracy), None)


def pretraining_pairs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pretrained row beside every row from scratch of the same network: what its start gains.

    `gain` is the difference of the best validation accuracies, 0..1. `speedup` is epochs from scratch over epochs pretrained, to `target` and to the best
    accuracy that both reach; None where one of them never gets there. `differs` names the other settings in which the two recipes differ: unless it is
    empty, the start is not all that was changed.
    """
    starts = {kind: [row for row in rows if row["start"] == kind] for kind in ("pretrained", "scratch")}
    pairs = []
    for pretrained, scratch in product(starts["pretrained"], starts["scratch"]):
        if pretrained["model"] != scratch["model"] or _other_data(pretrained, scratch):
            continue
        shared = min(pretrained["validation"]["accuracy"], scratch["validation"]["accuracy"])
        to_shared = [epochs_to(row["curve"], shared) for row in (scratch, pretrained)]
        pairs.append(
            {
                "model": pretrained["model"],
                "pretrained": pretrained["name"],
                "scratch": scratch["name"],
                "gain": pretrained["validation"]["accuracy"] - scratch["validation"]["accuracy"],
                "speedup_to_target": _ratio(scratch["epochs_to_target"], pretrained["epochs_to_target"]),
                "shared_accuracy": shared,
                "speedup_to_shared": _ratio(*to_shared),
                "differs": sorted(
                    k
                    for k in {*pretrained["recipe"], *scratch["recipe"]}
                    if pretrained["recipe"].get(k) != scratch["recipe"].get(k)
                ),
            }
        )
    return pairs


def _row(
    name: str,
    kind: str,
    model: EmotionClassifier,
    size: int,
    stages: Sequence[dict[str, Any]],
    target: float,
    data: str | None,
) -> dict[str, Any]:
    curve = [{"val_accuracy": e["val_accuracy"], "seconds": e["seconds"]} for stage in stages for e in stage["epochs"]]
    row: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "model": model.config.model,
        "preprocess": model.config.preprocess.name,
        "parameters": model.num_parameters,
        "file_bytes": size,
        **speed(model),
        "start": _start(stages),
        "training": _training(stages),
        "validation": _best(stages),
        "epochs": len(curve),
        "epochs_to_target": epochs_to(curve, target),
        "curve": curve,
        "fingerprint": stages[0]["data"].get("fingerprint") if stages else None,
        "recipe": {
            k: v for k, v in Recipe.from_dict(stages[0]["recipe"]).to_dict().items() if k not in ("name", "init")
        }
        if stages
        else {},
    }
    if data:
        row["measured"] = _measure(model, name, data)
    return row


def _start(stages: Sequence[dict[str, Any]]) -> str:
    """Where the first stage's weights came from: scratch, pretrained, checkpoint (an earlier run that is not recorded) or unknown."""
    if not stages:
        return "unknown"
    return {None: "scratch", "checkpoint": "checkpoint"}.get(stages[0]["recipe"].get("init"), "pretrained")


def _best(stages: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The last stage's best validation accuracy and its epoch, which is what was saved."""
    if not stages or not stages[-1]["epochs"]:
        return None
    chosen_by = f"val_{stages[-1]['recipe'].get('select', 'accuracy')}"
    best = max(stages[-1]["epochs"], key=lambda e: e[chosen_by])
    return {"accuracy": best["val_accuracy"], "epoch": best["epoch"], "n": stages[-1]["data"]["validation"]}


def _training(stages: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Hours, images a second over all epochs, and the device of the last stage where it is recorded."""
    seconds = math.fsum(e["seconds"] for stage in stages for e in stage["epochs"])
    if seconds <= 0:
        return None
    images = sum(stage["data"]["kept"] * len(stage["epochs"]) for stage in stages if "average" not in stage)
    return {
        "hours": seconds / 3600,
        "images_per_second": images / seconds,
        "device": stages[-1].get("environment", {}).get("device"),
    }


def _other_data(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are known to be of different images; records without a fingerprint cannot tell."""
    return None not in (one["fingerprint"], other["fingerprint"]) and one["fingerprint"] != other["fingerprint"]


def _ratio(slow: int | None, fast: int | None) -> float | None:
    return None if slow is None or fast is None else slow / fast


def _measure(model: EmotionClassifier, name: str, data: str) -> dict[str, Any]:
    validation, test = (load_split(data, split, model.labels) for split in ("validation", "test"))
    apart = apart_indices(validation, test)
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=name)
    return brief(
        validation.labels[apart], face_probs(predictor, [validation.faces[i] for i in apart], what="validation")
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
