"""HTML of explanations: maps, metrics and the sheet to download."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion_hub.explainers import METHODS, Explanation, metrics
from emotion_hub.explainers.overlay import colour_bar, overlay, sheet
from emotion_hub.ui.render import data_url, definitions

__all__ = ["explanation_rows", "progress_line"]

#: Side of the drawn maps in pixels.
SIDE = 224


def progress_line(title: str, share: float, number: int, total: int) -> str:
    """The name of the running method, its share and the number of the map."""
    done = (number - 1 + min(max(share, 0.0), 1.0)) / total
    return (
        f'<div class="eh-progress" role="status"><span>{escape(title)}: {share:.0%} · map {number} of {total}</span>'
        f'<progress max="1" value="{done:.3f}" data-share="{share:.3f}"></progress></div>'
    )


def explanation_rows(explanations: Sequence[Explanation], *, download: bool = False) -> str:
    """One section per network: its input and label, then its maps; with `download` a link to all of it as one image."""
    rows: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        rows.setdefault(explanation.model, []).append(explanation)
    sections = "".join(_row(name, row) for name, row in rows.items())
    link = ""
    if download:
        ordered = [e for row in rows.values() for e in row]
        picture = data_url(sheet(ordered, title="Why this expression?"))
        link = (
            '<p><a class="eh-download" download="emotion_hub_explanations.png"'
            f' href="{picture}">Download the sheet</a></p>'
        )
    return f"{link}{sections}{_legend(explanations)}"


def _row(name: str, row: Sequence[Explanation]) -> str:
    first = row[0]
    side = "native48" if first.prepared.width <= 48 else "upscale224"
    versus = f" rather than <strong>{escape(first.versus)}</strong>" if first.versus else ""
    target = f"<strong>{escape(first.target)}</strong>"
    heading = (
        f'<h3><span><span class="eh-key eh-{side}"></span>{escape(name)}: why {target}{versus}</span>'
        f'<span class="eh-confidence">{first.confidence:.1%}</span></h3>'
    )
    width = first.prepared.width
    pixelated = " eh-pixels" if width < SIDE else ""
    network_input = (
        f'<figure class="eh-map"><img class="eh-seen{pixelated}" src="{data_url(first.prepared)}"'
        f' alt="The input of {escape(name)}">'
        f"<figcaption><strong>Its input</strong> {width}×{width}</figcaption></figure>"
    )
    return (
        f'<section class="eh-card eh-why" data-model="{escape(name)}" data-target="{escape(first.target)}">{heading}'
        f'<div class="eh-maps">{network_input}{"".join(map(_map, row))}</div>{_agreement(row)}</section>'
    )


def _map(explanation: Explanation) -> str:
    title = METHODS[explanation.method].title
    alt = f"{title} map of {explanation.model} for {explanation.target}"
    rows = "".join(
        f'<dt title="{escape(meaning)}">{escape(name)}</dt><dd>{escape(value)}</dd>'
        for name, value, meaning in metrics.describe(explanation.scores)
    )
    summary = escape(METHODS[explanation.method].summary)
    note = '<p class="eh-flat">No part of this face supports this label.</p>' if explanation.empty else ""
    return (
        f'<figure class="eh-map" data-method="{escape(explanation.method)}" data-model="{escape(explanation.model)}">'
        f'<img class="eh-seen" src="{data_url(overlay(explanation, SIDE))}" alt="{escape(alt)}">'
        f"<figcaption><strong>{escape(title)}</strong> {_time(explanation.milliseconds)}<br>"
        f'<span class="eh-soft">{summary}</span>{note}'
        f"<dl>{rows}</dl>{_regions(explanation)}</figcaption></figure>"
    )


def _regions(explanation: Explanation) -> str:
    """The shares of the relevance in parts of the face."""
    shares = explanation.scores.get("regions")
    if not shares or explanation.empty:
        return ""
    shown = {
        "eyes and brows": shares["eyes"] + shares["brows"],
        "mouth": shares["mouth"],
        "background": shares["background"],
    }
    text = ", ".join(f"{name} {share:.0%}" for name, share in shown.items())
    return f'<p class="eh-soft">{text} of the relevance</p>'


def _agreement(row: Sequence[Explanation]) -> str:
    """The mean rank correlation over all pairs of methods."""
    if len(row) < 2:
        return ""
    table = metrics.agreement(row)
    pairs = [value for i in range(len(row)) for j in range(i) if (value := table[i][j]) is not None]
    if not pairs:
        return ""
    mean = sum(pairs) / len(pairs)
    scale = "1 for the same order of pixels, 0 for unrelated orders"
    return f'<p class="eh-soft">Mean rank correlation of these maps: {mean:.2f} ({scale}).</p>'


def _legend(explanations: Sequence[Explanation]) -> str:
    meanings = {
        name: meaning for explanation in explanations for name, _, meaning in metrics.describe(explanation.scores)
    }
    bar = (
        f'<span class="eh-bar"><span>no relevance</span><img src="{data_url(colour_bar(160))}" alt="">'
        "<span>strongest</span></span>"
    )
    caution = "A map shows which pixels the network used, not whether the prediction is right."
    return f'<section class="eh-legend">{bar}<p>{caution}</p><dl>{definitions(meanings)}</dl></section>'


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f}&nbsp;ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}&nbsp;s"
