"""What the faces' figures say together: scores with intervals, random maps beaten or not, expected patterns, agreement, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.metrics import UNCHANGED, rank_correlation
from emotion_hub.explainers.regions import REGIONS, areas
from training.explanations.study import (
    BACKGROUND,
    EXPECTED,
    MARKED,
    SCORES,
    WEAK_FIT,
    bootstrap,
    bootstrap_difference,
    over_tolerance,
)

__all__ = ["FEWEST", "MIN_FACES", "findings", "mean_maps", "patterns"]

Row = Mapping[str, Any]
Maps = Mapping[tuple[str, str, int], np.ndarray]

#: A mean map of fewer faces could show one of them.
MIN_FACES = 8

#: Of fewer faces no verdict is given: resampling five values knows little, of four next to nothing.
FEWEST = 5


def findings(rows: Sequence[Row], maps: Maps, seed: int = 0) -> dict[str, Any]:
    """All aggregates, in JSON types. `rows` has one entry for each model, method and face, `maps` its map (GRID, GRID) under (model, method, position)."""
    by_model: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {}).setdefault(row["method"], []).append(row)
    models = {}
    for model, by_method in by_model.items():
        faces = list({row["position"]: row for row in rows if row["model"] == model}.values())
        models[model] = {
            "faces": len(faces),
            "right": sum(row["right"] for row in faces),
            "targets": dict(Counter(row["target"] for row in faces)),
            "methods": {method: _method(found, seed) for method, found in by_method.items()},
            "agreement": _agreement(model, by_method, maps),
        }
    return {
        "areas": areas(),
        "models": models,
        "between": _between(by_model, maps, seed),
        "patterns": patterns(rows, seed),
    }


def _method(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """One method on one network. Faces whose map is empty are counted and in no other figure: their order would be pixel noise."""
    shown = [row for row in rows if not row["empty"]]
    wrong, right = (
        [row["regions"]["background"] for row in shown if row["right"] is is_right] for is_right in (False, True)
    )
    return {
        "faces": len(rows),
        "empty": len(rows) - len(shown),
        "scores": {name: bootstrap([row[name] for row in shown], seed) for name in SCORES},
        "milliseconds": float(np.median([row["milliseconds"] for row in rows])),
        "against_random": {name: _against_random(shown, name, seed) for name in ("deletion", "insertion")},
        "regions": {region: bootstrap([row["regions"][region] for row in shown], seed) for region in REGIONS},
        "background": {
            "wrong": float(np.mean(wrong)) if wrong else None,
            "right": float(np.mean(right)) if right else None,
            "wrong_less_right": bootstrap_difference(wrong, right, seed)
            if min(len(wrong), len(right)) >= FEWEST
            else None,
        },
        "failures": {
            "unchanged": _count(shown, "randomisation", lambda row: row["randomisation"] >= UNCHANGED),
            "weak_fit": _count(shown, "fit", lambda row: row["fit"] < WEAK_FIT),
            "additivity": _count(shown, "additivity", over_tolerance),
            "additivity_largest": max(
                (row["additivity"] for row in shown if row["additivity"] is not None), default=None
            ),
        },
        "explainers": dict(Counter(row["explainer"] for row in rows if row["explainer"])),
        "suspicious": {
            "background": [row["row"] for row in shown if row["regions"]["background"] > BACKGROUND],
            "bottom": [row["row"] for row in shown if row["bottom"] > MARKED],
            "corner": [row["row"] for row in shown if row["corner"] > MARKED],
        },
    }


def _count(rows: Sequence[Row], name: str, fails: Callable[[Row], bool]) -> dict[str, int] | None:
    """{"failed", "of"} the faces that have the score; None where it was not measured."""
    known = [row for row in rows if row[name] is not None]
    return {"failed": sum(fails(row) for row in known), "of": len(known)} if known else None


def _against_random(rows: Sequence[Row], name: str, seed: int) -> dict[str, Any] | None:
    """The paired difference of the areas, method less random, and a verdict: "better" or "worse" than random where the whole interval says so."""
    found = bootstrap([row[name] - row[f"random_{name}"] for row in rows], seed)
    if found is None:
        return None
    low, high = (found["low"], found["high"]) if name == "insertion" else (-found["high"], -found["low"])
    verdict = "too few" if found["n"] < FEWEST else "better" if low > 0 else "worse" if high < 0 else "open"
    return {**found, "verdict": verdict}


def patterns(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """For each model, method and explained class with expected regions: the share of relevance there, over the share of the picture they fill.

    `others` is the share the same regions have in the maps of the other classes: a map that always looks at the middle of the face
    passes the comparison with an even map, and shows here.
    """
    even = areas()
    found = []
    for model, method in dict.fromkeys((row["model"], row["method"]) for row in rows):
        shown = [row for row in rows if (row["model"], row["method"]) == (model, method) and not row["empty"]]
        for label in dict.fromkeys(row["target"] for row in sorted(shown, key=lambda row: row["target"])):
            if not (regions := EXPECTED.get(label)):
                continue
            mine, others = (
                [sum(row["regions"][r] for r in regions) for row in shown if (row["target"] == label) is same]
                for same in (True, False)
            )
            share, area = bootstrap(mine, seed), sum(even[r] for r in regions)
            ratio = {key: share[key] / area for key in ("mean", "low", "high")}
            head = {"model": model, "method": method, "label": label, "regions": list(regions), "faces": len(mine)}
            rest = {
                "share": share,
                "area": area,
                "ratio": ratio,
                "others": float(np.mean(others)) if others else None,
                "verdict": _verdict(ratio, len(mine)),
            }
            found.append(head | rest)
    return found


def _verdict(ratio: Mapping[str, float], faces: int) -> str:
    """Whether the interval lies above what an even map gives (held), holds it (not held), or lies below it (opposite)."""
    if faces < FEWEST:
        return "too few"
    return "held" if ratio["low"] > 1 else "opposite" if ratio["high"] < 1 else "not held"


def mean_maps(rows: Sequence[Row], maps: Maps) -> dict[tuple[str, str, str], tuple[np.ndarray | None, int]]:
    """{(model, method, explained class): (float64 (GRID, GRID), how many faces)}: the mean of the faces' maps, each with the same sum.

    In units of an even map, which is 1 everywhere, so that the mean over a region is its share of relevance over its share of the picture. None
    below `MIN_FACES` faces; empty maps are left out.
    """
    groups: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for row in rows:
        cells = maps[row["model"], row["method"], row["position"]].astype(np.float64)
        group = groups.setdefault((row["model"], row["method"], row["target"]), [])
        if not row["empty"]:
            group.append(cells / cells.sum() * GRID * GRID)
    return {
        key: (np.mean(group, axis=0) if len(group) >= MIN_FACES else None, len(group)) for key, group in groups.items()
    }


def _agreement(model: str, by_method: Mapping[str, Sequence[Row]], maps: Maps) -> dict[str, Any]:
    """{"methods", "table"}: the mean rank correlation of each pair of methods over the faces for which both have a map."""
    methods = list(by_method)
    table: list[list[float | None]] = [[1.0 if a == b else None for b in methods] for a in methods]
    for (i, a), (j, b) in combinations(enumerate(methods), 2):
        pairs = [(maps[model, a, row["position"]], maps[model, b, row["position"]]) for row in by_method[a]]
        known = [value for x, y in pairs if (value := rank_correlation(x, y)) is not None]
        table[i][j] = table[j][i] = float(np.mean(known)) if known else None
    return {"methods": methods, "table": table}


def _between(by_model: Mapping[str, Mapping[str, Sequence[Row]]], maps: Maps, seed: int) -> list[dict[str, Any]]:
    """For each pair of models and each method of both: the rank correlation of their maps of one face, where both predict and explain the same class."""
    found = []
    for one, two in combinations(by_model, 2):
        for method in (m for m in by_model[one] if m in by_model[two]):
            there = {row["position"]: row for row in by_model[two][method]}
            said = ("predicted", "target")
            same = [
                row["position"]
                for row in by_model[one][method]
                if all(row[key] == there[row["position"]][key] for key in said)
            ]
            correlations = [
                rank_correlation(maps[one, method, position], maps[two, method, position]) for position in same
            ]
            found.append(
                {
                    "models": [one, two],
                    "method": method,
                    "same_class": len(same),
                    "correlation": bootstrap(correlations, seed),
                }
            )
    return found
