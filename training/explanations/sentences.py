"""Summarise the findings of the explanation report in sentences.

Every sentence is made from figures. Model cards quote those whose first word is the name of their checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from emotion_hub.explainers import METHODS
from training.explanations.study import AGAINST_RANDOM, BACKGROUND, MARKED, WEAK_FIT

__all__ = ["plain_words"]

Row = Mapping[str, Any]


def plain_words(aggregates: Mapping[str, Any]) -> list[str]:
    """Sentences on the result of `findings.findings`: per network, between networks, then failures."""
    lines = []
    for model, result in aggregates["models"].items():
        methods, faces, right = result["methods"], result["faces"], result["right"]
        lines.append(f"{model} predicts {right} of the {faces} faces correctly ({right / faces:.0%}).")
        lines += [_random_sentence(model, name, methods) for name in AGAINST_RANDOM]
        lines.append(_pattern_sentence(model, [row for row in aggregates["patterns"] if row["model"] == model]))
        lines += _agreement_sentence(model, result["agreement"])
    lines += _between_sentences(aggregates["between"])
    return lines + [
        line
        for model, result in aggregates["models"].items()
        for method, figures in result["methods"].items()
        for line in _failure_sentence(model, method, figures)
    ]


def _titles(methods: Sequence[str]) -> str:
    titles = [METHODS[m].title for m in methods]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)


_RANDOM = {
    "better": "better than random maps: {}",
    "worse": "worse than random maps: {}",
    "open": "no difference from random maps shown: {}",
    "too few": "too few maps: {}",
}


def _random_sentence(model: str, name: str, methods: Mapping[str, Any]) -> str:
    verdicts = {
        method: m["against_random"][name]["verdict"] for method, m in methods.items() if m["against_random"][name]
    }
    parts = [
        text.format(_titles(of_verdict))
        for verdict, text in _RANDOM.items()
        if (of_verdict := [method for method in verdicts if verdicts[method] == verdict])
    ]
    return f"{model}, {name}: {'; '.join(parts) or 'every map is empty'}."


def _between_sentences(rows: Sequence[Row]) -> list[str]:
    """One sentence per pair of networks."""
    by_pair: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["correlation"] is not None:
            correlation = f"{METHODS[row['method']].title} {row['correlation']['mean']:.2f}"
            by_pair.setdefault((*row["models"], row["same_class"]), []).append(correlation)
    return [
        f"{one} and {two} predict the same class for {count} faces; the mean rank correlation of their maps of "
        "one face "
        f"is {', '.join(correlations)}."
        for (one, two, count), correlations in by_pair.items()
    ]


def _pattern_sentence(model: str, rows: Sequence[Row]) -> str:
    verdicts = Counter(row["verdict"] for row in rows)
    judged = sum(verdicts.values()) - verdicts["too few"]
    if not judged:
        return f"{model}: too few faces of any class to say whether the expected parts of the face matter."
    by_label: dict[str, list[str]] = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row["verdict"])
    always = [label for label, of_label in by_label.items() if set(of_label) == {"held"}]
    opposite = f"; in {verdicts['opposite']} they have less" if verdicts["opposite"] else ""
    specific = sum(
        row["verdict"] == "held" and row["others"] is not None and row["share"]["mean"] > row["others"] for row in rows
    )
    every = (
        f"All methods agree on this for {', '.join(always)}." if always else "All methods agree on this for no class."
    )
    return (
        f"{model}: in {verdicts['held']} of {judged} pairs of class and method the expected parts have more "
        "relevance than "
        f"their area, and in {specific} of these also more than in the maps of other classes{opposite}. {every}"
    )


def _agreement_sentence(model: str, agreement: Mapping[str, Any]) -> list[str]:
    methods, table = agreement["methods"], agreement["table"]
    pairs = [
        (table[i][j], methods[i], methods[j])
        for i, j in combinations(range(len(methods)), 2)
        if table[i][j] is not None
    ]
    if not pairs:
        return []
    (low, *far), (high, *near) = min(pairs), max(pairs)
    least = f"; {_titles(far)} agree least ({low:.2f})" if len(pairs) > 1 else ""
    return [f"{model}: {_titles(near)} agree most (mean rank correlation {high:.2f}){least}."]


_FAILURES = {
    "unchanged": "{failed} of {of} maps are unchanged by shuffled weights",
    "weak_fit": f"the fit is below {WEAK_FIT} in {{failed}} of {{of}} regressions",
    "additivity": "the values do not sum to the difference of the logits in {failed} of {of} maps",
}


def _failure_sentence(model: str, method: str, figures: Mapping[str, Any]) -> list[str]:
    """One sentence; none where nothing failed."""
    suspicious = figures["suspicious"]
    background, marked = len(suspicious["background"]), len({*suspicious["bottom"], *suspicious["corner"]})
    shown = figures["faces"] - figures["empty"]
    faults = [
        (figures["empty"], f"{figures['empty']} of {figures['faces']} maps are empty"),
        *((n["failed"], text.format(**n)) for key, text in _FAILURES.items() if (n := figures["failures"][key])),
        (
            background,
            f"more than {BACKGROUND:.0%} of the relevance lies outside the face in {background} of {shown} maps",
        ),
        (marked, f"more than {MARKED:.0%} lies where watermarks are in {marked} of {shown} maps"),
    ]
    texts = [text for count, text in faults if count]
    gap = figures["background"]["wrong_less_right"]
    if gap is not None and (gap["low"] > 0 or gap["high"] < 0):
        more = "more" if gap["mean"] > 0 else "less"
        points = abs(100 * gap["mean"])
        texts.append(f"maps of wrong predictions have {points:.0f} points {more} relevance on the background")
    return [f"{METHODS[method].title} on {model}: {'; '.join(texts)}."] if texts else []
