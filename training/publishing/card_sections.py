"""Sections of a model card, each from files that a command wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE
from emotion_hub.errors import CheckpointError
from training.evaluation.report_types import Figures, Report, corruption_figures
from training.evaluation.summary import coverage_table, percent_interval
from training.publishing.card_results import results_text
from training.publishing.card_studies import explanation_text, int8_text, photo_text
from training.publishing.card_summary import training_sentence
from training.publishing.card_training import training_text
from training.publishing.checkpoint_files import FER2013_NAME, data_name, report_of

__all__ = ["accuracy_text", "body", "limits", "report_of"]

FERPLUS_URL = "https://arxiv.org/abs/1608.01041"
CONFORMAL_URL = "https://doi.org/10.1080/01621459.2017.1395341"
CALIBRATION_URL = "https://arxiv.org/abs/1706.04599"


def accuracy_text(row: Figures) -> str:
    """Accuracy with n, and the 95% interval if the report has one."""
    interval = f", {percent_interval(row['interval']['accuracy'])}" if "interval" in row else ""
    return f"{row['accuracy']:.2%} (n={row['n']:,}{interval})"


def _per_class_table(report: Report) -> str:
    """Markdown: precision, recall and F1 of each label, and its most frequent wrong prediction."""
    rows = ["| label | precision | recall | F1 | images | most often mistaken for |", "|---|---|---|---|---|---|"]
    for i, (label, row) in enumerate(report["per_class"].items()):
        counts = [0 if j == i else v for j, v in enumerate(report["confusion_matrix"][i])]
        worst = max(range(len(counts)), key=counts.__getitem__)
        share = counts[worst] / max(1, row["support"])
        rows.append(
            f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} | "
            f"{report['labels'][worst]} ({share:.0%}) |"
        )
    return "\n".join(rows)


def _prediction_set_text(config: Mapping[str, Any], report: Report, level: str) -> str:
    """The section on prediction sets; empty for a checkpoint without them.

    Raises CheckpointError when the report measured other thresholds than those of the configuration, or none.
    """
    if (sets := config.get("prediction_sets")) is None:
        return ""
    figures = report.get("prediction_sets")
    if figures is None or figures["thresholds"] != sets["thresholds"] or figures["nominal"] != sets["coverage"]:
        raise CheckpointError(
            f"{CONFIG_FILE} of {report['checkpoint']} has prediction sets that its report did not measure; fit and "
            f"measure them: python -m training.conformal --checkpoint {report['checkpoint']} --data DATA --report"
        )
    table = "\n".join(coverage_table(figures))
    return f"""{level} Prediction sets
`Prediction.prediction_set` lists labels that hold the true one in {sets["coverage"]:.0%} of the faces of each label.
Thresholds were fitted on validation ([Sadinle et al. 2019]({CONFORMAL_URL})). On the split above,
{figures["sizes"][0]:.0%} of the sets have one label:

{table}

"""


def _robustness_text(report: Report) -> str:
    """Markdown: accuracy under each corruption and on a detector's crops; empty if none was measured."""
    measured, lines = corruption_figures(report), []
    if measured:
        clean = report["robustness"]["clean"]["accuracy"]
        lines += [
            f"Accuracy on the same split with corrupted images (unchanged images: {clean:.1%}):",
            "",
            "| corruption | strength: accuracy |",
            "|---|---|",
        ]
        for name, row in measured.items():
            levels = ", ".join(f"{level['strength']:g}: {level['accuracy']:.1%}" for level in row["levels"])
            lines.append(f"| {name} ({row['unit']}) | {levels} |")
    if "detected" in report:
        detected = report["detected"]
        crops = detected["found"]
        lines += [
            "",
            f"Faces enlarged and cropped again by {detected['detector']}: {crops['accuracy']:.1%} of the "
            f"{crops['n']:,} "
            f"faces it found of {detected['faces']:,}; the original crops of the same faces: "
            f"{detected['same_faces']['accuracy']:.1%}.",
        ]
    return "\n".join(lines).lstrip("\n")


def _calibration_text(reports: Mapping[str, Report]) -> str:
    """A sentence on the calibration of each checkpoint's probabilities."""
    if not any("temperature" in report for report in reports.values()):
        return "The probabilities are not calibrated."
    parts = []
    for name, report in reports.items():
        where = "PrivateTest" if data_name(report) == FER2013_NAME else f"the test split of {data_name(report)}"
        error = f" (expected calibration error on {where}: {report['ece']:.3f})" if "ece" in report else ""
        method = "not calibrated"
        if "temperature" in report:
            method = f"divided by the temperature {report['temperature']:.3f}, which was fitted on validation"
        parts.append(f"the logits of `{name}` are {method}{error}")
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}. A temperature ([Guo et al. 2017]({CALIBRATION_URL})) makes probabilities "
        "right on "
        f"average over faces like those of {_names(reports)}, not for a single face and not for other pictures."
    )


def _names(reports: Mapping[str, Report]) -> str:
    return " and ".join(dict.fromkeys(data_name(report) for report in reports.values()))


def _slices_text(reports: Mapping[str, Report]) -> str:
    """The columns by whose values groups were measured; FER2013 has none."""
    columns = sorted({column for report in reports.values() for column in report.get("slices", {})})
    return f"groups were measured by {', '.join(columns)} (report.json)" if columns else "no groups were measured"


