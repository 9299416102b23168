"""The exploratory analysis as one self-contained HTML page, readable on a phone, light and dark."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from emotion_hub.labels import FERPLUS_VOTES

__all__ = ["render_page"]

#: Colours of the charts; in the page they become the CSS variables below, so that a chart follows light and dark.
_COLOURS = {"ink": "#0a0b01", "line": "#0a0b02", "one": "#0a0b03", "two": "#0a0b04", "three": "#0a0b05"}

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #23252b; --soft: #63666f; --line: #dcd9d2; --one: #2f6d8f; --two: #d1803a; --three: #5f8f5a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e7e5e0; --soft: #a3a6ae; --line: #363a42; --one: #6fb3d6; --two: #e7a566; --three: #93c48d; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: .5rem 0; }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1rem 0; padding: 0; list-style: none; }
.facts li { border-left: 3px solid var(--one); padding-left: .7rem; }
.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: .6rem 0; max-width: 36rem; }
svg { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
th { font-weight: 600; }
td.heat { background: color-mix(in srgb, var(--one) calc(var(--share) * 75%), transparent); }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .8rem; }
.faces figure { margin: 0; }
.faces img { width: 100%; display: block; border-radius: 4px; }
"""


def render_page(name: str, found: dict[str, Any]) -> str:
    """HTML of what `training.explore.explore` found; `name` is the data set's."""
    sections = [
        _overview(found),
        _classes(found),
        _stored(found),
        _copies(found),
        _light(found),
        _votes(found),
        _faces(found),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: exploratory analysis</title><style>{_STYLE}</style></head>\n<body><main>\n<h1>{escape(name)}: exploratory analysis</h1>\n"
        f'<p class="soft">Written by <code>python -m training.explore</code>. Every figure is an aggregate; no image of the data is shown.</p>\n'
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def _overview(found: dict[str, Any]) -> str:
    quality = found["quality"]
    total, exact = sum(quality["images"].values()), quality["exact_copies"]
    ratio = quality["classes"]["all"]["imbalance_ratio"]
    facts = [
        (f"{total:,}", "images"),
        (f"{exact['distinct']:,}", "distinct ones"),
        (f"{exact['conflicting_groups']:,}", "groups of copies with conflicting labels"),
        (f"{sum(exact['shared'].values()):,}", "copies of an image in another split"),
        ("an empty class" if ratio is None else f"{ratio:.1f} : 1", "largest to smallest class"),
        (f"{sum(map(len, quality['unreadable'].values())):,}", "unreadable"),
    ]
    return '<ul class="facts">' + "".join(f"<li><b>{value}</b>{escape(what)}</li>" for value, what in facts) + "</ul>"


def _classes(found: dict[str, Any]) -> str:
    classes, labels = found["quality"]["classes"], found["labels"]
    splits = [name for name in classes if name != "all"]

    def bars(axes: Axes) -> None:
        below = np.zeros(len(labels))
        for name, colour in zip(splits, ("one", "two", "three"), strict=False):
            counts = np.array([classes[name]["counts"][label] for label in labels])
            axes.barh(labels, counts, left=below, color=_COLOURS[colour], label=name, height=0.7)
            below += counts
        axes.invert_yaxis()
        axes.set_xlabel("images")
        axes.legend(frameon=False, fontsize=9, labelcolor=_COLOURS["ink"])

    rows = [
        [label, *(f"{classes[s]['counts'][label]:,} ({classes[s]['shares'][label]:.1%})" for s in classes)]
        for label in labels
    ]
    statistics = []
    for name, found_there in classes.items():
        ratio = found_there["imbalance_ratio"]
        sizes = [
            f"{found_there['min']:,.0f}",
            f"{found_there['max']:,.0f}",
            f"{found_there['mean']:,.2f}",
            f"{found_there['sd']:,.2f}",
        ]
        statistics.append([name, *sizes, "–" if ratio is None else f"{ratio:.2f}"])
    dropped = {name: counts for name, counts in found["quality"]["labels_left_out"].items() if counts}
    note = (
        f'<p class="soft">Left out, their labels are not in this label set: {escape(str(dropped))}.</p>'
        if dropped
        else ""
    )
    return _section(
        "Classes",
        _figure(bars, "Images of each class, by split", height=2.9),
        _table("Images and shares", ["class", *classes], rows),
        _table(
            "Statistics of the class sizes (sd: of a sample)",
            ["split", "smallest", "largest", "mean", "sd", "ratio"],
            statistics,
        ),
        note,
    )


def _stored(found: dict[str, Any]) -> str:
    stored = found["quality"]["stored"]
    rows = [
        [what, value, f"{n['count']:,}", f"{n['share']:.1%}"]
        for what in ("formats", "modes", "sizes")
        for value, n in list(stored[what].items())[:8]
    ]
    odd = [[what, f"{n['count']:,}"] for what, n in stored["odd"].items()] + [
        ["one flat colour", f"{found['quality']['flat']['count']:,}"]
    ]
    return _section(
        "Stored as",
        _table("Formats, modes and sizes", ["", "value", "images", "share"], rows),
        _table("Odd images", ["", "images"], odd),
    )


def _copies(found: dict[str, Any]) -> str:
    exact, near = found["quality"]["exact_copies"], found["quality"]["near_copies"]
    text = (
        f"<p>{exact['surplus']:,} images are surplus exact copies, in {exact['groups']:,} groups; in {exact['conflicting_groups']:,} of them the labels "
        "conflict. A copy in two splits makes a test easier than it looks.</p>"
    )
    if near is None:
        rows = [[pair, f"{count:,}"] for pair, count in exact["shared"].items()]
        return _section("Copies", text, _table("Images of a split that also stand in another", ["", "exact"], rows))
    rows = [
        [pair, f"{count:,}", f"{near['across'][pair]['beyond_exact']:,}"] for pair, count in exact["shared"].items()
    ]
    inside = near["inside_train"]
    more = (
        f"<p>Inside train: {inside['pairs']:,} near pairs, {inside['pairs_with_conflicting_labels']:,} with conflicting labels.</p>"
        if inside
        else ""
    )
    measure = f'<p class="soft">Near: {escape(near["measure"])}; from {near["threshold"]:g}.</p>'
    return _section(
        "Copies",
        text,
        _table("Images of a split that also stand in another", ["", "exact", "near, beyond those"], rows),
        more,
        measure,
    )


def _light(found: dict[str, Any]) -> str:
    charts = [
        _figure(
            _boxes(found["light"][name], unit),
            f"{name.capitalize()}: {unit} of an image, boxes of 25 to 75%, whiskers of 5 to 95%",
        )
        for name, unit in (("brightness", "mean gray level"), ("contrast", "sd of the gray levels"))
    ]
    return _section("Brightness and contrast", '<div class="charts">' + "".join(charts) + "</div>")


def _votes(found: dict[str, Any]) -> str:
    votes, labels = found["votes"], found["labels"]
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
    charts = [
        _figure(
            _boxes({label: v["agreement"] for label, v in by_label.items()}, "share of the votes for the first choice"),
            "Agreement",
        ),
        _figure(
            _boxes({label: v["entropy"] for label, v in by_label.items()}, "entropy of the votes, bits"), "Disagreement"
        ),
    ]
    return _section(
        "Labels against FER+'s ten voters",
        f"<p>FER+ (Barsoum et al. 2016) asked ten people about every image. {votes['all']['no_majority']:.1%} of the images have no majority, and "
        f"the label is the voters' first choice in {votes['all']['label_is_first']:.1%}.</p>",
        _table("Voters by class; means over its images", head, rows),
        '<div class="charts">' + "".join(charts) + "</div>",
        _heat("Share of a label's images (rows) by the voters' first choice (columns)", labels, found["label_votes"]),
    )


def _faces(found: dict[str, Any]) -> str:
    shown = [(label, face) for label, face in found["mean_faces"].items() if face is not None]
    if not shown:
        return ""
    pictures = "".join(
        f'<figure><img src="{_png(face)}" alt="mean face, {escape(label)}"><figcaption>{escape(label)}</figcaption></figure>'
        for label, face in shown
    )
    return _section(
        "Mean faces",
        "<p>The mean of all images of a class, stretched to the full range of gray.</p>",
        f'<div class="faces">{pictures}</div>',
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _heat(caption: str, labels: Sequence[str], counts: np.ndarray) -> str:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("label", *FERPLUS_VOTES))
    body = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f'<td class="heat" style="--share:{v:.3f}">{100 * v:.1f}</td>' for v in row)
        + "</tr>"
        for label, row in zip(labels, shares, strict=True)
    )
    return f'<div class="wide"><table><caption>{escape(caption)}, per cent</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _boxes(groups: dict[str, dict[str, float]], unit: str) -> Callable[[Axes], None]:
    """Draws one box a class from the quantiles of `training.data.exploration.spread`."""
    shown = {label: s for label, s in groups.items() if s}

    def draw(axes: Axes) -> None:
        boxes = [
            {"label": label, "whislo": s["q05"], "q1": s["q25"], "med": s["q50"], "q3": s["q75"], "whishi": s["q95"]}
            for label, s in shown.items()
        ]
        line = {"color": _COLOURS["ink"]}
        box = {"facecolor": _COLOURS["one"], "edgecolor": "none"}
        axes.bxp(
            boxes,
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            widths=0.55,
            boxprops=box,
            medianprops=line | {"linewidth": 2},
        )
        axes.invert_yaxis()
        axes.set_xlabel(unit)

    return draw


def _figure(draw: Callable[[Axes], None], caption: str, height: float = 2.7) -> str:
    """A figure with the chart as SVG whose colours are the page's."""
    ink, line = _COLOURS["ink"], _COLOURS["line"]
    colours = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": line,
        "grid.color": line,
    }
    fixed = {
        "svg.fonttype": "none",
        "svg.hashsalt": caption,
        "font.size": 10,
        "font.family": "sans-serif",
        "axes.spines.right": False,
        "axes.spines.top": False,
    }
    with mpl.rc_context(colours | fixed):
        figure = Figure(figsize=(4.6, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(" xmlns=", f' role="img" aria-label="{escape(caption)}" xmlns=', 1)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
