"""Title, five-line summary and training sentence of a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE
from training.evaluation.report_types import Figures, Report
from training.evaluation.summary import percent_interval
from training.publishing.checkpoint_files import FER2013_NAME, data_name, record_of
from training.publishing.licences import Start, known_starts, licence_line

__all__ = ["NOT_INTENDED", "input_text", "summary_text", "title", "training_sentence"]

NOT_INTENDED = (
    "decisions about a person; emotions of people at work or in education (prohibited in the EU); health; faces of "
    "people who did not agree"
)


def input_text(prep: dict[str, Any]) -> str:
    """The network's input in words, from the `preprocess` entry of `config.json`."""
    size, side = prep["size"], prep["face_size"] or prep["size"]
    face = f"a {side}×{side} gray face"
    return face if size == side else f"{face} upscaled to {size}×{size}"


def title(name: str, folder: Path) -> str:
    """Name, task and input."""
    prep = json.loads((folder / CONFIG_FILE).read_text())["preprocess"]
    return f"{name}: facial expression recognition on {input_text(prep)}"


def summary_text(folder: Path, report: Report, start: Start | None = None) -> str:
    """Markdown: labels, accuracy with its interval, size, licence and what the checkpoint is not intended for."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    megabytes = (folder / WEIGHTS_FILE).stat().st_size / 2**20
    where = f"{report['n']:,} test faces of {data_name(report)}"
    if data_name(report) == FER2013_NAME:
        where = f"the {report['n']:,} faces of FER2013's PrivateTest"
    return f"""- **Labels:** {", ".join(config["labels"])}
- **Accuracy:** {_with_interval(report)} on {where}; macro F1 {report["macro_f1"]:.3f}
- **Size:** {report["parameters"]:,} parameters, `model.safetensors` of {megabytes:.1f} MB
- **Licence:** {licence_line(folder, start)}
- **Not intended for:** {NOT_INTENDED}"""


def _with_interval(row: Figures) -> str:
    text = f"{row['accuracy']:.2%}"
    return f"{text} (95% interval {percent_interval(row['interval']['accuracy'])})" if "interval" in row else text


def training_sentence(folder: Path, report: Report | None = None) -> str:
    """One sentence on the training: number of faces, start, stages, epochs, hours, teachers.

    Raises CheckpointError for a folder without a training record.
    """
    runs = [stage for stage in record_of(folder)["stages"] if "average" not in stage]
    if not runs:
        return "The record names no training run."
    data, epochs = runs[-1]["data"], sum(len(stage["epochs"]) for stage in runs)
    hours = sum(epoch["seconds"] for stage in runs for epoch in stage["epochs"]) / 3600
    of = f" of {FER2013_NAME}" if data_name(report) == FER2013_NAME else ""
    start = "random weights" if runs[0]["recipe"]["init"] is None else "weights of an earlier run"
    if sources := known_starts(folder):
        start = " and ".join(map(str, sources))
    elif runs[0]["recipe"]["init"] not in (None, "checkpoint"):
        start = "weights of another project"
    stages = "one stage" if len(runs) == 1 else f"{len(runs)} stages"
    teachers = dict.fromkeys(f"`{t['name']}`" for stage in runs for t in stage.get("teachers") or [])
    taught = f" Part of its targets were the probabilities of {' and '.join(teachers)}." if teachers else ""
    return (
        f"Trained on {data['kept']:,} faces{of}, without copies of validation and test images, from {start} in "
        f"{stages}: {epochs} epochs and {hours:.1f} hours in total.{taught}"
    )
