"""Confusion matrix of a network as a table of shares."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.charts.tables import percent, table

__all__ = ["MAX_SHADE", "confusion_section", "confusions"]

#: Part of the side's colour in the darkest cell, in per cent: its text keeps a contrast of 4.5:1 in both themes.
MAX_SHADE = 45


def confusion_section(report: Mapping[str, Any]) -> str:
    """A sentence on the most frequent confusion and the matrix: a row per true label, shares of the row's faces."""
    labels, matrix = report["labels"], report["confusion_matrix"]
    rows = []
    for true, (label, counts) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(counts)
        cells = [_cell(count / total if total else 0.0, right=i == true) for i, count in enumerate(counts)]
        rows.append([f"{escape(label)} <small>{total:,}</small>", *cells])
    drawn = table(
        "Share of the faces of each true label that were called …",
        [escape(label) for label in labels],
        rows,
        css="eh-confusion",
        corner="true label, faces",
        note="Bold: called by the true label. Each row adds up to 100%.",
    )
    return f"<p>{confusions(report)}</p>{drawn}"


def confusions(report: Mapping[str, Any]) -> str:
    """The pair of labels that is confused most often, and that with the highest rate, as a sentence."""
    labels, matrix = report["labels"], report["confusion_matrix"]
    wrong = [
        (count, count / sum(counts), true, called)
        for true, counts in zip(labels, matrix, strict=True)
        for called, count in zip(labels, counts, strict=True)
        if called != true and count
    ]
    if not wrong:
        return "No face was called by a wrong label."
    often = max(wrong)
    rate = max(wrong, key=lambda each: each[1])
    sentence = f"The most frequent confusion: {_confusion(often, matrix, labels)}."
    if rate != often:
        sentence += f" The highest rate: {_confusion(rate, matrix, labels)}."
    return sentence


def _confusion(pair: tuple[int, float, str, str], matrix: list[list[int]], labels: list[str]) -> str:
    count, share, true, called = pair
    total = sum(matrix[labels.index(true)])
    return (
        f"of {total:,} faces labelled <em>{escape(true)}</em>, {count:,} ({percent(share, 0)}) were called"
        f" <em>{escape(called)}</em>"
    )


def _cell(share: float, *, right: bool) -> str:
    css = ' class="eh-hit"' if right else ""
    return f'<td{css} style="--eh-shade:{MAX_SHADE * share:.0f}%">{percent(share, 0)}</td>'
