"""Reliability diagram: stated confidence against the share that is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emotion_hub.ui.charts.svg import Plot, figure, line, marker, whisker
from emotion_hub.ui.charts.tables import interval, percent, table
from emotion_hub.ui.html.basics import fold

__all__ = ["reliability_section", "wilson"]

#: Bins with fewer faces are left out of the drawing, and are in the table.
MIN_FACES = 10

#: The two-sided 95% quantile of the normal distribution.
_Z = 1.959964


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927, "Probable Inference", JASA 22)."""
    share = right / total
    centre = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z / (1 + _Z**2 / total) * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def reliability_section(name: str, report: Mapping[str, Any]) -> str:
    """What the network's confidence is worth: a sentence, the diagram, and its counts in a fold."""
    bins = _bins(report)
    drawn = [each for each in bins if each["n"] >= MIN_FACES]
    plot = Plot((0.0, 1.0), (0.0, 1.0), height=290)
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    axes = plot.axes(
        ticks,
        ticks,
        x_title="confidence that the network states",
        y_title="share that is right",
        x_text=lambda v: percent(v, 0),
        y_text=lambda v: percent(v, 0),
    )
    body = axes + line([plot.at(0, 0), plot.at(1, 1)], "eh-ideal")
    for each in drawn:
        low, high = each["interval"]
        body += whisker(plot.at(each["confidence"], low), plot.at(each["confidence"], high))
        body += marker(plot.at(each["confidence"], each["accuracy"]))
    top = drawn[-1]
    chart = figure(
        f"eh-reliability-{name}",
        plot,
        body,
        title=f"Reliability of {name}",
        description=(
            "Each dot is a group of faces with similar confidence. Of the group at"
            f" {percent(drawn[0]['confidence'])}, {percent(drawn[0]['accuracy'])} are right; of the group at"
            f" {percent(top['confidence'])}, {percent(top['accuracy'])}. On the dashed diagonal, confidence and share"
            " are equal."
        ),
        caption=(
            "Each dot is a group of faces with similar confidence; its line is the 95% interval. On the dashed diagonal"
            " the confidence is right. Below it the network is too sure, above it not sure enough."
        ),
    )
    rows = [
        [
            f"{percent(each['from'], 0)} to {percent(each['to'], 0)}",
            f"{each['n']:,}",
            percent(each["confidence"]) if each["n"] else "–",
            percent(each["accuracy"]) if each["n"] else "–",
            interval(each["interval"]) if each["n"] else "–",
        ]
        for each in bins
    ]
    counts = table(
        f"Confidence of {name} and share that is right",
        ["faces", "mean confidence", "right", "95% interval"],
        rows,
        corner="confidence",
    )
    few = sum(each["n"] for each in bins if each["n"] < MIN_FACES)
    left_out = f"<p>Groups of fewer than {MIN_FACES} faces ({few} in total) are not drawn.</p>" if few else ""
    sentence = (
        f"Where it states about {percent(top['confidence'], 0)}, it is right for {percent(top['accuracy'], 0)} of"
        f" {top['n']:,} faces. On average, confidence and share differ by {100 * report['ece']:.1f} points (expected"
        " calibration error; 0 is best). This holds for faces like those of FER2013, not for a single face."
    )
    return f"<p>{sentence}</p>{chart}{fold('The numbers of this diagram', counts + left_out)}"


def _bins(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report's bins with their lower limit, and the interval of the share that is right."""
    bins, start = [], 0.0
    for each in report["reliability"]:
        limits = wilson(round(each["accuracy"] * each["n"]), each["n"]) if each["n"] else (0.0, 1.0)
        bins.append({**each, "from": start, "interval": limits})
        start = each["to"]
    return bins
