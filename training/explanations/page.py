"""The explanation report as one self-contained HTML page of aggregates, readable on a phone, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from emotion_hub.explainers import METHODS, metrics
from emotion_hub.explainers.regions import REGIONS
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
    section,
    strongest,
    table,
    track,
)
from training.explanations.study import BACKGROUND, EXPECTED, MARKED, RANDOM_MAPS, RESAMPLES, SCORES, WEAK_FIT

__all__ = ["render_page"]

MeanMaps = Mapping[tuple[str, str, str], tuple[np.ndarray | None, int]]

_VERDICTS = {
    "better": ("beats random maps", "good"),
    "worse": ("worse than random", "bad"),
    "open": ("not shown", ""),
    "held": ("held", "good"),
    "opposite": ("opposite", "bad"),
    "not held": ("not held", ""),
    "too few": ("too few", ""),
}


def render_page(report: Mapping[str, Any], maps: MeanMaps) -> str:
    """HTML of what `training.explain_report` found; `maps` are `explain_findings.mean_maps`."""
    found, asked = report["findings"], report["arguments"]
    target = "what each network said" if asked["target"] == "predicted" else "each face's label"
    parts = [
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report["summary"]) + "</ul>",
        _scores(found),
        _against_random(found),
        _where(found, maps, report["labels"]),
        _patterns(found),
        _agreement(found),
        _failures(found),
        _suspicious(found, report["row_is"]),
        _made(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Explanations, measured</title><style>{STYLE}</style></head>\n<body><main>\n<h1>Explanations, measured</h1>\n"
        f'<p class="soft">{report["faces"]} faces of {escape(asked["data"])}, {escape(asked["split"])}, {asked["per_class"]} of each class; explained is '
        f"{target}. Written by <code>python -m training.explain_report</code>. Every figure is an aggregate; no image of the data is shown.</p>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def _scores(found: Mapping[str, Any]) -> str:
    known = [name for name in SCORES if any(m["scores"][name] for *_, m in _each(found))]
    measured = [name for name in known if name != "additivity"]  # a check: it stands with the failures
    rows = []
    for head, _, m in _each(found):
        rows.append([head, *(interval(m["scores"][name]) for name in measured), f"{m['milliseconds']:,.0f}"])
    readings = metrics.describe(dict.fromkeys(measured, 0.0))
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(reading)}</dd>" for name, _, reading in readings)
    caption = "Means over the faces, each with the 95% interval of the mean; ms is the median time of one map"
    return section("Scores", table(caption, ["network, method", *measured, "ms"], rows), f"<dl>{terms}</dl>")


def _against_random(found: Mapping[str, Any]) -> str:
    text = (
        f"<p>Each face has {RANDOM_MAPS} random maps as smooth as a class activation map; their mean area is taken from the method's. A method beats "
        "them by deletion when the whole interval lies below 0, by insertion when it lies above.</p>"
    )
    tables = []
    for name, better in (("deletion", "lower is better"), ("insertion", "higher is better")):
        shown = [(head, m["against_random"][name]) for head, _, m in _each(found)]
        reach = max((max(abs(d["low"]), abs(d["high"])) for _, d in shown if d), default=0.0) or 1.0
        rows = [[head, interval(d), track(d, reach), mark(*_VERDICTS[d["verdict"]]) if d else "–"] for head, d in shown]
        tables.append(
            table(
                f"{name.capitalize()}, method less random ({better}); the line is 0",
                ["network, method", "difference", "interval", "verdict"],
                rows,
            )
        )
    return section("Against random maps", text, *tables)


def _where(found: Mapping[str, Any], maps: MeanMaps, labels: list[str]) -> str:
    key = ", ".join(f"{name} {share:.0%}" for name, share in found["areas"].items())
    words = f"The parts of the face over an average neutral one, and the share of the picture they fill: {key}."
    legend = f'<figure class="legend">{average_face()}<figcaption>{escape(words)}</figcaption></figure>'
    parts = []
    for head, key, _ in _each(found):
        mine = {label: maps.get((*key, label), (None, 0)) for label in labels}
        top = strongest([cells for cells, _ in mine.values()])
        figures = []
        for label, (cells, count) in mine.items():
            under = f"{label}, {count} face{'s' * (count != 1)}" + ", too few" * (cells is None)
            figures.append(
                f"<figure>{drawn(cells, top, f'mean map of {label}: {head}')}<figcaption>{escape(under)}</figcaption></figure>"
            )
        parts.append(f'<h3>{escape(head)}</h3>{colour_bar(top)}<div class="maps">{"".join(figures)}</div>')
    rows = [[head, *(interval(m["regions"][r], percent=True) for r in REGIONS)] for head, _, m in _each(found)]
    rows.append(["an even map", *(number(100 * found["areas"][r], 0) for r in REGIONS)])
    text = (
        "<p>The mean map of each explained class, every face's map with the same sum; 1 × is what an even map has everywhere. Colours are on one scale "
        f"for each network and method. Fewer than {MIN_FACES} faces give no mean map.</p>"
    )
    return section(
        "Where",
        text,
        legend,
        *parts,
        table("Share of the positive relevance by part, per cent", ["network, method", *REGIONS], rows),
    )


def _patterns(found: Mapping[str, Any]) -> str:
    if not found["patterns"]:
        return ""
    order, even = list(EXPECTED), [label for label, regions in EXPECTED.items() if not regions]
    text = (
        "<p>Which parts each expression is read from was written down before any map was made. Held: the interval of the share in those parts, over the "
        "share of the picture that they fill, lies above 1. Opposite: it lies below. Other classes: the share of the same parts in their maps; "
        f"what is no larger than that is not special to the class. Of {escape(', '.join(even))} nothing but balance is expected. "
        f"Under {FEWEST} faces there is no verdict. Of intervals of 95%, one in twenty misses by chance; here are {len(found['patterns'])}.</p>"
    )
    tables = []
    for model in found["models"]:
        rows = []
        for row in sorted((r for r in found["patterns"] if r["model"] == model), key=lambda r: order.index(r["label"])):
            shares = [
                number(None if v is None else 100 * v, 0) for v in (row["share"]["mean"], row["area"], row["others"])
            ]
            head = f"{row['label']}, {METHODS[row['method']].title}"
            verdict = mark(*_VERDICTS[row["verdict"]])
            rows.append(
                [head, verdict, interval(row["ratio"]), *shares, str(row["faces"]), escape(", ".join(row["regions"]))]
            )
        columns = [
            "class, method",
            "verdict",
            "share over area",
            "share",
            "area",
            "other classes",
            "faces",
            "expected parts",
        ]
        tables.append(table(f"{model}: positive relevance in the expected parts; shares in per cent", columns, rows))
    return section("Expected patterns", text, *tables)


def _agreement(found: Mapping[str, Any]) -> str:
    tables = []
    for model, result in found["models"].items():
        titles = [METHODS[m].title for m in result["agreement"]["methods"]]
        rows = [[title, *map(heat, row)] for title, row in zip(titles, result["agreement"]["table"], strict=True)]
        tables.append(
            table(f"{model}: mean rank correlation of two methods' maps of a face", ["method", *titles], rows)
        )
    rows = [
        [f"{' and '.join(r['models'])}, {METHODS[r['method']].title}", str(r["same_class"]), interval(r["correlation"])]
        for r in found["between"]
    ]
    if rows:
        tables.append(
            table(
                "The networks' maps of one face, where both say the same class",
                ["networks, method", "faces", "rank correlation"],
                rows,
            )
        )
    return section("Agreement", "<p>1: two maps order the cells alike; 0: one says nothing of the other.</p>", *tables)


def _failures(found: Mapping[str, Any]) -> str:
    rows, background = [], []
    for head, _, m in _each(found):
        failures, b = m["failures"], m["background"]
        counts = [
            "–" if failures[k] is None else f"{failures[k]['failed']} of {failures[k]['of']}"
            for k in ("unchanged", "weak_fit", "additivity")
        ]
        used = ", ".join(f"{escape(name)} {count}" for name, count in m["explainers"].items()) or "–"
        rows.append([head, f"{m['empty']} of {m['faces']}", *counts, number(failures["additivity_largest"], 4), used])
        means = ["–" if b[k] is None else number(100 * b[k], 0) for k in ("wrong", "right")]
        background.append([head, *means, interval(b["wrong_less_right"], percent=True)])
    text = (
        f"<p>Unchanged: a rank correlation of at least {metrics.UNCHANGED} with the map of the same network with shuffled weights. Weak fit: LIME's line "
        f"explains less than {WEAK_FIT} of the network's answers. Sum misses: SHAP's pixels do not add up to the difference of the logits. "
        "– was not measured.</p>"
    )
    return section(
        "Failures",
        text,
        table(
            "Maps that failed a check",
            ["network, method", "empty", "unchanged", "weak fit", "sum misses", "largest miss", "SHAP's explainer"],
            rows,
        ),
        table(
            f"Relevance on the background, per cent, of wrong answers and right ones; no interval under {FEWEST} of either",
            ["network, method", "wrong", "right", "wrong less right"],
            background,
        ),
    )


def _suspicious(found: Mapping[str, Any], row_is: str) -> str:
    kinds = ("background", "bottom", "corner")
    rows = [
        [head, *(str(len(m["suspicious"][k])) for k in kinds), str(m["faces"] - m["empty"])]
        for head, _, m in _each(found)
    ]
    named = ""
    for head, _, m in _each(found):
        listed = [f"{k} {', '.join(map(str, m['suspicious'][k]))}" for k in kinds if m["suspicious"][k]]
        named += f"<dt>{escape(head)}</dt><dd>{'; '.join(listed)}</dd>" if listed else ""
    text = (
        f"<p>Background: more than {BACKGROUND:.0%} of the positive relevance outside the face. Bottom, corner: more than {MARKED:.0%} in the lowest strip or "
        "in one corner, where stock photos carry their marks.</p>"
    )
    names = f"<p>Their faces, by {escape(row_is)}:</p><dl>{named}</dl>" if named else ""
    return section("Suspicious cases", text, table("Faces to look at", ["network, method", *kinds, "of"], rows), names)


def _made(report: Mapping[str, Any]) -> str:
    lines = [f"{name} {value}" for name, value in report["versions"].items()]
    hashes = "".join(
        f"<li>{escape(model)}: <code>{value['sha256']}</code></li>" for model, value in report["checkpoints"].items()
    )
    asked = ", ".join(
        f"{key} {escape(', '.join(value) if isinstance(value, list) else str(value))}"
        for key, value in report["arguments"].items()
    )
    note = f"Intervals resample faces {RESAMPLES:,} times (percentile bootstrap); of few faces they are too narrow. Times are those of a machine at work."
    return section(
        "How it was made",
        f"<p>{report['date']}. {escape(', '.join(lines))}.</p><p>{asked}.</p><p>{note}</p><ul>{hashes}</ul>",
    )


def _each(found: Mapping[str, Any]) -> list[tuple[str, tuple[str, str], Mapping[str, Any]]]:
    """(words for it, (model, method), its figures) of every method on every network."""
    return [
        (f"{model}, {METHODS[method].title}", (model, method), m)
        for model, result in found["models"].items()
        for method, m in result["methods"].items()
    ]
