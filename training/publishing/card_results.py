"""Model-card section on other data, from reports on images of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from emotion_hub.checkpoints import WEIGHTS_FILE, file_hash
from emotion_hub.errors import CheckpointError
from training.data.files import write_json
from training.evaluation.own_summary import group_lines
from training.evaluation.own_types import OwnReport
from training.evaluation.summary import figures_row

__all__ = ["RESULTS_FILE", "results_text", "write_results"]

#: File of a checkpoint's folder with the reports; it holds figures and names of groups, and no image.
RESULTS_FILE = "other_data.json"


def write_results(folder: Path, reports: Sequence[Path]) -> None:
    """Write the reports to the checkpoint's folder; without reports, delete an earlier file.

    Raises CheckpointError for a file that is no report on one's own images, and for one that measured other weights.
    """
    if not reports:
        (folder / RESULTS_FILE).unlink(missing_ok=True)
        return
    weights = file_hash(folder / WEIGHTS_FILE)
    write_json(folder / RESULTS_FILE, [_read(path, folder, weights) for path in reports])


def _read(path: Path, folder: Path, weights: str) -> OwnReport:
    command = f"python -m training.evaluate --checkpoint {folder} --data IMAGES --out {path}"
    try:
        report: OwnReport = json.loads(path.read_text(encoding="utf-8"))
        is_own = "images" in report["data"] and "accuracy" in report
        measured = report["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no report ({error!r}); make one with: {command}") from error
    if not is_own:
        raise CheckpointError(
            f"{path} is a report on a split, not on images of one's own; make one with: {command} --groups COLUMN"
        )
    if measured != weights:
        raise CheckpointError(
            f"{path} measured the weights {measured[:12]}…, those of {folder} are {weights[:12]}…; measure these: "
            f"{command}"
        )
    return report


def results_text(folder: Path, level: str) -> str:
    """Markdown: the section with its heading; empty for a checkpoint without such reports."""
    path = folder / RESULTS_FILE
    if not path.is_file():
        return ""
    reports: list[OwnReport] = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        f"{level} Results on other data",
        "Measured by `training.evaluate` on images that are not in this repository. Groups are as the data names them.",
        "",
        "| data | n | accuracy (95% interval) | macro F1 (95% interval) |",
        "|---|---|---|---|",
        *(figures_row(report["data"]["name"], report) for report in reports),
        "",
    ]
    for report in reports:
        name = report["data"]["name"]
        if "detection" in report:
            found = report["detection"]
            lines += [
                f"{name}: {found['detector']} found no face in {found['no_face']} of {found['photos']:,} photos; with "
                f"these as errors, the accuracy is {found['accuracy_of_all']:.2%}.",
                "",
            ]
        if "groups" in report:
            lines += [f"{level}# Groups of {name}", "", *group_lines(report["groups"], report["tests"], f"{level}##")]
    return "\n".join(lines).rstrip("\n") + "\n\n"
