"""Robustness of a network: accuracy on degraded faces, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.charts.tables import interval, percent, points, table

__all__ = ["loss_at", "robustness_section"]

#: {fault in the report: (its name for visitors, what a strength means)}. Other faults get the report's words.
FAULTS = {
    "brightness": ("Darker", "every gray level is multiplied by"),
    "blur": ("Blurred", "width of the blur, in pixels of the 48-pixel face"),
    "noise": ("Noisy", "strength of the noise, in gray levels of 255"),
    "occlusion": ("Partly covered", "side of the covering box, as a share of the face's"),
    "rotation": ("Turned", "degrees, to either side"),
    "fgsm": (
        "Altered against the network",
        "largest change of a gray level of 255, chosen with the network's gradient to mislead it (FGSM)",
    ),
}


def loss_at(report: Mapping[str, Any], fault: str, strength: float) -> float | None:
    """How much accuracy changes at a strength of a fault, as a share; None where that was not measured."""
    measured = report.get("robustness", {})
    for level in measured.get(fault, {}).get("levels", ()):
        if level["strength"] == strength:
            return level["accuracy"] - measured["clean"]["accuracy"]
    return None


def robustness_section(name: str, report: Mapping[str, Any]) -> str:
    """A sentence on the fault that costs most, and a table of bars; says so where nothing was measured."""
    measured = report.get("robustness")
    if not measured:
        return f"<p>Not measured for {escape(name)} yet: its report has no figures for degraded faces.</p>"
    clean = measured["clean"]["accuracy"]
    faults = {fault: each for fault, each in measured.items() if isinstance(each, Mapping) and "levels" in each}
    rows = [["unchanged", _bar(clean, clean), _with_interval(measured["clean"]), "–"]]
    for fault, each in faults.items():
        title, meaning = FAULTS.get(fault, (fault, each["unit"]))
        rows.append([f"{escape(title)} <small>{escape(meaning)}</small>"])
        for level in each["levels"]:
            difference = points(level["accuracy"] - clean)
            rows.append([f"{level['strength']:g}", _bar(level["accuracy"], clean), _with_interval(level), difference])
    drawn = table(
        f"Accuracy of {name} on the same {measured['clean']['n']:,} faces, degraded",
        ["0 to 100%", "accuracy", "points"],
        rows,
        css="eh-robust",
        corner="strength",
        note="The mark in each bar is the accuracy on unchanged faces, and points are the change against it. In small"
        " print: 95% intervals.",
    )
    return f"<p>{_worst(faults, clean)}</p>{drawn}{_detected(report)}"


def _with_interval(figures: Mapping[str, Any]) -> str:
    return f"{percent(figures['accuracy'])} <small>{interval(figures['interval']['accuracy'])}</small>"


def _bar(accuracy: float, clean: float) -> str:
    return (
        f'<span class="eh-track eh-marked" style="--eh-mark:{100 * clean:.1f}%">'
        f'<span class="eh-fill eh-own" style="width:{100 * accuracy:.1f}%"></span></span>'
    )


def _worst(faults: Mapping[str, Any], clean: float) -> str:
    """The natural fault whose first step costs most, and the one whose first step costs least."""
    natural = {fault: each["levels"] for fault, each in faults.items() if fault != "fgsm" and each["levels"]}
    first = {fault: levels[0]["accuracy"] - clean for fault, levels in natural.items()}
    if len(first) < 2:
        return "Accuracy on faces that were degraded before the network saw them."
    worst, best = min(first, key=first.__getitem__), max(first, key=first.__getitem__)
    names = {fault: FAULTS.get(fault, (fault, ""))[0].lower() for fault in (worst, best)}
    return (
        f"At the first step of each fault, <em>{escape(names[worst])}</em> faces cost most,"
        f" {points(first[worst])} points of accuracy, and <em>{escape(names[best])}</em> faces least,"
        f" {points(first[best])}."
    )


def _detected(report: Mapping[str, Any]) -> str:
    """A sentence on faces that were found and cropped by the detector; empty where that was not measured."""
    found = report.get("detected")
    if not found:
        return ""
    return (
        f"<p>Faces enlarged, found again and cropped by the face detector {escape(found['detector'])}:"
        f" {percent(found['found']['accuracy'])} of the {found['found']['n']:,} that it found of {found['faces']:,}; in"
        f" the original crops of the same faces {percent(found['same_faces']['accuracy'])}.</p>"
    )
