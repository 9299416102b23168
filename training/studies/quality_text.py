"""Render the study of face warnings as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["table"]


def table(report: Mapping[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# Face warnings",
        "",
        f"Written by `python -m training.studies.quality`. Accuracy is that of `{report['checkpoint']}`.",
        "",
    ]
    for name, split in (("validation", report["clean"]), ("test", report.get("test"))):
        if split:
            lines += _clean(name, split)
    lines += _faults(report)
    lines += _rejection(report["without_face"])
    lines += _whole_photos(report)
    return "\n".join(lines) + "\n"


def _clean(name: str, split: Mapping[str, Any]) -> list[str]:
    lines = [
        f"## Unchanged faces: {split['n']:,} of FER2013's `{name}`",
        "",
        f"{split['any']:.1%} of the faces have at least one warning.",
        "",
        "| warning | faces flagged | accuracy of these | accuracy of the others |",
        "|---|---|---|---|",
    ]
    for code, row in split["codes"].items():
        cells = _percent(row["flagged"], 1), _percent(row["accuracy_flagged"]), _percent(row["accuracy_unflagged"])
        lines.append(f"| `{code}` | {' | '.join(cells)} |")
    return [*lines, ""]


def _faults(report: Mapping[str, Any]) -> list[str]:
    n = report["faults"][0]["levels"][0]["n"]
    lines = [
        f"## Faces with one fault: {n:,} of `validation`",
        "",
        "Strengths from mild to strong. `not_a_face` is the share of these faces that are wrongly rejected.",
        "",
        "| warning | fault | strength | flagged | accuracy | `not_a_face` | any warning |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in report["faults"]:
        for level in fault["levels"]:
            cells = [_percent(level[key]) for key in ("flagged", "accuracy", "rejected", "any")]
            code = f"`{fault['code']}`" if fault["code"] else "none"
            lines.append(f"| {code} | {fault['fault']} | {level['strength']:g} | {' | '.join(cells)} |")
    lines += [
        "",
        "Unchanged faces and those with the fault together:",
        "",
        "| warning | accuracy of flagged faces | accuracy of the others |",
        "|---|---|---|",
    ]
    for code, row in report["pooled"].items():
        lines.append(f"| `{code}` | {_percent(row['accuracy_flagged'])} | {_percent(row['accuracy_unflagged'])} |")
    lines += ["", "Faces cut off by the border of a photo, in which YuNet searches them:", ""]
    lines += ["| share cut off | found | of these flagged `cut_off` |", "|---|---|---|"]
    for row in report["cut_off"]:
        lines.append(f"| {_percent(row['share'])} | {row['found']} of {row['n']} | {_percent(row['flagged'])} |")
    return [*lines, ""]


def _rejection(result: Mapping[str, Any]) -> list[str]:
    lines = ["## Images without a face", "", "| taken as a ready-made crop | images | `not_a_face` |", "|---|---|---|"]
    for kind, row in result["ready_made"].items():
        lines.append(f"| {kind} | {row['n']} | {_percent(row['rejected'], 1)} |")
    detected = result["detected"]
    return [
        *lines,
        "",
        f"In {detected['crops']} enlarged crops of photos without a face, YuNet finds {detected['detections']} faces; "
        f"{_percent(detected['rejected_or_small'])} of them are flagged `not_a_face` or `small`.",
        "",
    ]


def _whole_photos(report: Mapping[str, Any]) -> list[str]:
    lines = ["## Whole photos", ""]
    for scale, row in report["photos"].items():
        counts = ", ".join(f"{count} `{code}`" for code, count in row["codes"].items()) or "none"
        lines.append(f"- At {float(scale):.0%} of their size: {row['faces']} detected faces; warnings: {counts}.")
    lines += ["", "| photos of one face rotated by | found | of these flagged `tilted` |", "|---|---|---|"]
    for row in report["rotated"]:
        lines.append(f"| {row['angle']}° | {row['found']} of {row['n']} | {_percent(row['flagged'])} |")
    lines += [
        "",
        "## Cost",
        "",
        "Processor time of the warnings, and its share of a prediction with decoding and detection. Those of a "
        "ready-made crop are computed only when they are read.",
        "",
        "| photo | faces | ms per face | share |",
        "|---|---|---|---|",
    ]
    for name, row in report["cost"]["photos"].items():
        lines.append(f"| `{name}` | {row['faces']} | {row['warnings_ms']:.2f} | {row['share']:.1%} |")
    crop = report["cost"]["ready_made"]
    return [*lines, f"| a ready-made crop | 1 | {crop['warnings_ms']:.2f} | {crop['share']:.1%} |"]


def _percent(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}%}"
