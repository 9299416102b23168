"""Look for faults of a data set before anything is trained on it: `python -m training.audit --data D [--json FILE|-]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, LABEL_SETS
from training.data import load_splits
from training.duplicates import THRESHOLD
from training.quality import quality_report

__all__ = ["main", "render"]


def render(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    exact, near, total = report["exact_copies"], report["near_copies"], sum(report["images"].values())
    lines = [f"images            {total:,}: " + ", ".join(f"{name} {count:,}" for name, count in report["images"].items())]
    lines.append(f"distinct          {exact['distinct']:,}")
    lines.append(f"exact copies      {exact['surplus']:,} surplus in {exact['groups']:,} groups, {exact['conflicting_groups']} groups with conflicting labels")
    lines += [f"                  {pair}: {count}" for pair, count in exact["shared"].items()]
    if near is None:
        lines.append("near copies       not looked for")
    else:
        lines.append(f"near copies       {near['measure']}; from {near['threshold']:g}")
        lines += [f"                  {pair}: {found['images']}, {found['beyond_exact']} of them no exact copies" for pair, found in near["across"].items()]
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
        lines.append(f"classes, {name}".ljust(20) + ", ".join(f"{label} {count:,} ({found['shares'][label]:.1%})" for label, count in found["counts"].items()))
        lines.append(
            f"                    smallest {found['min']:,.0f}, largest {found['max']:,.0f}, mean {found['mean']:,.2f}, sd {found['sd']:,.2f}, {ratio}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.audit", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="what training.data reads: a Hub id, a folder of parquet files, images or manifests, fer2013.csv")
    parser.add_argument("--root", type=Path, help="what the paths of manifests are relative to; default: the manifests' folder")
    parser.add_argument("--labels", choices=tuple(LABEL_SETS), default=FER2013.name, help="label set; images with other labels are counted and left out")
    parser.add_argument(
        "--near", type=float, default=THRESHOLD, metavar="CORRELATION", help="from which two images count as near copies; 0 does not look for any"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the report there; - prints it instead of the text")
    args = parser.parse_args(argv)
    splits = load_splits(args.data, LABEL_SETS[args.labels], args.root)
    if not any(len(split) for split in splits.values()):
        raise InputError(
            f"no image of {args.data} can be read; the first fault is {next((e for s in splits.values() for e in s.unreadable), 'that it has no rows')}"
        )
    report = {"data": Path(args.data).name, **quality_report(splits, args.near or None)}
    text = json.dumps(report, indent=2)
    if args.json and args.json != "-":
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    sys.stdout.write((text if args.json == "-" else render(report)) + "\n")
    return report


if __name__ == "__main__":
    main()
