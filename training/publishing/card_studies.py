"""Model-card sections from studies: photos, explanations, 8-bit weights."""

from __future__ import annotations

import json
from pathlib import Path

from emotion_hub.checkpoints import INT8_FILE, ONNX_FILE
from emotion_hub.errors import CheckpointError

__all__ = ["explanation_text", "int8_text", "photo_text"]

STUDIES = Path(__file__).parents[1] / "studies"
PHOTO_STUDY = STUDIES / "photos.json"
EXPLAIN_STUDY = STUDIES / "explain" / "scores.json"
ONNX_STUDY = STUDIES / "onnx.json"


def explanation_text(name: str, sha256: str) -> str:
    """Markdown: what the explanation study says about these weights, or that it did not measure them."""
    study = json.loads(EXPLAIN_STUDY.read_text()) if EXPLAIN_STUDY.is_file() else {}
    if study.get("checkpoints", {}).get(name, {}).get("sha256") != sha256:
        return (
            "The explanations of these weights were not measured yet; run "
            "`python -m training.explain_report --data "
            "DATA`."
        )
    figures = study["findings"]["models"][name]
    lines = [f"- {line}" for line in study["summary"] if line.startswith(name)]
    return "\n".join(
        [
            f"Relevance maps of {figures['faces']} {study['arguments']['split']} faces, measured by deleting and "
            "inserting "
            "their most relevant pixels, compared with random maps:",
            *lines,
            "- A map shows what the network used, not what the expression is; maps of wrong predictions look as "
            "convincing as those of correct ones.",
        ]
    )


def int8_text(name: str, sha256: str) -> str:
    """A line with the size and accuracy of the checkpoint's 8-bit file; empty if these weights were not measured."""
    study = json.loads(ONNX_STUDY.read_text()) if ONNX_STUDY.is_file() else {"checkpoints": {}}
    figures = study["checkpoints"].get(name, {})
    if figures.get("sha256") != sha256:
        return ""
    row = figures["files"]["int8"]
    low, high = (100 * value for value in row["change"]["interval"])
    return (
        f"With 8-bit weights (`{INT8_FILE}`, {row['bytes'] / 2**20:.1f} MB, {row['share_of_float16']:.2f} times "
        "the size "
        f"of `{ONNX_FILE}`): accuracy {row['accuracy']:.2%}, {100 * row['change']['accuracy']:+.2f} points (95% "
        "interval "
        f"{low:+.2f} to {high:+.2f}); {row['same_label']:.1%} of the predicted labels are the same.\n"
    )


def photo_text(name: str, *, required: bool) -> str:
    """Markdown: the checkpoint's results on photos that are not from FER2013, with face detection.

    For a checkpoint that the photo study lacks, it raises CheckpointError if the study is `required`, and says that it
    was not measured otherwise.
    """
    command = "python -m training.studies.photos --photos FOLDER"
    if not PHOTO_STUDY.is_file():
        raise CheckpointError(f"there is no photo study; make it with: {command}")
    study = json.loads(PHOTO_STUDY.read_text())
    if not all(name in result["right"] for result in study["detectors"].values()):
        if required:
            raise CheckpointError(f"the photo study does not contain {name}; make it again with: {command}")
        return "Not measured: these weights were only tested on crops of their own data set."
    lines = [
        f"{study['faces']} faces in {study['photos']} openly licensed photos, on which no network was trained. Their "
        "expressions were noted by eye before these checkpoints existed. A sample of this size shows gross failures, "
        "not small differences.",
        "",
        "| face detector | faces found | correct |",
        "|---|---|---|",
    ]
    for detector, result in study["detectors"].items():
        lines.append(
            f"| {detector} | {result['found']} of {study['faces']} | {result['right'][name]} of {result['found']} |"
        )
    return "\n".join(lines)
