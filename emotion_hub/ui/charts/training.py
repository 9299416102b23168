"""Training of a network: curves of accuracy and loss, and its stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from emotion_hub.ui.charts.svg import Plot, figure, line, marker
from emotion_hub.ui.charts.tables import percent, table

__all__ = ["training_section"]


def training_section(name: str, training: Mapping[str, Any]) -> str:
    """A sentence on the stages, the curves of accuracy and loss, and a table of the stages."""
    stages = training.get("stages", [])
    if not stages:
        return "<p>Not recorded: this network has no record of its training.</p>"
    charts = f'<div class="eh-charts">{_accuracy(name, stages)}{_loss(name, stages)}</div>'
    return f"<p>{_summary(stages)}</p>{charts}{_stage_table(name, stages)}"


def _summary(stages: Sequence[Mapping[str, Any]]) -> str:
    data = stages[-1]["data"]
    trained = [stage for stage in stages if "average" not in stage]
    epochs = sum(len(stage["epochs"]) for stage in trained)
    hours = sum(epoch.get("seconds", 0.0) for stage in stages for epoch in stage["epochs"]) / 3600
    text = (
        f"{epochs} passes (epochs) through {data['kept']:,} training faces in {len(trained)} stages, {hours:.1f} hours"
        f" in total. After each epoch, {data['validation']:,} validation faces measured the network; no test face was"
        " used."
    )
    if len(trained) < len(stages):
        text += " The last step took the mean of the weights of several stages."
    return text


def _accuracy(name: str, stages: Sequence[Mapping[str, Any]]) -> str:
    series = _series(stages, "val_accuracy")
    values = [value for points in series for _, value in points]
    if not values:
        return ""
    plot = _plot(series, math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10)
    body = _axes(plot, "validation accuracy", [0.1 * step for step in range(11)], lambda v: percent(v, 0))
    body += "".join(_curve(plot, points, "eh-line") for points in series) + _boundaries(plot, series)
    first, last = series[0][0][1], series[-1][-1][1]
    return figure(
        f"eh-accuracy-{name}",
        plot,
        body,
        title=f"Validation accuracy of {name} by epoch",
        description=f"It rises from {percent(first)} after the first epoch to {percent(last)} at the end.",
        caption=f"Accuracy on validation faces: {percent(first)} after the first epoch, {percent(last)} at the end."
        " Dashed: the start of a stage.",
    )


def _loss(name: str, stages: Sequence[Mapping[str, Any]]) -> str:
    seen, held_out = _series(stages, "loss"), _series(stages, "val_loss")
    values = [value for points in (*seen, *held_out) for _, value in points]
    if not values or not any(seen):
        return ""
    plot = _plot(held_out, math.floor(2 * min(values)) / 2, math.ceil(2 * max(values)) / 2)
    body = _axes(plot, "loss", [0.5 * step for step in range(9)], lambda v: f"{v:.1f}")
    body += "".join(_curve(plot, points, "eh-line eh-dotted") for points in seen)
    body += "".join(_curve(plot, points, "eh-line") for points in held_out) + _boundaries(plot, held_out)
    last = held_out[-1][-1][1]
    trained = next(points for points in reversed(seen) if points)[-1][1]
    return figure(
        f"eh-loss-{name}",
        plot,
        body,
        title=f"Loss of {name} by epoch",
        description=f"At the end the loss is {trained:.2f} on training faces and {last:.2f} on validation faces.",
        caption="Loss (smaller is better). Line: validation faces. Dots: training faces, which are altered at random"
        " and partly have softer targets, so the two are not directly comparable.",
    )


def _series(stages: Sequence[Mapping[str, Any]], key: str) -> list[list[tuple[int, float]]]:
    """Per stage the points (epoch counted over all stages, value); stages without the value have no points."""
    series, before = [], 0
    for stage in stages:
        epochs = stage["epochs"]
        series.append([(before + i, epoch[key]) for i, epoch in enumerate(epochs, 1) if key in epoch])
        before += len(epochs)
    return series


def _plot(series: Sequence[Sequence[tuple[int, float]]], low: float, high: float) -> Plot:
    last = max(epoch for points in series for epoch, _ in points)
    return Plot((0, max(last, 2)), (low, high))


def _axes(plot: Plot, y_title: str, y_ticks: Sequence[float], y_text: Any) -> str:
    last = plot.x[1]
    step = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000) if last / step <= 6)
    low, high = plot.y
    return plot.axes(
        range(0, int(last) + 1, step),
        [tick for tick in y_ticks if low - 1e-9 <= tick <= high + 1e-9],
        x_title="epoch",
        y_title=y_title,
        x_text=lambda v: f"{v:.0f}",
        y_text=y_text,
    )


def _curve(plot: Plot, points: Sequence[tuple[int, float]], css: str) -> str:
    if len(points) == 1:
        return marker(plot.at(*points[0]))
    return line([plot.at(*point) for point in points], css) if points else ""


def _boundaries(plot: Plot, series: Sequence[Sequence[tuple[int, float]]]) -> str:
    """A dashed line at the start of every stage but the first."""
    starts = [points[0][0] - 0.5 for points in series[1:] if points]
    low, high = plot.y
    return "".join(line([plot.at(x, low), plot.at(x, high)], "eh-stage") for x in starts)


def _stage_table(name: str, stages: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for stage in stages:
        epochs, recipe = stage["epochs"], stage["recipe"]
        best = max(epochs, key=lambda epoch: epoch.get("val_accuracy", 0.0))
        averaged = "average" in stage
        rows.append(
            [
                escape(recipe["name"]),
                "mean of weights" if averaged else f"{len(epochs)}",
                "–" if averaged else f"{recipe['lr']:g}",
                f"{percent(best['val_accuracy'])} <small>epoch {best['epoch']}</small>"
                if not averaged
                else percent(best["val_accuracy"]),
                "–" if averaged else f"{sum(epoch.get('seconds', 0.0) for epoch in epochs) / 3600:.1f}",
            ]
        )
    return table(
        f"Stages of the training of {name}",
        ["epochs", "learning rate", "best validation accuracy", "hours"],
        rows,
        corner="recipe",
        note="A stage starts with the weights of the one before it. The learning rate is the highest of the stage.",
    )
