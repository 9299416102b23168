"""Render the exploratory analysis as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.labels import FERPLUS_VOTES
from training.data.charts import box_plot, chart, stacked_bars
from training.data.html_page import image_uri, render_html, section, table

__all__ = ["render_page"]

_STYLE = """
:root { --two: #d1803a; --three: #5f8f5a; }
@media (prefers-color-scheme: dark) { :root { --two: #e7a566; --three: #93c48d; } }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1rem 0; }
.facts { max-width: none; padding: 0; list-style: none; }
.facts li { border-left: 3px solid var(--one); padding-left: .7rem; }
.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: .6rem 0; max-width: 36rem; }
svg { width: 100%; height: auto; display: block; }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .8rem; }
.faces figure { margin: 0; }
.faces img { width: 100%; display: block; border-radius: 4px; }
"""


def render_page(name: str, analysis: dict[str, Any]) -> str:
    """HTML of the result of `training.data.exploration.explore`; `name` is that of the data set."""
    return render_html(
        f"{name}: exploratory analysis",
        "Written by <code>python -m training.explore</code>. Every figure is an aggregate; no image of the data is "
        "shown.",
        [
            _overview(analysis),
            _classes(analysis),
            _stored(analysis),
            _copies(analysis),
            _light(analysis),
            _votes(analysis),
            _faces(analysis),
        ],
        _STYLE,
    )


def _overview(analysis: dict[str, Any]) -> str:
    quality = analysis["quality"]
    total, exact = sum(quality["images"].values()), quality["exact_copies"]
    ratio = quality["classes"]["all"]["imbalance_ratio"]
    facts = [
        (f"{total:,}", "images"),
        (f"{exact['distinct']:,}", "distinct images"),
        (f"{exact['conflicting_groups']:,}", "groups of copies with conflicting labels"),
        (f"{sum(exact['shared'].values()):,}", "copies of an image in another split"),
        ("an empty class" if ratio is None else f"{ratio:.1f} : 1", "largest to smallest class"),
        (f"{sum(map(len, quality['unreadable'].values())):,}", "unreadable"),
    ]
    return '<ul class="facts">' + "".join(f"<li><b>{value}</b>{escape(what)}</li>" for value, what in facts) + "</ul>"


def _classes(analysis: dict[str, Any]) -> str:
    classes, labels = analysis["quality"]["classes"], analysis["labels"]
    counts = {split: [row["counts"][label] for label in labels] for split, row in classes.items() if split != "all"}
    shares = [
        [label, *(f"{row['counts'][label]:,} ({row['shares'][label]:.1%})" for row in classes.values())]
        for label in labels
    ]
    statistics = []
    for split, row in classes.items():
        ratio = row["imbalance_ratio"]
        sizes = [f"{row['min']:,.0f}", f"{row['max']:,.0f}", f"{row['mean']:,.2f}", f"{row['sd']:,.2f}"]
        statistics.append([split, *sizes, "–" if ratio is None else f"{ratio:.2f}"])
    dropped = {split: counts for split, counts in analysis["quality"]["labels_left_out"].items() if counts}
    note = f'<p class="soft">Labels that are not in this label set were left out: {escape(str(dropped))}.</p>'
    return section(
        "Classes",
        chart(stacked_bars(labels, counts, "images"), "Images of each class, by split", height=2.9),
        _text_table("Images and shares", ["class", *classes], shares),
        _text_table(
            "Statistics of the class sizes (sd: of a sample)",
            ["split", "smallest", "largest", "mean", "sd", "ratio"],
            statistics,
        ),
        note if dropped else "",
    )


def _stored(analysis: dict[str, Any]) -> str:
    stored = analysis["quality"]["stored"]
    rows = [
        [what, value, f"{n['count']:,}", f"{n['share']:.1%}"]
        for what in ("formats", "modes", "sizes")
        for value, n in list(stored[what].items())[:8]
    ]
    odd = [[what, f"{n['count']:,}"] for what, n in stored["odd"].items()]
    odd.append(["one flat colour", f"{analysis['quality']['flat']['count']:,}"])
    return section(
        "Stored as",
        _text_table("Formats, modes and sizes", ["", "value", "images", "share"], rows),
        _text_table("Unusual images", ["", "images"], odd),
    )


def _copies(analysis: dict[str, Any]) -> str:
    exact, near = analysis["quality"]["exact_copies"], analysis["quality"]["near_copies"]
    text = (
        f"<p>{exact['surplus']:,} images are surplus exact copies, in {exact['groups']:,} groups; in "
        f"{exact['conflicting_groups']:,} groups the labels conflict. Copies in two splits make a test look "
        "easier than "
        "it is.</p>"
    )
    caption = "Images of a split that are also in another split"
    if near is None:
        rows = [[pair, f"{count:,}"] for pair, count in exact["shared"].items()]
        return section("Copies", text, _text_table(caption, ["", "exact"], rows))
    rows = [
        [pair, f"{count:,}", f"{near['across'][pair]['beyond_exact']:,}"] for pair, count in exact["shared"].items()
    ]
    inside = ""
    if pairs := near["inside_train"]:
        inside = (
            f"<p>Inside train: {pairs['pairs']:,} near pairs, {pairs['pairs_with_conflicting_labels']:,} with "
            "conflicting labels.</p>"
        )
    measure = f'<p class="soft">Near: {escape(near["measure"])}; from {near["threshold"]:g}.</p>'
    return section("Copies", text, _text_table(caption, ["", "exact", "near, not exact"], rows), inside, measure)


def _light(analysis: dict[str, Any]) -> str:
    charts = [
        chart(
            box_plot(analysis["light"][name], unit),
            f"{name.capitalize()}: {unit} of an image, boxes of 25 to 75%, whiskers of 5 to 95%",
        )
        for name, unit in (("brightness", "mean gray level"), ("contrast", "sd of the gray levels"))
    ]
    return section("Brightness and contrast", '<div class="charts">' + "".join(charts) + "</div>")


def _votes(analysis: dict[str, Any]) -> str:
    votes, labels = analysis["votes"], analysis["labels"]
    if votes is None:
        return ""
    rows = [
        [
            name,
            f"{v['images']:,}",
            f"{v['agreement']['mean']:.1%}",
            f"{v['entropy']['mean']:.2f}",
            f"{v['no_majority']:.1%}",
            f"{v['label_is_first']:.1%}",
        ]
        for name, v in votes.items()
    ]
    head = ["class", "images", "agreement", "entropy, bits", "no majority", "label is first choice"]
    by_label = {label: votes[label] for label in labels if label in votes}
    agreement = box_plot(
        {label: v["agreement"] for label, v in by_label.items()}, "share of the votes for the first choice"
    )
    entropy = box_plot({label: v["entropy"] for label, v in by_label.items()}, "entropy of the votes, bits")
    return section(
        "Labels against FER+'s ten voters",
        f"<p>FER+ (Barsoum et al. 2016) asked ten people about every image. {votes['all']['no_majority']:.1%} of the "
        "images have no majority, and the label is the voters' first choice in "
        f"{votes['all']['label_is_first']:.1%}.</p>",
        _text_table("Voters by class; means over its images", head, rows),
        f'<div class="charts">{chart(agreement, "Agreement")}{chart(entropy, "Disagreement")}</div>',
        _vote_table(labels, analysis["label_votes"]),
    )


def _vote_table(labels: Sequence[str], counts: np.ndarray) -> str:
    """`counts` holds images by label (rows) and the voters' first choice (columns)."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        [label, *(f'<span class="heat" style="--share:{v:.3f}">{100 * v:.1f}</span>' for v in row)]
        for label, row in zip(labels, shares, strict=True)
    ]
    caption = "Share of a label's images (rows) by the voters' first choice (columns), per cent"
    return table(caption, ["label", *FERPLUS_VOTES], rows)


def _faces(analysis: dict[str, Any]) -> str:
    figures = [
        f'<figure><img src="{image_uri(Image.fromarray(face))}" alt="mean face, {escape(label)}">'
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for label, face in analysis["mean_faces"].items()
        if face is not None
    ]
    if not figures:
        return ""
    return section(
        "Mean faces",
        "<p>The mean of all images of a class, stretched to the full range of gray.</p>",
        f'<div class="faces">{"".join(figures)}</div>',
    )


def _text_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are all text."""
    return table(caption, head, [[first, *map(escape, rest)] for first, *rest in rows])
