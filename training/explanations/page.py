"""Render the explanation report as one self-contained HTML page.

The module is longer than others because it holds all sections of the page, which share their tables and legends.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from emotion_hub.explainers import METHODS, metrics
from emotion_hub.explainers.regions import REGIONS
from training.data.html_page import render_html, section, table
from training.explanations.findings import FEWEST, MIN_FACES
from training.explanations.markup import (
    STYLE,
    average_face,
    colour_bar,
    drawn,
    heat,
    interval,
    mark,
    number,
    strongest,
    track,
)
from training.explanations.study import (
    AGAINST_RANDOM,
    BACKGROUND,
    EXPECTED,
    MARKED,
    RANDOM_MAPS,
    RESAMPLES,
    SCORES,
    WEAK_FIT,
)

__all__ = ["render_page"]

MeanMaps = Mapping[tuple[str, str, str], tuple[np.ndarray | None, int]]
#: {verdict: (text, tone)}.
_VERDICTS = {
    "better": ("better than random", "good"),
    "worse": ("worse than random", "bad"),
    "open": ("no difference shown", ""),
    "held": ("confirmed", "good"),
    "opposite": ("opposite", "bad"),
    "not held": ("not confirmed", ""),
    "too few": ("too few faces", ""),
}


def render_page(report: Mapping[str, Any], maps: MeanMaps) -> str:
    """HTML of the report that `training.explanations.report` builds; `maps` are `findings.mean_maps`."""
    aggregates, arguments = report["findings"], report["arguments"]
    target = "each network's prediction" if arguments["target"] == "predicted" else "each face's label"
    introduction = (
        f"{report['faces']} faces of {escape(arguments['data'])}, {escape(arguments['split'])}, "
        f"{arguments['per_class']} of each class; the explained class is {target}. Written by "
        "<code>python -m training.explain_report</code>. Every figure is an aggregate; no image of the data is shown."
    )
    parts = [
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report["summary"]) + "</ul>",
        _scores(aggregates),
        _against_random(aggregates),
        _where(aggregates, maps, report["labels"]),
        _patterns(aggregates),
        _agreement(aggregates),
        _failures(aggregates),
        _suspicious(aggregates, report["row_is"]),
        _provenance(report),
    ]
    return render_html("Explanations, measured", introduction, parts, STYLE)


def _scores(aggregates: Mapping[str, Any]) -> str:
    known = [name for name in SCORES if any(m["scores"][name] for *_, m in _each(aggregates))]
    measured = [name for name in known if name != "additivity"]  # a check, listed with the failures
    rows = [
        [head, *(interval(m["scores"][name]) for name in measured), f"{m['milliseconds']:,.0f}"]
        for head, _, m in _each(aggregates)
    ]
    descriptions = metrics.describe(dict.fromkeys(measured, 0.0))
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, _, text in descriptions)
    caption = "Means over the faces, each with the 95% interval of the mean; ms is the median time of one map"
    return section("Scores", table(caption, ["network, method", *measured, "ms"], rows), f"<dl>{terms}</dl>")


def _against_random(aggregates: Mapping[str, Any]) -> str:
    text = (
        f"<p>Each face has {RANDOM_MAPS} random maps as smooth as a class activation map. Their mean figure is "
        "subtracted from that of the method. A method is better than random by deletion when the whole interval lies "
        "below 0, by insertion and ROAD when it lies above 0.</p>"
    )
    tables = []
    for name, better in AGAINST_RANDOM.items():
        shown = [(head, m["against_random"][name]) for head, _, m in _each(aggregates)]
        reach = max((max(abs(d["low"]), abs(d["high"])) for _, d in shown if d), default=0.0) or 1.0
        rows = [[head, interval(d), track(d, reach), mark(*_VERDICTS[d["verdict"]]) if d else "–"] for head, d in shown]
        caption = f"{name.capitalize()}, method minus random ({better}); the line is 0"
        tables.append(table(caption, ["network, method", "difference", "interval", "verdict"], rows))
    return section("Against random maps", text, *tables)


def _where(aggregates: Mapping[str, Any], maps: MeanMaps, labels: list[str]) -> str:
    areas = ", ".join(f"{name} {share:.0%}" for name, share in aggregates["areas"].items())
    caption = f"The parts of the face over an average neutral face, and their shares of the image: {areas}."
    legend = f'<figure class="legend">{average_face()}<figcaption>{escape(caption)}</figcaption></figure>'
    parts = []
    for head, key, _ in _each(aggregates):
        of_method = {label: maps.get((*key, label), (None, 0)) for label in labels}
        top = strongest([cells for cells, _ in of_method.values()])
        figures = []
        for label, (cells, count) in of_method.items():
            image = drawn(cells, top, f"mean map of {label}: {head}")
            caption = f"{label}, {count} face{'s' * (count != 1)}" + ", too few" * (cells is None)
            figures.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
        parts.append(f'<h3>{escape(head)}</h3>{colour_bar(top)}<div class="maps">{"".join(figures)}</div>')
    rows = [[head, *(interval(m["regions"][r], percent=True) for r in REGIONS)] for head, _, m in _each(aggregates)]
    rows.append(["an even map", *(number(100 * aggregates["areas"][r], 0) for r in REGIONS)])
    text = (
        "<p>The mean map of each explained class; every face's map has the same sum, and 1 × is the value of an even "
        "map. Each network and method has one colour scale. There is no mean map of fewer than "
        f"{MIN_FACES} faces.</p>"
    )
    caption = "Share of the positive relevance by part, per cent"
    return section("Where", text, legend, *parts, table(caption, ["network, method", *REGIONS], rows))


def _patterns(aggregates: Mapping[str, Any]) -> str:
    if not aggregates["patterns"]:
        return ""
    order, even = list(EXPECTED), ", ".join(label for label, regions in EXPECTED.items() if not regions)
    text = (
        "<p>The parts in which each expression is expected to show were written down before any map was made. "
        "Confirmed: the share of relevance in these parts, divided by their share of the image, has an interval "
        "above 1. "
        "Opposite: the interval lies below 1. Other classes: the share of the same parts in the maps of other classes; "
        "a share that is not larger is not specific to the class. "
        f"For {escape(even)} only balance is expected. "
        f"With fewer than {FEWEST} faces there is no verdict. One of twenty 95% intervals misses by chance; here are "
        f"{len(aggregates['patterns'])}.</p>"
    )
    columns = ["class, method", "verdict", "share over area", "share", "area", "other classes", "faces"]
    tables = []
    for model in aggregates["models"]:
        rows = []
        for row in sorted(
            (r for r in aggregates["patterns"] if r["model"] == model), key=lambda r: order.index(r["label"])
        ):
            shares = [
                number(None if v is None else 100 * v, 0) for v in (row["share"]["mean"], row["area"], row["others"])
            ]
            head = f"{row['label']}, {METHODS[row['method']].title}"
            verdict, parts = mark(*_VERDICTS[row["verdict"]]), escape(", ".join(row["regions"]))
            rows.append([head, verdict, interval(row["ratio"]), *shares, str(row["faces"]), parts])
        tables.append(
            table(
                f"{model}: positive relevance in the expected parts; shares in per cent",
                [*columns, "expected parts"],
                rows,
            )
        )
    return section("Expected patterns", text, *tables)


def _agreement(aggregates: Mapping[str, Any]) -> str:
    tables = []
    for model, result in aggregates["models"].items():
        titles = [METHODS[m].title for m in result["agreement"]["methods"]]
        rows = [[title, *map(heat, row)] for title, row in zip(titles, result["agreement"]["table"], strict=True)]
        caption = f"{model}: mean rank correlation of two methods' maps of a face"
        tables.append(table(caption, ["method", *titles], rows))
    rows = [
        [f"{' and '.join(r['models'])}, {METHODS[r['method']].title}", str(r["same_class"]), interval(r["correlation"])]
        for r in aggregates["between"]
    ]
    caption = "Two networks' maps of one face, where both predict the same class"
    tables += [table(caption, ["networks, method", "faces", "rank correlation"], rows)] if rows else []
    text = "<p>1: two maps rank the cells in the same order; 0: the rankings are unrelated.</p>"
    return section("Agreement", text, *tables)


def _failures(aggregates: Mapping[str, Any]) -> str:
    rows, background = [], []
    for head, _, m in _each(aggregates):
        failures, shares = m["failures"], m["background"]
        counts = [
            "–" if failures[k] is None else f"{failures[k]['failed']} of {failures[k]['of']}"
            for k in ("unchanged", "weak_fit", "additivity")
        ]
        used = ", ".join(f"{escape(name)} {count}" for name, count in m["explainers"].items()) or "–"
        rows.append([head, f"{m['empty']} of {m['faces']}", *counts, number(failures["additivity_largest"], 4), used])
        means = ["–" if shares[k] is None else number(100 * shares[k], 0) for k in ("wrong", "right")]
        background.append([head, *means, interval(shares["wrong_less_right"], percent=True)])
    text = (
        f"<p>Unchanged: a rank correlation of at least {metrics.UNCHANGED} with the map of the same network with "
        "shuffled "
        f"weights. Weak fit: LIME's surrogate has a weighted R² below {WEAK_FIT}. Sum error: SHAP's values do "
        "not add up "
        "to the difference of the logits. –: not measured.</p>"
    )
    checks = table(
        "Maps that failed a check",
        ["network, method", "empty", "unchanged", "weak fit", "sum error", "largest error", "SHAP's explainer"],
        rows,
    )
    shares_table = table(
        "Relevance on the background, per cent, of wrong and correct predictions; no interval for fewer than "
        f"{FEWEST} of either",
        ["network, method", "wrong", "correct", "wrong minus correct"],
        background,
    )
    return section("Failures", text, checks, shares_table)


def _suspicious(aggregates: Mapping[str, Any], row_is: str) -> str:
    kinds = ("background", "bottom", "corner")
    rows, terms = [], ""
    for head, _, m in _each(aggregates):
        cases = m["suspicious"]
        rows.append([head, *(str(len(cases[kind])) for kind in kinds), str(m["faces"] - m["empty"])])
        listed = [f"{kind} {', '.join(map(str, cases[kind]))}" for kind in kinds if cases[kind]]
        terms += f"<dt>{escape(head)}</dt><dd>{'; '.join(listed)}</dd>" if listed else ""
    text = (
        f"<p>Background: more than {BACKGROUND:.0%} of the positive relevance lies outside the face. Bottom, "
        "corner: more "
        f"than {MARKED:.0%} lies in the lowest strip or in one corner, where stock photos have their watermarks.</p>"
    )
    names = f"<p>These faces, by {escape(row_is)}:</p><dl>{terms}</dl>" if terms else ""
    faces = table("Faces to inspect", ["network, method", *kinds, "of"], rows)
    return section("Suspicious cases", text, faces, names)


def _provenance(report: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    hashes = "".join(
        f"<li>{escape(model)}: <code>{value['sha256']}</code></li>" for model, value in report["checkpoints"].items()
    )
    values = {key: ", ".join(v) if isinstance(v, list) else v for key, v in report["arguments"].items()}
    arguments = ", ".join(f"{key} {value}" for key, value in values.items())
    note = (
        f"Intervals resample the faces {RESAMPLES:,} times (percentile bootstrap); for few faces they are too narrow. "
        "Other work on the machine may lengthen the times."
    )
    return section(
        "How it was made",
        f"<p>{report['date']}. {escape(versions)}.</p><p>{escape(arguments)}.</p><p>{note}</p><ul>{hashes}</ul>",
    )


def _each(aggregates: Mapping[str, Any]) -> list[tuple[str, tuple[str, str], Mapping[str, Any]]]:
    """(heading, (model, method), figures) of every method on every network."""
    return [
        (f"{model}, {METHODS[method].title}", (model, method), m)
        for model, result in aggregates["models"].items()
        for method, m in result["methods"].items()
    ]
