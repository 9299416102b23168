"""What a model card says of one checkpoint, section by section, each from a file that a command wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import (
    CONFIG_FILE,
    INT8_FILE,
    ONNX_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    file_hash,
)
from emotion_hub.errors import CheckpointError
from training.evaluation.summary import percent_interval

__all__ = ["FER2013_NAME", "accuracy_text", "body", "data_name", "limits", "load", "report_of", "training_text"]

STUDIES = Path(__file__).parents[1] / "studies"
PHOTO_STUDY = STUDIES / "photos.json"
EXPLAIN_STUDY = STUDIES / "explain" / "scores.json"
ONNX_STUDY = STUDIES / "onnx.json"
FERPLUS_URL = "https://arxiv.org/abs/1608.01041"
#: Assumed power for the energy estimate: of one core of a server's processor under load, and of accelerators at their board limit.
CORE_WATTS = 10
GPU_WATTS = {"H200": 700, "H100": 700, "A100": 400, "L4": 72, "T4": 70}
CALIBRATION_URL = "https://arxiv.org/abs/1706.04599"
#: FER2013 as cards call it, its PrivateTest as reports know it (`pixels_sha256`), and the images of its training split.
FER2013_NAME = "FER2013"
PRIVATE_TEST = "ba45fcdb61ef0793b32a99d1b255dcd941c232df9fdab236a6844b34982375ed"
FER2013_TRAINING = 28_709


def load(folder: Path, name: str, command: str) -> dict[str, Any]:
    """A JSON file of a checkpoint; raises CheckpointError naming the command that makes it."""
    if not (folder / name).is_file():
        raise CheckpointError(f"{folder.name} has no {name}; make it with: {command}")
    return json.loads((folder / name).read_text())


def report_of(folder: Path) -> dict[str, Any]:
    """The test-split report of a checkpoint's folder; raises CheckpointError with the command that makes it."""
    command = f"python -m training.evaluate --checkpoint {folder} --data DATA --split test --out {folder / REPORT_FILE}"
    report = load(folder, REPORT_FILE, command)
    if report["split"] != "test":
        raise CheckpointError(
            f"{REPORT_FILE} of {folder.name} measures {report['split']!r}, a card states the test split; make it with: {command}"
        )
    if (folder / WEIGHTS_FILE).is_file() and report["sha256"] != file_hash(folder / WEIGHTS_FILE):
        raise CheckpointError(
            f"{REPORT_FILE} of {folder.name} measures other weights than {WEIGHTS_FILE} beside it; make it with: {command}"
        )
    return report


def data_name(report: Mapping[str, Any]) -> str:
    """FER2013 for a report on the contest's own PrivateTest, else the name of the data as the report has it."""
    data = report.get("data", {})
    return FER2013_NAME if data.get("pixels_sha256") == PRIVATE_TEST else data.get("name") or "unnamed data"


def accuracy_text(row: dict[str, Any]) -> str:
    """Accuracy with n, and the 95% interval where the report has one."""
    interval = f", {percent_interval(row['interval']['accuracy'])}" if "interval" in row else ""
    return f"{row['accuracy']:.2%} (n={row['n']:,}{interval})"


def per_class_table(report: dict[str, Any]) -> str:
    """Markdown: precision, recall and F1 a label, and what it is most often taken for."""
    rows = ["| label | precision | recall | F1 | images | most often taken for |", "|---|---|---|---|---|---|"]
    for i, (label, row) in enumerate(report["per_class"].items()):
        counts = [0 if j == i else v for j, v in enumerate(report["confusion_matrix"][i])]
        worst = max(range(len(counts)), key=counts.__getitem__)
        share = counts[worst] / max(1, row["support"])
        rows.append(
            f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} | {report['labels'][worst]} ({share:.0%}) |"
        )
    return "\n".join(rows)