def limits(reports: Mapping[str, Report], licence: str) -> str:
    """The sections that every card has: limits, intended use, out of scope, licence.

    `licence` is the sentence on the licence of the weights. Facts on FER2013 are stated on cards of FER2013 only.
    """
    name = _names(reports)
    if name == FER2013_NAME:
        noise = f"""- FER2013's labels are noisy: 23% of its images have no majority label among ten FER+ voters
([Barsoum et al. 2016]({FERPLUS_URL})).
- FER2013 was collected by web search; its mix of ages, skin tones and cultures is unknown, and
{_slices_text(reports)}."""
        terms = """FER2013 was released for the ICML 2013 contest, for research and education.
The copyright of its pictures is not cleared, and none of them is in this repository."""
        citation = """
## Citation
Goodfellow et al. 2013, *Challenges in Representation Learning: A report on three machine learning contests*,
arXiv:1307.0414.
"""
    else:
        noise = (
            f"- It is not known how noisy the labels of {name} are and whom its faces show; {_slices_text(reports)}."
        )
        terms, citation = "ask its publisher. This repository contains none of its pictures.", ""
    return f"""## Limits
- It predicts the *expression* that a face shows, as the annotators of {name} would have named it. It does not know what
a person feels.
{noise}
- 48 gray pixels hold little information: predictions fail on small, turned, covered or dark faces, also with high
confidence.
- {_calibration_text(reports)}

## Intended use
Teaching, research on low-resolution expression recognition, comparison of preprocessing pipelines and explanations.

## Out of scope
Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Article 5(1)(f)): no student
engagement scores, no workplace monitoring. Not for hiring, policing, border control, health, insurance or any other
decision about a person, and not for faces of people who did not agree.

## Licence
{licence} The training data has its own terms: {terms}
{citation}"""


def body(name: str, folder: Path, level: str, *, embedded: bool = True) -> str:
    """The sections of one checkpoint, with headings from `level`.

    Raises CheckpointError for a missing report or record and, for an `embedded` checkpoint, a missing photo study.
    """
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    prep = config["preprocess"]
    upscaled = f" and upscaled to {prep['size']} with {prep['upsample']}" if prep["size"] != prep["face_size"] else ""
    split = f"The test split of {data_name(report)}"
    if data_name(report) == FER2013_NAME:
        split = "PrivateTest (`test`), read once for this checkpoint"
    clean = report["without_copies"]
    copies = f"accuracy {clean['accuracy']:.2%}, macro F1 {clean['macro_f1']:.4f}, n = {clean['n']:,}"
    readings = "".join(f"{line}\n" for line in _readings(report)) + int8_text(name, report["sha256"])
    sets = _prediction_set_text(config, report, level)
    robust = f"{level} Robustness\n{text}\n\n" if (text := _robustness_text(report)) else ""
    return f"""{level} Input
{prep["size"]}×{prep["size"]} pixels, {prep["channels"]} channel(s), mean {prep["mean"]}, std {prep["std"]}.
Every face is converted to gray and resized to {prep["face_size"]} pixels per side with {prep["resample"]}{upscaled}.
The settings are in `config.json`, and `emotion_hub` applies them.
Outputs: {", ".join(f"{i} {label}" for i, label in enumerate(config["labels"]))}.

{level} Measured
{split}: **accuracy {report["accuracy"]:.2%}**, macro F1 {report["macro_f1"]:.4f}, log loss {report["log_loss"]:.4f}, n = {report["n"]:,}.
Without test images that have an exact copy in another split: {copies}.
{readings}All figures are in `report.json`, written by `training.evaluate` for the weights with SHA-256 `{report["sha256"][:16]}…`.

{_per_class_table(report)}

{sets}{robust}{level} On other photos
{photo_text(name, required=embedded)}

{results_text(folder, level)}{level} Explanations
{explanation_text(name, report["sha256"])}

{level} Training
{training_sentence(folder, report)}

{training_text(folder, report)}
"""  # noqa: E501  lines of the card


def _readings(report: Report) -> list[str]:
    """A line for each further measurement in the report: intervals, near copies, calibration, ten crops, FER+."""
    lines = []
    if "interval" in report:
        low, high = report["interval"]["macro_f1"]
        accuracy = percent_interval(report["interval"]["accuracy"])
        lines.append(
            f"95% intervals (bootstrap over the images): accuracy {accuracy}, macro F1 {low:.3f} to {high:.3f}."
        )
    if "without_near_copies" in report:
        near = report["without_near_copies"]
        lines.append(
            f"Also without those that have a near copy in train (correlation {near['threshold']:g} or more): "
            f"{accuracy_text(near)}."
        )
    if "ece" in report:
        temperature = "no temperature in the weights"
        if "temperature" in report:
            temperature = f"with the temperature {report['temperature']:.3f} in the weights"
        lines.append(
            f"Expected calibration error {report['ece']:.4f}, {temperature}; top-2 accuracy "
            f"{report['top2_accuracy']:.2%}."
        )
    if "ten_crop" in report:
        crops = report["ten_crop"]
        lines.append(f"Average of ten crops of {crops['share']:g} of the side: {accuracy_text(crops)}.")
    if "ferplus" in report:
        ferplus = report["ferplus"]
        lines.append(
            f"Against FER+'s majority labels, for images that have one: {accuracy_text(ferplus)}, macro F1 "
            f"{ferplus['macro_f1']:.4f}."
        )
    return lines
