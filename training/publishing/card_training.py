"""Model-card section on training: recipes, data, calibration, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.report_types import Report
from training.fit.record_types import RunHistory, TrainingRecord
from training.fit.run_folder import best_epoch
from training.publishing.checkpoint_files import FER2013_NAME, FER2013_TRAINING, data_name, record_of

__all__ = ["energy_text", "training_text"]

#: Assumed power in watts for the energy estimate: one core of a server's processor under load, and accelerators at
#: their board limit.
CORE_WATTS = 10
GPU_WATTS = {"H200": 700, "H100": 700, "A100": 400, "L4": 72, "T4": 70}


def training_text(folder: Path, report: Report | None = None) -> str:
    """Markdown: the recipe, epochs, hours and best validation accuracy of each stage; data; calibration; energy.

    The record does not name its data. They count as FER2013's when `report` measures FER2013 and the number of training
    images agrees. Raises CheckpointError for a folder without a training record.
    """
    record = record_of(folder)
    lines = [_average_line(stage) if "average" in stage else _run_line(stage) for stage in record["stages"]]
    lines.append(_data_line(record["stages"][-1]["data"], report))
    if "calibration" in record:
        lines.append(_calibration_line(record))
    lines.append(f"- Time and energy: {energy_text(record['stages'])}")
    return "\n".join(lines)


def _run_line(stage: RunHistory) -> str:
    recipe, epochs, data = stage["recipe"], stage["epochs"], stage["data"]
    best = best_epoch(stage)
    hours = sum(epoch["seconds"] for epoch in epochs) / 3600
    machine, environment = "", stage.get("environment")
    if environment:
        machine = f" on {environment['device']} in {environment['dtype']}, {environment['threads']} threads"
    side = recipe["train_size"] or recipe["preprocess"]["size"]
    teachers = ", ".join(f"`{t['name']}` ({t['sha256'][:8]}…)" for t in stage.get("teachers") or [])
    soft = f" {recipe['distill']:.0%} of its targets are the probabilities of {teachers}." if teachers else ""
    return (
        f"- `training/runs/{recipe['name']}.toml`: {recipe['model']} at {side} pixels, {len(epochs)} epochs of "
        f"{data['kept']:,} images, {recipe['optimizer']} with a learning rate of {recipe['lr']:g}, batch size "
        f"{recipe['batch_size']}, seed {recipe['seed']}, {hours:.1f} hours{machine}. "
        f"Best epoch {best['epoch']}: {best['val_accuracy']:.2%} on {data['validation']:,} validation images.{soft}"
    )


def _average_line(stage: RunHistory) -> str:
    average, [figures] = stage["average"], stage["epochs"]
    parts = average["of"]
    shares = ", ".join(f"{part['weight']:.0%} of `{part['name']}`" for part in parts)
    weights = f"the mean of weights, {shares}" if len(parts) > 1 else f"the weights of `{parts[0]['name']}`"
    return (
        f"- `{stage['recipe']['name']}`: {weights}, made by `training.average`, with batch-norm statistics of "
        f"{average['statistics']:,} training images: {figures['val_accuracy']:.2%} on "
        f"{stage['data']['validation']:,} validation images."
    )


def _data_line(data: Mapping[str, Any], report: Report | None) -> str:
    is_fer2013 = data_name(report) == FER2013_NAME and data["total"] == FER2013_TRAINING
    owner = f"{FER2013_NAME}'s" if is_fer2013 else "the"
    near = ""
    if data.get("near_copies_in_evaluation"):
        near = f"{data['near_copies_in_evaluation']:,} with a near copy there, "
    return (
        f"- Of {owner} {data['total']:,} training images {data['kept']:,} were used. Left out: "
        f"{data['copies_in_evaluation']} with an exact copy in validation or test, "
        f"{near}{data['surplus_copies']} surplus copies, {data['conflicting']} copies with conflicting labels, "
        f"{data['constant']} of one flat colour."
    )


def _calibration_line(record: TrainingRecord) -> str:
    calibration = record["calibration"]
    validation = calibration["validation"]
    nll, ece = validation["nll"], validation["ece"]
    return (
        f"- Temperature {calibration['temperature']:.3f}, fitted on {validation['n']:,} validation images; there the "
        f"log loss changes from {nll['before']:.4f} to {nll['after']:.4f}, the ECE from {ece['before']:.4f} to "
        f"{ece['after']:.4f}."
    )


def energy_text(stages: Sequence[RunHistory]) -> str:
    """A sentence with the hours of all stages and their kilowatt-hours, estimated from assumed watts."""
    watt_hours, hours, unknown = 0.0, 0.0, 0.0
    for stage in stages:
        time, environment = sum(epoch["seconds"] for epoch in stage["epochs"]) / 3600, stage.get("environment")
        watts = _watts(environment) if environment else None
        watt_hours, hours = watt_hours + time * (watts or 0), hours + time
        unknown += time * (watts is None)
    if unknown == hours:
        return f"{hours:.1f} hours in total; the machine was not recorded, so its energy is not estimated."
    assumed = f"{CORE_WATTS} W per CPU core in use" + "".join(
        f", {watts} W per {name}" for name, watts in GPU_WATTS.items() if _uses(stages, name)
    )
    rest = f", without {unknown:.1f} hours on a machine that was not recorded" if unknown else ""
    return (
        f"{hours:.1f} hours in total, about {watt_hours / 1000:.2f} kWh at an assumed {assumed} (an estimate, not "
        f"measured{rest})."
    )


def _watts(environment: Mapping[str, Any]) -> float | None:
    """Assumed power of a stage's machine; None for an accelerator that GPU_WATTS lacks."""
    device = environment["device"]
    if device == "cpu":
        return CORE_WATTS * environment["threads"] * environment.get("processes", 1)
    return next((watts * environment.get("processes", 1) for name, watts in GPU_WATTS.items() if name in device), None)


def _uses(stages: Sequence[RunHistory], name: str) -> bool:
    return any(name in (stage.get("environment") or {}).get("device", "") for stage in stages)
