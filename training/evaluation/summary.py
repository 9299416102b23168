"""Render a report of `training.evaluate` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.evaluation.report_types import Figures, PredictionSetFigures, Report, corruption_figures

__all__ = ["coverage_table", "figures_row", "markdown", "percent_interval"]

_HEAD = ["| {} | n | accuracy (95% interval) | macro F1 (95% interval) |", "|---|---|---|---|"]


def percent_interval(interval: list[float]) -> str:
    """ "64.1 to 67.2%" of [0.641, 0.672]."""
    return f"{100 * interval[0]:.1f} to {interval[1]:.1%}"


def figures_row(what: str, row: Figures) -> str:
    """One row of a table: name, n, accuracy and macro F1 with their intervals."""
    low, high = row["interval"]["macro_f1"]
    return (
        f"| {what} | {row['n']:,} | {row['accuracy']:.2%} ({percent_interval(row['interval']['accuracy'])}) | "
        f"{row['macro_f1']:.4f} ({low:.3f} to {high:.3f}) |"
    )


def coverage_table(figures: PredictionSetFigures) -> list[str]:
    """Lines of Markdown: coverage and mean size of the prediction sets, of all images and by true label."""
    lines = ["| true label | n | coverage (95% interval) | mean size (95% interval) |", "|---|---|---|---|"]
    for name, row in {"all": figures, **figures["per_class"]}.items():
        low, high = row["interval"]["mean_size"]
        lines.append(
            f"| {name} | {row['n']:,} | {row['coverage']:.1%} ({percent_interval(row['interval']['coverage'])}) | "
            f"{row['mean_size']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return lines


def _table(name: str, rows: Mapping[str, Figures]) -> list[str]:
    return [_HEAD[0].format(name), _HEAD[1], *(figures_row(what, row) for what, row in rows.items()), ""]


def markdown(report: Report, plots: list[Path] | None = None) -> str:
    """The whole report as Markdown; `plots` are drawings in the same folder, shown at the end."""
    lines = [f"# {Path(report['checkpoint']).name} on {report['split']}", ""]
    calibrated = f", temperature {report['temperature']:.3f} folded in" if "temperature" in report else ""
    lines += [
        f"{report['parameters']:,} parameters; weights with SHA-256 `{report['sha256'][:16]}…`{calibrated}. "
        "Intervals: bootstrap percentiles.",
        "",
    ]
    lines += _table("images", _readings(report))
    lines += [
        f"Top-2 accuracy {report['top2_accuracy']:.2%}, negative log-likelihood {report['log_loss']:.4f} nats, "
        f"expected calibration error {report['ece']:.4f}"
    ]
    lines += [
        f"({len(report['reliability'])} bins of equal width).",
        "",
        "| label | precision | recall | F1 | images |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {k} | {v['precision']:.3f} | {v['recall']:.3f} | {v['f1']:.3f} | {v['support']} |"
        for k, v in report["per_class"].items()
    ]
    lines.append("")
    if "prediction_sets" in report:
        sets = report["prediction_sets"]
        one = f"{sets['sizes'][0]:.0%} of the sets have one label"
        lines += ["## Prediction sets", "", f"Nominal coverage {sets['nominal']:.0%} for each label; {one}.", ""]
        lines += [*coverage_table(sets), ""]
    for column, groups in report.get("slices", {}).items():
        rows = {f"{value} (few images)" if row["small"] else value: row for value, row in groups.items()}
        lines += [
            f"## By {column}",
            "",
            "Macro F1 is over the labels that occur in the group.",
            "",
            *_table(column, rows),
        ]
    if "robustness" in report:
        lines += _robustness(report)
    if "detected" in report:
        detected = report["detected"]
        lines += [
            f"## Crops by {detected['detector']}",
            "",
            f"Not found: {detected['not_found']} of {detected['faces']} enlarged faces.",
            "",
        ]
        lines += _table(
            "faces found",
            {"cropped by the detector's box": detected["found"], "same faces, original crop": detected["same_faces"]},
        )
    lines += [f"![{path.stem}]({path.name})" for path in plots or ()]
    return "\n".join(lines).rstrip("\n") + "\n"


def _readings(report: Report) -> dict[str, Figures]:
    rows: dict[str, Figures] = {
        "whole split": report,
        "without exact copies in other splits": report["without_copies"],
    }
    if "without_near_copies" in report:
        near = report["without_near_copies"]
        rows[f"and without near copies in train (correlation {near['threshold']:g} or more)"] = near
    if "ten_crop" in report:
        rows[f"ten crops of {report['ten_crop']['share']:g} of the side, averaged"] = report["ten_crop"]
    if "ferplus" in report:
        left_out = ", ".join(f"{reason} {count}" for reason, count in sorted(report["ferplus"]["left_out"].items()))
        rows[f"FER+ majority labels (left out: {left_out or 'none'})"] = report["ferplus"]
    return rows


def _robustness(report: Report) -> list[str]:
    measured = corruption_figures(report)
    rows: dict[str, Figures] = {"unchanged": report["robustness"]["clean"]}
    for name, row in measured.items():
        rows |= {f"{name} {level['strength']:g}": level for level in row["levels"]}
    units = [f"- {name}: {row['unit']}" for name, row in measured.items()]
    return ["## Robustness", "", *_table("faces", rows), *units, ""]
