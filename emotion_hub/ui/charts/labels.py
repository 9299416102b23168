"""Figures of a network per label: precision, recall, prediction sets."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.charts.tables import interval, percent, table

__all__ = ["label_section", "set_section"]


def label_section(name: str, report: Mapping[str, Any]) -> str:
    """A sentence on the best and the worst label, and a table of precision, recall and F1."""
    figures = report["per_class"]
    best, worst = (pick(figures, key=lambda label: figures[label]["f1"]) for pick in (max, min))
    rows = [
        [
            escape(label),
            f"{each['support']:,}",
            percent(each["precision"], 0),
            percent(each["recall"], 0),
            f"{each['f1']:.2f}",
        ]
        for label, each in figures.items()
    ]
    drawn = table(
        f"Figures of {name} per label",
        ["faces", "precision", "recall", "F1"],
        rows,
        css="eh-narrow",
        corner="label",
        note="Precision: how often the label is right when it is predicted. Recall: how many faces of the label are"
        " found. F1: their harmonic mean.",
    )
    sentence = f"Best recognised: <em>{escape(best)}</em>. Worst: <em>{escape(worst)}</em>."
    return f"<p>{sentence}</p>{drawn}"


def set_section(name: str, report: Mapping[str, Any]) -> str:
    """How often prediction sets hold the true label, and how many labels they name; says so where not measured."""
    sets = report.get("prediction_sets")
    if not sets:
        return "<p>Not measured: this network has no prediction sets.</p>"
    per_label = sets["per_class"]
    lowest = min(per_label, key=lambda label: per_label[label]["coverage"])
    rows = [["all", *_set_cells(sets)], *([escape(label), *_set_cells(each)] for label, each in per_label.items())]
    drawn = table(
        f"Prediction sets of {name}, by true label",
        ["faces", "hold the true label", "labels named, mean"],
        rows,
        css="eh-narrow",
        corner="true label",
        note=f"In small print: 95% intervals. The aim is {percent(sets['nominal'], 0)} for every label.",
    )
    sentence = (
        f"A prediction set lists the labels that are plausible for a face. It holds the true label for"
        f" {percent(sets['coverage'])} of the faces; lowest for <em>{escape(lowest)}</em>,"
        f" {percent(per_label[lowest]['coverage'])}. {percent(sets['sizes'][0], 0)} of the sets name a single label."
    )
    return f"<p>{sentence}</p>{_sizes(sets['sizes'])}{drawn}"


def _set_cells(figures: Mapping[str, Any]) -> list[str]:
    limits = figures["interval"]
    return [
        f"{figures['n']:,}",
        f"{percent(figures['coverage'])} <small>{interval(limits['coverage'])}</small>",
        f"{figures['mean_size']:.2f} <small>{interval(limits['mean_size'], share=False, digits=2)}</small>",
    ]


def _sizes(sizes: list[float]) -> str:
    """Bars of the share of sets with one label, two labels and so on, up to the largest size that occurs."""
    last = max(i for i, share in enumerate(sizes) if share > 0)
    rows = "".join(
        f'<li class="eh-row"><span class="eh-label">{size} label{"s" if size > 1 else ""}</span>'
        f'<span class="eh-track"><span class="eh-fill eh-own" style="width:{100 * share:.2f}%"></span></span>'
        f'<span class="eh-value">{percent(share)}</span></li>'
        for size, share in enumerate(sizes[: last + 1], 1)
    )
    return f'<ul class="eh-bars eh-sizes" aria-label="Share of the sets by their number of labels">{rows}</ul>'
