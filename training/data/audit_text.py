"""Render the audit report of a data set as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render"]


def render(report: Mapping[str, Any]) -> str:
    """Lines of text with the counts of `training.data.quality.quality_report`."""
    exact, near, total = report["exact_copies"], report["near_copies"], sum(report["images"].values())
    lines = [
        f"images            {total:,}: " + ", ".join(f"{name} {count:,}" for name, count in report["images"].items())
    ]
    lines.append(f"distinct          {exact['distinct']:,}")
    lines.append(
        f"exact copies      {exact['surplus']:,} surplus in {exact['groups']:,} groups, "
        f"{exact['conflicting_groups']} groups with conflicting labels"
    )
    lines += [f"                  {pair}: {count}" for pair, count in exact["shared"].items()]
    if near is None:
        lines.append("near copies       not searched")
    else:
        lines.append(f"near copies       {near['measure']}; from {near['threshold']:g}")
        lines += [
            f"                  {pair}: {count['images']}, {count['beyond_exact']} of them not exact copies"
            for pair, count in near["across"].items()
        ]
        if inside := near["inside_train"]:
            lines.append(
                f"                  inside train: {inside['pairs']:,} pairs among {inside['images']:,} images, "
                f"{inside['pairs_with_conflicting_labels']} pairs with conflicting labels"
            )
    lines.append(f"one flat colour   {report['flat']['count']}")
    unreadable = [entry for entries in report["unreadable"].values() for entry in entries]
    lines.append(f"unreadable        {len(unreadable)}")
    lines += [f"                  {entry}" for entry in unreadable]
    for name in ("formats", "modes", "sizes"):
        shares = list(report["stored"][name].items())
        text = ", ".join(f"{value} {n['count']:,} ({n['share']:.1%})" for value, n in shares[:5])
        lines.append(f"{name:17} {text}" + (f" and {len(shares) - 5} more" if len(shares) > 5 else ""))
    lines += [f"{name:17} {n['count']:,}" for name, n in report["stored"]["odd"].items()]
    lines += [f"labels left out   {name}: {dropped}" for name, dropped in report["labels_left_out"].items() if dropped]
    for name, classes in report["classes"].items():
        imbalance = classes["imbalance_ratio"]
        ratio = "an empty class" if imbalance is None else f"imbalance {imbalance:.2f}:1"
        lines.append(
            f"classes, {name}".ljust(20)
            + ", ".join(
                f"{label} {count:,} ({classes['shares'][label]:.1%})" for label, count in classes["counts"].items()
            )
        )
        lines.append(
            f"                    smallest {classes['min']:,.0f}, largest {classes['max']:,.0f}, mean "
            f"{classes['mean']:,.2f}, sd {classes['sd']:,.2f}, {ratio}"
        )
    return "\n".join(lines)
