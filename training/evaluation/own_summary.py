"""Render the report on one's own images as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.evaluation.own_types import Gap, GroupColumn, GroupSettings, OwnReport
from training.evaluation.summary import figures_row, percent_interval

__all__ = ["group_lines", "own_markdown"]

_METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1"}


def own_markdown(report: OwnReport) -> str:
    """The whole report as Markdown."""
    data = report["data"]
    lines = [
        f"# {Path(report['checkpoint']).name} on {data['name']}",
        "",
        f"Weights with SHA-256 `{report['sha256'][:16]}…`; {data['images']:,} images in the data.",
        *_data_lines(report),
        "",
        "| images | n | accuracy (95% interval) | macro F1 (95% interval) |",
        "|---|---|---|---|",
        figures_row("measured", report),
        "",
        f"Top-2 accuracy {report['top2_accuracy']:.2%}, negative log-likelihood {report['log_loss']:.4f} nats, "
        f"expected calibration error {report['ece']:.4f}.",
        "",
        "| label | precision | recall | F1 | images |",
        "|---|---|---|---|---|",
        *(
            f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
            for label, row in report["per_class"].items()
        ),
        "",
    ]
    if "groups" in report:
        lines += group_lines(report["groups"], report["tests"], "##")
    return "\n".join(lines).rstrip("\n") + "\n"


def _data_lines(report: OwnReport) -> list[str]:
    data, lines = report["data"], []
    if data["mapped"]:
        lines.append("Labels: " + ", ".join(f"{name} is {label}" for name, label in data["mapped"].items()) + ".")
    if data["left_out"]:
        lines.append("Left out by label: " + ", ".join(f"{name} {n}" for name, n in data["left_out"].items()) + ".")
    if "detection" in report:
        found = report["detection"]
        lines.append(
            f"Faces by {found['detector']}: {found['no_face']} of {found['photos']:,} photos without a face, "
            f"{found['several_faces']} with several, of which the largest is measured. Counting photos without a "
            f"face as errors, the accuracy is {found['accuracy_of_all']:.2%}."
        )
    return [line for text in lines for line in ("", text)]


def group_lines(groups: Mapping[str, GroupColumn], tests: GroupSettings, level: str) -> list[str]:
    """Markdown lines: a table and the gaps for each column, with headings of this level, and how they were tested."""
    lines = []
    for name, column in groups.items():
        lines += [
            f"{level} By {name}",
            "",
            f"| {name} | n | no face found | accuracy (95% interval) | macro F1 (95% interval) |",
            "|---|---|---|---|---|",
        ]
        for value, row in column["values"].items():
            figures = f"fewer than {tests['minimum']} images | –"
            if "accuracy" in row:
                low, high = row["interval"]["macro_f1"]
                figures = (
                    f"{row['accuracy']:.2%} ({percent_interval(row['interval']['accuracy'])}) | {row['macro_f1']:.4f} "
                    f"({low:.3f} to {high:.3f})"
                )
            lines.append(f"| {value} | {row['n']:,} | {row['no_face']} | {figures} |")
        lines += ["", *(_gap_line(metric, gap) for metric, gap in column["gaps"].items())]
        if not column["gaps"]:
            lines.append(f"No gap is tested: fewer than two groups have {tests['minimum']} images.")
        lines.append("")
    if tests["comparisons"]:
        lines += [
            f"p values are of {tests['permutations']:,} permutations of the groups within each label, corrected by "
            f"{tests['correction']}'s method for {tests['comparisons']} comparisons. They assume that the images are "
            "independent; several images of one person make them too small.",
            "",
        ]
    return lines


def _gap_line(metric: str, gap: Gap) -> str:
    return (
        f"- Gap in {_METRICS[metric]}: {100 * gap['value']:.1f} points, {gap['highest']} over {gap['lowest']}; p = "
        f"{gap['p_holm']:.4f} corrected, {gap['p']:.4f} alone."
    )
