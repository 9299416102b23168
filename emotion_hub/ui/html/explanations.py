"""Answer of the Explain tab: maps with findings, scores and the sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion_hub.explainers import METHODS, Explanation, metrics
from emotion_hub.explainers.finding import alternative_text, finding
from emotion_hub.explainers.overlay import colour_bar, overlay, sheet
from emotion_hub.ui.html.basics import data_url, definitions, face_url, fold

__all__ = ["explanation_answer", "progress_line"]

#: Side of the drawn maps in pixels.
SIDE = 224


def progress_line(title: str, share: float, number: int, total: int) -> str:
    """The name of the running method, its share and the number of the map."""
    done = (number - 1 + min(max(share, 0.0), 1.0)) / total
    return (
        f'<div class="eh-progress"><span>{escape(title)}: {share:.0%} · map {number} of {total}</span>'
        f'<progress aria-label="{escape(title)}" max="1" value="{done:.3f}" data-share="{share:.3f}"></progress></div>'
    )


def explanation_answer(explanations: Sequence[Explanation], *, download: bool = False) -> str:
    """One section per network: its label, then its input and maps with a finding each.

    A table of scores follows for maps that were measured, and with `download` a link to all maps as one picture.
    """
    rows: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        rows.setdefault(explanation.model, []).append(explanation)
    sections = "".join(_section(name, row) for name, row in rows.items())
    link = ""
    if download:
        ordered = [explanation for row in rows.values() for explanation in row]
        picture = data_url(sheet(ordered, title="Why this expression?"))
        link = (
            '<p><a class="eh-download" download="emotion_hub_explanations.png"'
            f' href="{picture}">Download the maps as one picture</a></p>'
        )
    return f"{sections}{_legend()}{_scores(explanations)}{link}"


def _section(name: str, row: Sequence[Explanation]) -> str:
    first = row[0]
    side = "native48" if first.prepared.width <= 48 else "upscale224"
    versus = f" rather than {first.versus}" if first.versus else ""
    heading = (
        f'<h3 class="eh-verdict"><span><span class="eh-key eh-{side}"></span>{escape(name)}: why'
        f' {escape(first.target + versus)}</span><span class="eh-confidence">{first.confidence:.0%}</span></h3>'
    )
    width = first.prepared.width
    pixelated = " eh-pixels" if width <= 64 else ""
    network_input = (
        f'<figure class="eh-map"><img class="eh-seen{pixelated}" width="{SIDE}" height="{SIDE}"'
        f' src="{face_url(first.prepared)}" alt="The face as {escape(name)} gets it"><figcaption><strong>Its input'
        f"</strong><br>{width}×{width} pixels</figcaption></figure>"
    )
    return (
        f'<section class="eh-card eh-why" data-model="{escape(name)}" data-target="{escape(first.target)}">{heading}'
        f'<div class="eh-maps">{network_input}{"".join(map(_map, row))}</div>{_agreement(row)}</section>'
    )


def _map(explanation: Explanation) -> str:
    method = METHODS[explanation.method]
    url = data_url(overlay(explanation, SIDE).convert("RGB"), "WEBP", quality=85)
    return (
        f'<figure class="eh-map" data-method="{escape(explanation.method)}" data-model="{escape(explanation.model)}">'
        f'<img class="eh-seen" width="{SIDE}" height="{SIDE}" src="{url}"'
        f' alt="{escape(alternative_text(explanation))}">'
        f'<figcaption><strong>{escape(method.title)}</strong> <span class="eh-soft">{_time(explanation.milliseconds)}'
        f'</span><br><span class="eh-finding">{escape(finding(explanation))}</span><br>'
        f'<span class="eh-soft">{escape(method.summary)}</span></figcaption></figure>'
    )


def _agreement(row: Sequence[Explanation]) -> str:
    """The mean rank correlation over all pairs of methods."""
    if len(row) < 2:
        return ""
    table = metrics.agreement(row)
    pairs = [value for i in range(len(row)) for j in range(i) if (value := table[i][j]) is not None]
    if not pairs:
        return ""
    mean = sum(pairs) / len(pairs)
    scale = "1: they rank the pixels alike, 0: not at all"
    return f'<p class="eh-soft">How far these maps agree: {mean:.2f} ({scale}).</p>'


def _scores(explanations: Sequence[Explanation]) -> str:
    """One table for all maps: a row per map, a column per score; empty where no map was measured."""
    if not any("deletion" in explanation.scores for explanation in explanations):
        return ""  # scores of the map alone, and LIME's and SHAP's own, do not say how good a map is
    described = [(explanation, metrics.describe(explanation.scores)) for explanation in explanations]
    meanings = {name: meaning for _, scores in described for name, _, meaning in scores}
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in meanings)
    rows = []
    for explanation, scores in described:
        values = {name: value for name, value, _ in scores}
        cells = "".join(f"<td>{escape(values.get(name, '–'))}</td>" for name in meanings)
        title = f"{METHODS[explanation.method].title}, {explanation.model}"
        rows.append(f'<tr><th scope="row">{escape(title)}</th>{cells}</tr>')
    table = (
        '<div class="eh-scroll"><table class="eh-costs"><caption class="eh-hidden">Scores of the maps</caption>'
        f'<thead><tr><th scope="col">map</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    legend = fold("What the scores mean", f'<dl class="eh-meanings">{definitions(meanings)}</dl>', name="meanings")
    return f'<section class="eh-card"><h3>How good are these maps?</h3>{table}{legend}</section>'


def _legend() -> str:
    bar = (
        f'<span class="eh-bar"><span>no relevance</span><img src="{data_url(colour_bar(160))}" alt="" width="160"'
        ' height="12"><span>strongest</span></span>'
    )
    caution = "A map shows which pixels the network used, not whether the prediction is right."
    return f'<div class="eh-legend">{bar}<p class="eh-soft">{caution}</p></div>'


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f}&nbsp;ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}&nbsp;s"
