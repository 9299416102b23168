"""The findings of the explanation report as sentences, every one made from the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from emotion_hub.explainers import METHODS
from training.explanations.study import BACKGROUND, MARKED, WEAK_FIT

__all__ = ["plain_words"]

Row = Mapping[str, Any]


def plain_words(found: Mapping[str, Any]) -> list[str]:
    """What `explain_findings.findings` found, network by network, then between them, then what failed."""
    lines = []
    for model, result in found["models"].items():
        methods = result["methods"]
        lines.append(
            f"{model} names {result['right']} of the {result['faces']} faces right ({result['right'] / result['faces']:.0%})."
        )
        lines += [_random_words(model, name, methods) for name in ("deletion", "insertion")]
        lines.append(_pattern_words(model, [row for row in found["patterns"] if row["model"] == model]))
        lines += _agreement_words(model, result["agreement"])
    lines += _between_words(found["between"])
    return lines + [
        line
        for model, result in found["models"].items()
        for method, m in result["methods"].items()
        for line in _failure_words(model, method, m)
    ]


def _titles(methods: Sequence[str]) -> str:
    titles = [METHODS[m].title for m in methods]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)


def _random_words(model: str, name: str, methods: Mapping[str, Any]) -> str:
    said = {method: m["against_random"][name]["verdict"] for method, m in methods.items() if m["against_random"][name]}
    told = {
        "better": "random maps are beaten by",
        "worse": "random maps are better than",
        "open": "nothing is shown for",
        "too few": "too few maps of",
    }
    parts = [
        f"{words} {_titles(names)}"
        for verdict, words in told.items()
        if (names := [m for m in said if said[m] == verdict])
    ]
    return f"{model}, {name}: {'; '.join(parts) or 'every map is empty'}."


def _between_words(rows: Sequence[Row]) -> list[str]:
    """One sentence for each pair of networks."""
    by_pair: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["correlation"] is not None:
            said = f"{METHODS[row['method']].title} {row['correlation']['mean']:.2f}"
            by_pair.setdefault((*row["models"], row["same_class"]), []).append(said)
    words = "their maps of one face have a mean rank correlation of"
    return [
        f"{one} and {two} say the same of {count} faces; {words} {', '.join(said)}."
        for (one, two, count), said in by_pair.items()
    ]


def _pattern_words(model: str, rows: Sequence[Row]) -> str:
    verdicts = Counter(row["verdict"] for row in rows)
    told = sum(verdicts.values()) - verdicts["too few"]
    if not told:
        return f"{model}: too few faces of any class to say whether the expected parts of the face matter."
    by_label: dict[str, list[str]] = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row["verdict"])
    always = [label for label, found in by_label.items() if set(found) == {"held"}]
    opposite = f"; in {verdicts['opposite']} they have less" if verdicts["opposite"] else ""
    special = sum(
        row["verdict"] == "held" and row["others"] is not None and row["share"]["mean"] > row["others"] for row in rows
    )
    every = f"Every method says so of {', '.join(always)}." if always else "Of no class do all methods say so."
    held = f"{model}: in {verdicts['held']} of {told} pairs of class and method the expected parts have more relevance than their area"
    return f"{held}, and in {special} of these also more than in the maps of the other classes{opposite}. {every}"


def _agreement_words(model: str, agreement: Mapping[str, Any]) -> list[str]:
    methods, table = agreement["methods"], agreement["table"]
    pairs = [
        (table[i][j], methods[i], methods[j])
        for i, j in combinations(range(len(methods)), 2)
        if table[i][j] is not None
    ]
    if not pairs:
        return []
    (low, *far), (high, *near) = min(pairs), max(pairs)
    farthest = f", least {_titles(far)} ({low:.2f})" if len(pairs) > 1 else ""
    return [f"{model}: {_titles(near)} agree most (mean rank correlation {high:.2f}){farthest}."]


_FAILURES = {
    "unchanged": "{failed} of {of} maps unchanged by shuffled weights",
    "weak_fit": f"a fit below {WEAK_FIT} in {{failed}} of {{of}} regressions",
    "additivity": "a sum of pixels that misses the logits' difference in {failed} of {of} maps",
}


def _failure_words(model: str, method: str, found: Mapping[str, Any]) -> list[str]:
    """One sentence, or none where nothing failed."""
    suspicious = found["suspicious"]
    marked = len({*suspicious["bottom"], *suspicious["corner"]})
    shown = found["faces"] - found["empty"]
    faults = [
        (found["empty"], f"{found['empty']} of {found['faces']} maps empty"),
        *((n["failed"], words.format(**n)) for key, words in _FAILURES.items() if (n := found["failures"][key])),
        (
            len(suspicious["background"]),
            f"more than {BACKGROUND:.0%} of the relevance outside the face in {len(suspicious['background'])} of {shown} maps",
        ),
        (marked, f"more than {MARKED:.0%} of it where watermarks stand in {marked} of {shown} maps"),
    ]
    told = [words for count, words in faults if count]
    gap = found["background"]["wrong_less_right"]
    if gap is not None and (gap["low"] > 0 or gap["high"] < 0):
        more = "more" if gap["mean"] > 0 else "less"
        told.append(f"wrong answers rest {abs(100 * gap['mean']):.0f} points {more} on the background than right ones")
    return [f"{METHODS[method].title} on {model}: {'; '.join(told)}."] if told else []