def training_text(folder: Path, report: Mapping[str, Any] | None = None) -> str:
    """Markdown: each stage's recipe in a sentence, its epochs, hours and best validation accuracy.

    The record does not name its data: they are FER2013's where `report` measures that and as many images were there.
    """
    training = load(folder, TRAINING_FILE, f"python -m training.package --run RUN --out {folder}")
    lines = []
    for stage in training["stages"]:
        recipe, epochs, data = stage["recipe"], stage["epochs"], stage["data"]
        if "average" in stage:
            lines.append(_average_line(stage))
            continue
        best = max(epochs, key=lambda e: e[f"val_{recipe.get('select', 'accuracy')}"])
        hours = sum(e["seconds"] for e in epochs) / 3600
        environment = stage.get("environment")
        machine = (
            f" on {environment['device']} in {environment['dtype']}, {environment['threads']} threads"
            if environment
            else ""
        )
        side = recipe["train_size"] or recipe["preprocess"]["size"]
        teachers = ", ".join(f"`{t['name']}` ({t['sha256'][:8]}…)" for t in stage.get("teachers") or [])
        taught = f" {recipe['distill']:.0%} of its targets are the answers of {teachers}." if teachers else ""
        lines.append(
            f"- `training/runs/{recipe['name']}.toml`: {recipe['model']} at {side} pixels, {len(epochs)} epochs of {data['kept']:,} images, "
            f"{recipe['optimizer']} at {recipe['lr']:g}, batch {recipe['batch_size']}, seed {recipe['seed']}, {hours:.1f} hours{machine}. "
            f"Best epoch {best['epoch']}: {best['val_accuracy']:.2%} on {data['validation']:,} validation images.{taught}"
        )
    data = training["stages"][-1]["data"]
    whose = (
        f"{FER2013_NAME}'s" if data_name(report or {}) == FER2013_NAME and data["total"] == FER2013_TRAINING else "the"
    )
    near = (
        f"{data['near_copies_in_evaluation']:,} with a near copy there, "
        if data.get("near_copies_in_evaluation")
        else ""
    )
    lines.append(
        f"- Of {whose} {data['total']:,} training images {data['kept']:,} were used. Left out: {data['copies_in_evaluation']} whose exact copy stands in "
        f"validation or test, {near}{data['surplus_copies']} surplus copies, {data['conflicting']} copies under conflicting labels, "
        f"{data['constant']} of one flat colour."
    )
    if "calibration" in training:
        on = training["calibration"]["validation"]
        changes = ", ".join(
            f"{what} {on[key]['before']:.4f} to {on[key]['after']:.4f}"
            for key, what in (("nll", "log loss"), ("ece", "ECE"))
        )
        lines.append(
            f"- Temperature {training['calibration']['temperature']:.3f}, fitted on {on['n']:,} validation images: {changes} there."
        )
    lines.append(f"- Time and energy: {energy_text(training['stages'])}")
    return "\n".join(lines)


def _average_line(stage: Mapping[str, Any]) -> str:
    parts, [figures] = stage["average"]["of"], stage["epochs"]
    of = ", ".join(f"{part['weight']:.0%} of `{part['name']}`" for part in parts)
    weights = f"the mean of weights, {of}" if len(parts) > 1 else f"the weights of `{parts[0]['name']}`"
    return (
        f"- `{stage['recipe']['name']}`: {weights}, by `training.average`; batch-norm statistics of "
        f"{stage['average']['statistics']:,} training images: {figures['val_accuracy']:.2%} on {stage['data']['validation']:,} validation images."
    )


