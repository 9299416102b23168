"""Compare models: a row per model, and pairs with and without pretraining."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, resolve_file
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.models.registry import create_model, get_entry, list_models
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import load_split
from training.data.selection import apart_indices
from training.evaluation.latency import machine, speed
from training.evaluation.metrics import brief
from training.evaluation.predictions import face_probs
from training.evaluation.report_types import Figures, Report
from training.fit.recipe import Recipe
from training.fit.record_types import RunHistory
from training.fit.run_folder import best_epoch, half_bytes, load_outcome

__all__ = ["checkpoint_row", "compare", "epochs_to", "pretraining_pairs", "registry_rows", "run_row"]


def compare(
    checkpoints: Sequence[str],
    runs: Sequence[Path],
    target: float,
    data: str | None = None,
    everything: bool = False,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The comparison in JSON types: one row per model, and pairs of one network with and without pretraining.

    `target` is the validation accuracy, 0..1, until which epochs are counted. With `data`, every model is measured on
    its validation split. `everything` also lists the registered networks without a row. Models of an `earlier`
    comparison that are not named now keep their rows, each with the machine it was measured on. Raises InputError when
    the earlier comparison had another target.
    """
    kept = _kept_rows(earlier, target) if earlier else []
    rows = [checkpoint_row(name, target, data) for name in checkpoints]
    rows += [run_row(folder, target, data) for folder in runs]
    named = {row["name"] for row in rows}
    rows = [row for row in kept if row["name"] not in named] + rows
    rows.sort(key=lambda row: row["kind"] != "checkpoint")  # stable: checkpoints first, runs in their order
    return {
        "target": target,
        "machine": machine(),
        "models": rows,
        "untrained": registry_rows({row["model"] for row in rows}) if everything else [],
        "pairs": pretraining_pairs(rows),
    }


def _kept_rows(earlier: Mapping[str, Any], target: float) -> list[dict[str, Any]]:
    """The rows of an earlier comparison, each with its machine; raises InputError when its target differs."""
    if earlier["target"] != target:
        raise InputError(
            f"the rows to keep count epochs to {earlier['target']:g}, the new ones to {target:g}; give --target "
            f"{earlier['target']:g}"
        )
    return [{"measured_on": earlier["machine"], **row} for row in earlier["models"]]


def checkpoint_row(name: str, target: float, data: str | None = None) -> dict[str, Any]:
    """The row of an embedded checkpoint, a folder or a Hub id, with its report and training record if it has them."""
    model = EmotionClassifier.from_pretrained(name)
    weights = resolve_file(name, WEIGHTS_FILE)
    stages: list[RunHistory] = _json(weights.with_name(TRAINING_FILE)).get("stages", [])
    row = _row(Path(name).name, "checkpoint", model, weights.stat().st_size, stages, target, data)
    report: Report | dict[str, Any] = _json(weights.with_name(REPORT_FILE))
    keys = ("split", "n", "accuracy", "macro_f1", "interval", "ece", "without_copies")
    if report:
        row["report"] = {key: value for key, value in report.items() if key in keys}
    return row


def run_row(folder: Path, target: float, data: str | None = None) -> dict[str, Any]:
    """The row of a run's folder; the file size is that of 16-bit weights.

    Raises CheckpointError when the run has no finished epoch.
    """
    history, model = load_outcome(folder)
    return _row(folder.resolve().name, "run", model.eval(), half_bytes(model), [history], target, data)


def registry_rows(known: set[str]) -> list[dict[str, Any]]:
    """Name, preprocessing and number of parameters of every registered network not in `known`.

    The number is None for a network that needs options. Nothing is trained, and no memory is allocated for
    weights.
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
    except ConfigError:  # an ensemble without options has no members
        return None


def epochs_to(epochs: Sequence[Mapping[str, Any]], accuracy: float) -> int | None:
    """The number of epochs until the validation accuracy reaches this value; None when it never does."""
    return next((i for i, epoch in enumerate(epochs, 1) if epoch["val_accuracy"] >= accuracy), None)


def pretraining_pairs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pretrained row with every row from scratch of the same network.

    `gain` is the difference of the best validation accuracies, 0..1. `speedup` is the number of epochs from
    scratch divided by that with pretraining, until `target` and until the best accuracy that both reach; None
    when one of them never reaches it. `differs` names the other settings in which the recipes differ: only if it
    is empty, the start is the only change.
    """
    starts = {kind: [row for row in rows if row["start"] == kind] for kind in ("pretrained", "scratch")}
    pairs = []
    for pretrained, scratch in product(starts["pretrained"], starts["scratch"]):
        if pretrained["model"] != scratch["model"] or _different_data(pretrained, scratch):
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
                "differs": _differences(pretrained["recipe"], scratch["recipe"]),
            }
        )
    return pairs


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The sorted names of the settings that differ."""
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))


def _row(
    name: str,
    kind: str,
    model: EmotionClassifier,
    size: int,
    stages: Sequence[RunHistory],
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
        "recipe": _compared_settings(stages[0]) if stages else {},
    }
    if data:
        row["measured"] = _measure(model, name, data)
    return row


def _compared_settings(stage: RunHistory) -> dict[str, Any]:
    """The recipe of a run without its name and start."""
    settings = Recipe.from_dict(stage["recipe"]).to_dict()
    return {key: value for key, value in settings.items() if key not in ("name", "init")}


def _start(stages: Sequence[RunHistory]) -> str:
    """Origin of the first stage's weights: scratch, pretrained, checkpoint (an unrecorded earlier run) or unknown."""
    if not stages:
        return "unknown"
    return {None: "scratch", "checkpoint": "checkpoint"}.get(stages[0]["recipe"].get("init"), "pretrained")


def _best(stages: Sequence[RunHistory]) -> dict[str, Any] | None:
    """The best validation accuracy of the last stage and its epoch, whose weights were saved."""
    if not stages or not stages[-1]["epochs"]:
        return None
    best = best_epoch(stages[-1])
    return {"accuracy": best["val_accuracy"], "epoch": best["epoch"], "n": stages[-1]["data"]["validation"]}


def _training(stages: Sequence[RunHistory]) -> dict[str, Any] | None:
    """Hours, images per second over all epochs, and the recorded device of the last stage."""
    seconds = math.fsum(e["seconds"] for stage in stages for e in stage["epochs"])
    if seconds <= 0:
        return None
    images = sum(stage["data"]["kept"] * len(stage["epochs"]) for stage in stages if "average" not in stage)
    return {
        "hours": seconds / 3600,
        "images_per_second": images / seconds,
        "device": stages[-1].get("environment", {}).get("device"),
    }


def _different_data(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the fingerprints of two rows differ; rows without a fingerprint count as equal."""
    return None not in (one["fingerprint"], other["fingerprint"]) and one["fingerprint"] != other["fingerprint"]


def _ratio(slow: int | None, fast: int | None) -> float | None:
    return None if slow is None or fast is None else slow / fast


def _measure(model: EmotionClassifier, name: str, data: str) -> Figures:
    validation, test = (load_split(data, split, model.labels) for split in ("validation", "test"))
    apart = apart_indices(validation, test)
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor, name=name)
    probs = face_probs(predictor, [validation.faces[i] for i in apart], what="validation")
    return brief(validation.labels[apart], probs)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
