"""Draw a report as SVG: confusion matrix, reliability diagram, robustness.

The drawings hold figures, never a face.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.report_types import Figures, LevelFigures, Report, corruption_figures

__all__ = ["confusion_plot", "reliability_plot", "robustness_plot", "write_plots"]


def confusion_plot(report: Report) -> Figure:
    """The confusion matrix: shares of each true label, with counts."""
    counts, names = np.asarray(report["confusion_matrix"]), report["labels"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{share:.0%}\n{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > 0.5 else "black",
        )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="label", title=_title(report))
    figure.colorbar(image, label="share of the label's images")
    return figure


def reliability_plot(report: Report) -> Figure:
    """The reliability diagram: accuracy by top probability, with the number of images in each bin."""
    bins = report["reliability"]
    width = 1 / len(bins)
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [b for b in bins if b["n"]]
    middles = [b["to"] - width / 2 for b in filled]
    upper.bar(middles, [b["accuracy"] for b in filled], width=width, edgecolor="white", label="accuracy")
    upper.plot(
        [b["confidence"] for b in filled], [b["accuracy"] for b in filled], "k.", label="mean probability of the bin"
    )
    upper.plot([0, 1], [0, 1], "--", color="gray", label="calibrated")
    upper.set(ylabel="accuracy", ylim=(0, 1), title=f"{_title(report)}, ECE {report['ece']:.3f}")
    upper.legend(loc="upper left", fontsize=8)
    lower.bar([b["to"] - width / 2 for b in bins], [b["n"] for b in bins], width=width, edgecolor="white")
    lower.set(xlabel="probability of the prediction", ylabel="images", xlim=(0, 1))
    return figure


def robustness_plot(report: Report) -> Figure:
    """Accuracy with its 95% interval under every corruption, by strength."""
    rows = corruption_figures(report)
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    grid = figure.subplots(2, (len(rows) + 1) // 2, sharey=True).ravel()
    for axes, (name, row) in zip(grid, rows.items(), strict=False):
        _strengths(axes, name, row["levels"], report["robustness"]["clean"])
    for axes in grid[:: len(grid) // 2]:
        axes.set_ylabel("accuracy")
    for axes in grid[len(rows) :]:
        axes.remove()
    figure.suptitle(_title(report))
    return figure


def _strengths(axes: Axes, name: str, levels: list[LevelFigures], clean: Figures) -> None:
    heights = np.array([level["accuracy"] for level in levels])
    ends = np.array([level["interval"]["accuracy"] for level in levels])
    errors = np.abs(ends - heights[:, None]).T
    axes.errorbar(range(len(levels)), heights, yerr=errors, marker="o", capsize=3)
    axes.axhline(clean["accuracy"], linestyle="--", color="gray")
    axes.set_xticks(range(len(levels)), [f"{level['strength']:g}" for level in levels])
    axes.set(title=name, ylim=(0, 1))


def _title(report: Report) -> str:
    return f"{Path(report['checkpoint']).name} on {report['split']}, n = {report['n']:,}"


def write_plots(report: Report, folder: Path) -> list[Path]:
    """The files written to `folder`: one drawing for each part of the report; equal reports give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {"confusion": confusion_plot, "reliability": reliability_plot}
    if "robustness" in report:
        drawings["robustness"] = robustness_plot
    files = []
    with matplotlib.rc_context({"svg.hashsalt": "emotion_hub", "svg.fonttype": "none"}):
        for name, draw in drawings.items():
            files.append(folder / f"{name}.svg")
            draw(report).savefig(files[-1], metadata={"Date": None})
    return files