def energy_text(stages: Sequence[Mapping[str, Any]]) -> str:
    """A sentence: kilowatt-hours of all stages, estimated from hours and assumed watts, as nothing was metered."""
    spent, hours, unknown = 0.0, 0.0, 0.0
    for stage in stages:
        time, environment = sum(e["seconds"] for e in stage["epochs"]) / 3600, stage.get("environment")
        watts = _watts(environment) if environment else None
        spent, hours, unknown = spent + time * (watts or 0), hours + time, unknown + time * (watts is None)
    if unknown == hours:
        return f"{hours:.1f} hours in all; which machine was not recorded, so its energy is not estimated."
    assumed = f"{CORE_WATTS} W a CPU core in use" + "".join(
        f", {watts} W a {name}" for name, watts in GPU_WATTS.items() if _uses(stages, name)
    )
    rest = f"; {unknown:.1f} hours on a machine that was not recorded are not in it" if unknown else ""
    return f"{hours:.1f} hours in all, about {spent / 1000:.2f} kWh at an assumed {assumed} (an estimate; nothing was metered{rest})."


def _watts(environment: Mapping[str, Any]) -> float | None:
    """Assumed power of a stage's machine; None for an accelerator that GPU_WATTS does not know."""
    device = environment["device"]
    if device == "cpu":
        return CORE_WATTS * environment["threads"] * environment.get("processes", 1)
    return next((watts * environment.get("processes", 1) for name, watts in GPU_WATTS.items() if name in device), None)


