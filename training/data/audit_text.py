"""What `training.data.quality` counted, as lines of text."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    exact, near, total = report["exact_copies"], report["near_copies"], sum(report["images"].values())
    lines = [
        f"images            {total:,}: " + ", ".join(f"{name} {count:,}" for name, count in report["images"].items())
    ]
    lines.append(f"distinct          {exact['distinct']:,}")
    lines.append(
        f"exact copies      {exact['surplus']:,} surplus in {exact['groups']:,} groups, {exact['conflicting_groups']} groups with conflicting labels"
    )
    lines += [f"                  {pair}: {count}" for pair, count in exact["shared"].items()]
    if near is None:
        lines.append("near copies       not looked for")
    else:
        lines.append(f"near copies       {near['measure']}; from {near['threshold']:g}")
        lines += [
            f"                  {pair}: {found['images']}, {found['beyond_exact']} of them no exact copies"
            for pair, found in near["across"].items()
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
        text = ", ".join(f"{value} {found['count']:,} ({found['share']:.1%})" for value, found in shares[:5])
        lines.append(f"{name:17} {text}" + (f" and {len(shares) - 5} more" if len(shares) > 5 else ""))
    lines += [f"{name:17} {found['count']:,}" for name, found in report["stored"]["odd"].items()]
    lines += [f"labels left out   {name}: {dropped}" for name, dropped in report["labels_left_out"].items() if dropped]
    for name, found in report["classes"].items():
        ratio = "an empty class" if found["imbalance_ratio"] is None else f"imbalance {found['imbalance_ratio']:.2f}:1"
        lines.append(
            f"classes, {name}".ljust(20)
            + ", ".join(f"{label} {count:,} ({found['shares'][label]:.1%})" for label, count in found["counts"].items())
        )
        lines.append(
            f"                    smallest {found['min']:,.0f}, largest {found['max']:,.0f}, mean {found['mean']:,.2f}, sd {found['sd']:,.2f}, {ratio}"
        )
    return "\n".join(lines)
