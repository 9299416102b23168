"""Effect of the enlargement alone: one network trained at both sizes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.html.basics import factor, fold

__all__ = ["pair_section"]

#: Below this p value of McNemar's test a difference is stated as one.
SIGNIFICANT = 0.05


def pair_section(study: Mapping[str, Any]) -> str:
    """A folded section from `checkpoints.pair_figures()`: a sentence and a table; empty for an empty mapping."""
    if not study:
        return ""
    sides = list(study["sides"].values())
    head = "".join(f'<th scope="col">{side["input"][0]} pixels</th>' for side in sides)
    rows = {
        "accuracy (95% interval)": [_accuracy(side) for side in sides],
        "macro F1": [f"{side['macro_f1']:.2f}" for side in sides],
        "parameters": [f"{side['parameters']:,}" for side in sides],
        "computing time per face": [f"{side['cpu_ms']:.1f} ms" for side in sides],
        "memory": [f"{side['memory_mb']:.0f} MB" for side in sides],
    }
    lines = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows.items()
    )
    table = (
        '<div class="eh-scroll"><table class="eh-costs"><caption class="eh-hidden">One network at both sizes</caption>'
        f'<thead><tr><th scope="col">same network</th>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )
    paired = study["paired"]
    detail = (
        f"Measured on {paired['n']:,} test faces. Only the smaller input is right for {paired['only_first']}, only the"
        f" larger for {paired['only_second']} (McNemar's test: p = {paired['p_value']:.2g}). The two networks that are"
        " compared above differ in more than their input: in their layers and in how they were trained."
    )
    sentence = f"<p><strong>{escape(_sentence(study))}</strong></p>"
    body = f'<div>{sentence}{table}<p class="eh-soft">{detail}</p></div>'
    return fold("Does the enlargement help?", body, name="pair")


def _accuracy(side: Mapping[str, Any]) -> str:
    low, high = side["interval"]
    return f"{side['accuracy']:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def _sentence(study: Mapping[str, Any]) -> str:
    small, large = study["sides"].values()
    paired = study["paired"]
    points = 100 * paired["difference"]
    size = large["input"][0]
    longer = factor(large["cpu_ms"] / small["cpu_ms"])
    if paired["p_value"] >= SIGNIFICANT:
        found = f"no difference that the test can show ({points:+.1f} points)"
    else:
        found = f"{abs(points):.1f} points {'more' if points > 0 else 'less'}"
    return (
        f"With one network, trained in the same way for both sizes, {size} pixels bring {found} and take {longer} times"
        " as long."
    )
