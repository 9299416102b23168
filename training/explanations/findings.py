"""Aggregate explanation metrics: intervals, verdicts, patterns, agreement."""

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
    AGAINST_RANDOM,
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

#: Fewest faces of a mean map: with fewer, a single face might be recognised.
MIN_FACES = 8

#: Fewest faces of a verdict: a bootstrap of fewer values is not reliable.
FEWEST = 5


def findings(rows: Sequence[Row], maps: Maps, seed: int = 0) -> dict[str, Any]:
    """All aggregates, in JSON types.

    `rows` has one entry per model, method and face. `maps` holds its map, (GRID, GRID), under (model, method,
    position).
    """
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
            "methods": {method: _method(of_method, seed) for method, of_method in by_method.items()},
            "agreement": _agreement(model, by_method, maps),
        }
    return {
        "areas": areas(),
        "models": models,
        "between": _between(by_model, maps, seed),
        "patterns": patterns(rows, seed),
    }


def _method(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Aggregates of one method on one network.

    Faces with an empty map are counted and left out of all other figures: the order of their pixels would be
    noise.
    """
    shown = [row for row in rows if not row["empty"]]
    wrong, right = (
        [row["regions"]["background"] for row in shown if row["right"] is is_right] for is_right in (False, True)
    )
    difference = bootstrap_difference(wrong, right, seed) if min(len(wrong), len(right)) >= FEWEST else None
    return {
        "faces": len(rows),
        "empty": len(rows) - len(shown),
        "scores": {name: bootstrap([row[name] for row in shown], seed) for name in SCORES},
        "milliseconds": float(np.median([row["milliseconds"] for row in rows])),
        "against_random": {name: _against_random(shown, name, seed) for name in AGAINST_RANDOM},
        "regions": {region: bootstrap([row["regions"][region] for row in shown], seed) for region in REGIONS},
        "background": {
            "wrong": float(np.mean(wrong)) if wrong else None,
            "right": float(np.mean(right)) if right else None,
            "wrong_less_right": difference,
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
    """{"failed", "of"}: faces that fail and faces that have the metric; None where it was not measured."""
    known = [row for row in rows if row[name] is not None]
    return {"failed": sum(fails(row) for row in known), "of": len(known)} if known else None


def _against_random(rows: Sequence[Row], name: str, seed: int) -> dict[str, Any] | None:
    """The paired difference of a metric, method minus random, with a verdict.

    The verdict is "better" or "worse" where the whole interval lies on one side of 0.
    """
    difference = bootstrap([row[name] - row[f"random_{name}"] for row in rows], seed)
    if difference is None:
        return None
    low, high = difference["low"], difference["high"]
    if name == "deletion":  # there, less is better
        low, high = -high, -low
    verdict = "open"
    if difference["n"] < FEWEST:
        verdict = "too few"
    elif low > 0:
        verdict = "better"
    elif high < 0:
        verdict = "worse"
    return {**difference, "verdict": verdict}


def patterns(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Relevance in the expected parts, for each model, method and explained class that has such parts.

    `ratio` is the share of the relevance there, divided by the parts' share of the image. `others` is the share
    that the same parts have in the maps of other classes: it reveals maps that mark the middle of the face
    whatever the class.
    """
    area_of = areas()
    rows_found = []
    for model, method in dict.fromkeys((row["model"], row["method"]) for row in rows):
        shown = [row for row in rows if (row["model"], row["method"]) == (model, method) and not row["empty"]]
        for label in dict.fromkeys(row["target"] for row in sorted(shown, key=lambda row: row["target"])):
            if not (regions := EXPECTED.get(label)):
                continue
            of_class, of_others = (
                [sum(row["regions"][r] for r in regions) for row in shown if (row["target"] == label) is same]
                for same in (True, False)
            )
            share, area = bootstrap(of_class, seed), sum(area_of[r] for r in regions)
            if share is None:
                continue
            ratio = {key: share[key] / area for key in ("mean", "low", "high")}
            rows_found.append(
                {
                    "model": model,
                    "method": method,
                    "label": label,
                    "regions": list(regions),
                    "faces": len(of_class),
                    "share": share,
                    "area": area,
                    "ratio": ratio,
                    "others": float(np.mean(of_others)) if of_others else None,
                    "verdict": _verdict(ratio, len(of_class)),
                }
            )
    return rows_found


def _verdict(ratio: Mapping[str, float], faces: int) -> str:
    """Whether the interval of the ratio lies above 1 (held), contains 1 (not held), or lies below 1 (opposite)."""
    if faces < FEWEST:
        return "too few"
    if ratio["low"] > 1:
        return "held"
    return "opposite" if ratio["high"] < 1 else "not held"


def mean_maps(rows: Sequence[Row], maps: Maps) -> dict[tuple[str, str, str], tuple[np.ndarray | None, int]]:
    """{(model, method, explained class): (float64 (GRID, GRID), number of faces)}: mean maps.

    All faces have the same weight. The unit is the value of an even map, so that the mean over a region is its
    share of relevance divided by its share of the image. The map is None below `MIN_FACES` faces; empty maps are
    left out.
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
    """{"methods", "table"}: the mean rank correlation of each pair of methods, over faces for which both have a map."""
    methods = list(by_method)
    table: list[list[float | None]] = [[1.0 if a == b else None for b in methods] for a in methods]
    for (i, a), (j, b) in combinations(enumerate(methods), 2):
        pairs = [(maps[model, a, row["position"]], maps[model, b, row["position"]]) for row in by_method[a]]
        known = [value for x, y in pairs if (value := rank_correlation(x, y)) is not None]
        table[i][j] = table[j][i] = float(np.mean(known)) if known else None
    return {"methods": methods, "table": table}


def _between(by_model: Mapping[str, Mapping[str, Sequence[Row]]], maps: Maps, seed: int) -> list[dict[str, Any]]:
    """The rank correlation of two models' maps of one face, for each pair of models and each method of both.

    Only faces for which both models predict and explain the same class count.
    """
    comparisons = []
    for one, two in combinations(by_model, 2):
        for method in (m for m in by_model[one] if m in by_model[two]):
            of_two = {row["position"]: row for row in by_model[two][method]}
            same = [
                row["position"]
                for row in by_model[one][method]
                if all(row[key] == of_two[row["position"]][key] for key in ("predicted", "target"))
            ]
            correlations = [
                rank_correlation(maps[one, method, position], maps[two, method, position]) for position in same
            ]
            comparisons.append(
                {
                    "models": [one, two],
                    "method": method,
                    "same_class": len(same),
                    "correlation": bootstrap(correlations, seed),
                }
            )
    return comparisons