def _uses(stages: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(name in (stage.get("environment") or {}).get("device", "") for stage in stages)


def robustness_text(report: Mapping[str, Any]) -> str:
    """Markdown: accuracy under each corruption of the report; empty where none was measured."""
    measured = {
        name: row for name, row in report.get("robustness", {}).items() if isinstance(row, Mapping) and "levels" in row
    }
    lines = []
    if measured:
        clean = report["robustness"]["clean"]["accuracy"]
        lines += [
            f"Accuracy on the same split, changed (as it is: {clean:.1%}):",
            "",
            "| change | strength: accuracy |",
            "|---|---|",
        ]
        for name, row in measured.items():
            levels = ", ".join(f"{level['strength']:g}: {level['accuracy']:.1%}" for level in row["levels"])
            lines.append(f"| {name} ({row['unit']}) | {levels} |")
    if "detected" in report:
        row = report["detected"]
        lines += [
            "",
            f"Cut out by {row['detector']} again after enlarging: {row['found']['accuracy']:.1%} of the {row['found']['n']:,} it found of {row['faces']:,}",
        ]
        lines[-1] += f"; the same faces as they are, {row['same_faces']['accuracy']:.1%}."
    return "\n".join(lines).lstrip("\n")


def explanation_text(name: str, sha256: str) -> str:
    """Markdown: what the study of explanations found for these weights, or that it has not seen them."""
    study = json.loads(EXPLAIN_STUDY.read_text()) if EXPLAIN_STUDY.is_file() else {}
    if study.get("checkpoints", {}).get(name, {}).get("sha256") != sha256:
        return (
            "No explanation of these weights was scored yet; `python -m training.explain_report --data DATA` does it."
        )
    found = study["findings"]["models"][name]
    lines = [f"- {line}" for line in study["summary"] if line.startswith(name)]
    return "\n".join(
        [
            f"Relevance maps of {found['faces']} {study['arguments']['split']} faces, scored by deleting and inserting their most relevant pixels, "
            "against random maps:",
            *lines,
            "- A map shows what the network used, not what the expression is; maps of wrong answers look as convincing as those of right ones.",
        ]
    )


def int8_text(name: str, sha256: str) -> str:
    """A line: what the checkpoint's 8-bit file costs in accuracy; empty where these weights' was not measured."""
    study = json.loads(ONNX_STUDY.read_text()) if ONNX_STUDY.is_file() else {"checkpoints": {}}
    found = study["checkpoints"].get(name, {})
    if found.get("sha256") != sha256:
        return ""
    row = found["files"]["int8"]
    low, high = (100 * value for value in row["change"]["interval"])
    return (
        f"In 8 bits (`{INT8_FILE}`, {row['bytes'] / 2**20:.1f} MB, {row['share_of_float16']:.2f} of `{ONNX_FILE}`): accuracy {row['accuracy']:.2%}, "
        f"{100 * row['change']['accuracy']:+.2f} points (95% interval {low:+.2f} to {high:+.2f}); {row['same_label']:.1%} of the labels are the same.\n"
    )


def photo_text(name: str, *, required: bool) -> str:
    """Markdown: what the checkpoint does on photos from elsewhere, through the detector.

    Raises CheckpointError for one that the photo study does not know, where it is `required`; others were not measured there, and that is said.
    """
    command = "python -m training.studies.photos --photos FOLDER"
    if not PHOTO_STUDY.is_file():
        raise CheckpointError(f"there is no photo study; make it with: {command}")
    study = json.loads(PHOTO_STUDY.read_text())
    if not all(name in result["right"] for result in study["detectors"].values()):
        if required:
            raise CheckpointError(f"the photo study does not know {name}; make it again with: {command}")
        return "Not measured: these weights saw nothing but their data set's own crops."
    lines = [
        f"{study['faces']} faces in {study['photos']} openly licensed photos that no network was trained on, expressions noted by eye before "
        "these checkpoints existed (a sample this small shows gross failures, not fine differences):",
        "",
        "| face detector | faces found | right |",
        "|---|---|---|",
    ]
    for detector, result in study["detectors"].items():
        lines.append(
            f"| {detector} | {result['found']} of {study['faces']} | {result['right'][name]} of {result['found']} |"
        )
    return "\n".join(lines)


def calibration_text(reports: dict[str, dict[str, Any]]) -> str:
    """A sentence on how far the probabilities can be taken at their word, a checkpoint each where they differ."""
    if not any("temperature" in report for report in reports.values()):
        return "the probabilities are not calibrated."
    parts = []
    for name, report in reports.items():
        where = "PrivateTest" if data_name(report) == FER2013_NAME else f"{data_name(report)}'s test split"
        error = f" (expected calibration error on {where} {report['ece']:.3f})" if "ece" in report else ""
        how = (
            f"divided by the temperature {report['temperature']:.3f}, fitted on validation"
            if "temperature" in report
            else "not calibrated"
        )
        parts.append(f"`{name}`'s logits are {how}{error}")
    return (
        f"{'; '.join(parts)}. A temperature ([Guo et al. 2017]({CALIBRATION_URL})) makes probabilities right on average over faces like {_names(reports)}'s, "
        "not for a single face or for other pictures."
    )


def _names(reports: Mapping[str, Mapping[str, Any]]) -> str:
    return " and ".join(dict.fromkeys(data_name(report) for report in reports.values()))


def slices_text(reports: dict[str, dict[str, Any]]) -> str:
    """Which groups were measured apart; FER2013 itself names none."""
    columns = sorted({column for report in reports.values() for column in report.get("slices", {})})
    return (
        f"slices were measured by {', '.join(columns)} (report.json)"
        if columns
        else "no group slices were measured here"
    )


def limits(reports: dict[str, dict[str, Any]], licence: str) -> str:
    """The sections that hold for every card, as these reports have it, with the sentence on the weights' `licence`.

    What is known of FER2013 stands on cards of FER2013 alone.
    """
    name = _names(reports)
    if name == FER2013_NAME:
        noise = f"""- FER2013's labels are noisy. Ten FER+ voters ([Barsoum et al. 2016]({FERPLUS_URL})) gave 23% of its images no majority label.
- FER2013 was collected by web search; its mix of ages, skin tones and cultures is unknown and {slices_text(reports)}."""
        terms = """FER2013 was released for the ICML 2013 contest for research and education;
the copyright of its pictures is not cleared, and none of them is in this repository."""
        citation = """
## Citation
Goodfellow et al. 2013, *Challenges in Representation Learning: A report on three machine learning contests*, arXiv:1307.0414.
"""
    else:
        noise = f"- How noisy {name}'s labels are and whom its faces show is not known here; {slices_text(reports)}."
        terms, citation = "ask who gave them out. This repository holds no picture of theirs.", ""
    return f"""## Limits
- It names the *expression* a face shows, as {name}'s annotators would have named it. It does not know what a person feels.
{noise}
- 48 gray pixels hold little: small, turned, covered or dark faces fail. What looks confident may be wrong; {calibration_text(reports)}

## Intended use
Teaching, research on low-resolution expression recognition, comparing pipelines and explanations.

## Out of scope
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)): no student engagement scores, no
workplace monitoring. Not for hiring, policing, border control, health, insurance or any other decision about a person, and not on faces
whose owners did not agree.

## Licence
{licence} The training data's terms are {"its" if name == FER2013_NAME else "their"} own: {terms}
{citation}"""


def body(name: str, folder: Path, level: str, *, embedded: bool = True) -> str:
    """One checkpoint's sections, headings starting at `level`; an embedded one must have been measured everywhere."""
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    clean, prep = report["without_copies"], config["preprocess"]
    upscaled = f" and upscaled to {prep['size']} with {prep['upsample']}" if prep["size"] != prep["face_size"] else ""
    measured = f"**accuracy {report['accuracy']:.2%}**, macro F1 {report['macro_f1']:.4f}, log loss {report['log_loss']:.4f}, n = {report['n']:,}"
    others = "".join(f"{line}\n" for line in _readings(report)) + int8_text(name, report["sha256"])
    robust = f"{level} Robustness\n{text}\n\n" if (text := robustness_text(report)) else ""
    whole = (
        "PrivateTest (`test`), read once for this checkpoint"
        if data_name(report) == FER2013_NAME
        else f"The test split of {data_name(report)}"
    )
    return f"""{level} Input
{prep["size"]}×{prep["size"]} pixels, {prep["channels"]} channel(s), mean {prep["mean"]}, std {prep["std"]}. Every face is made gray, brought to
{prep["face_size"]} pixels a side with {prep["resample"]}{upscaled}: the settings are in `config.json` and `emotion_hub` applies them.
Outputs: {", ".join(f"{i} {label}" for i, label in enumerate(config["labels"]))}.

{level} Measured
{whole}: {measured}.
Without the test images whose exact copy stands in another split: accuracy {clean["accuracy"]:.2%}, macro F1 {clean["macro_f1"]:.4f}, n = {clean["n"]:,}.
{others}All figures are in `report.json`, written by `training.evaluate` for the weights with SHA-256 `{report["sha256"][:16]}…`.

{per_class_table(report)}

{robust}{level} On faces from elsewhere
{photo_text(name, required=embedded)}

{level} Explanations
{explanation_text(name, report["sha256"])}

{level} Training
{training_text(folder, report)}
"""


def _readings(report: dict[str, Any]) -> list[str]:
    """A line for each further reading that the report has: intervals, near copies, calibration, ten crops, FER+."""
    lines = []
    if "interval" in report:
        low, high = report["interval"]["macro_f1"]
        spread = f"accuracy {percent_interval(report['interval']['accuracy'])}, macro F1 {low:.3f} to {high:.3f}"
        lines.append(f"95% intervals (bootstrap over the images): {spread}.")
    if "without_near_copies" in report:
        row = report["without_near_copies"]
        lines.append(
            f"Without those with a near copy in train (correlation {row['threshold']:g} or more) as well: {accuracy_text(row)}."
        )
    if "ece" in report:
        scaled = (
            f", with the temperature {report['temperature']:.3f} in the weights"
            if "temperature" in report
            else ", no temperature in the weights"
        )
        lines.append(
            f"Expected calibration error {report['ece']:.4f}{scaled}; the label is among the two most probable {report['top2_accuracy']:.2%} of the time."
        )
    if "ten_crop" in report:
        lines.append(
            f"Ten crops of {report['ten_crop']['share']:g} of the side, averaged: {accuracy_text(report['ten_crop'])}."
        )
    if "ferplus" in report:
        lines.append(
            f"Against FER+'s majority labels, where there is one: {accuracy_text(report['ferplus'])}, macro F1 {report['ferplus']['macro_f1']:.4f}."
        )
    return lines
