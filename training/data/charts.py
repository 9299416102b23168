"""Charts as inline SVG whose colours follow light and dark mode."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["COLOURS", "box_plot", "chart", "stacked_bars"]

#: Placeholder colours of the charts; `chart` replaces them by the CSS variables of these names.
COLOURS = {"ink": "#0a0b01", "line": "#0a0b02", "one": "#0a0b03", "two": "#0a0b04", "three": "#0a0b05"}


def stacked_bars(labels: Sequence[str], series: Mapping[str, Sequence[int]], unit: str) -> Callable[[Axes], None]:
    """A function that draws horizontal bars, one per label, with up to three stacked series."""

    def draw(axes: Axes) -> None:
        left = np.zeros(len(labels))
        for (name, values), colour in zip(series.items(), ("one", "two", "three"), strict=False):
            axes.barh(labels, values, left=left, color=COLOURS[colour], label=name, height=0.7)
            left += np.asarray(values)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.legend(frameon=False, fontsize=9, labelcolor=COLOURS["ink"])

    return draw


def box_plot(groups: Mapping[str, Mapping[str, float]], unit: str) -> Callable[[Axes], None]:
    """A function that draws one box per class from the quantiles of `training.data.exploration.spread`."""
    boxes = [
        {"label": label, "whislo": s["q05"], "q1": s["q25"], "med": s["q50"], "q3": s["q75"], "whishi": s["q95"]}
        for label, s in groups.items()
        if s
    ]

    def draw(axes: Axes) -> None:
        axes.bxp(
            boxes,
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            widths=0.55,
            boxprops={"facecolor": COLOURS["one"], "edgecolor": "none"},
            medianprops={"color": COLOURS["ink"], "linewidth": 2},
        )
        axes.invert_yaxis()
        axes.set_xlabel(unit)

    return draw


def chart(draw: Callable[[Axes], None], caption: str, height: float = 2.7) -> str:
    """HTML of a figure with the drawing as SVG and its caption; `height` is in inches."""
    ink, line = COLOURS["ink"], COLOURS["line"]
    settings: dict[Any, Any] = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": line,
        "grid.color": line,
        "svg.fonttype": "none",
        "svg.hashsalt": caption,
        "font.size": 10,
        "font.family": "sans-serif",
        "axes.spines.right": False,
        "axes.spines.top": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(4.6, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(" xmlns=", f' role="img" aria-label="{escape(caption)}" xmlns=', 1)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
