"""Speed of networks, measured on request on the server that runs the demo."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui.charts.tables import table

__all__ = ["MeasuredSpeed", "measure_speed", "speed_section"]

#: Rounds of a measurement, and the seconds after which no further round starts.
ROUNDS, BUDGET = 25, 2.0

#: Side in pixels of the drawn gray square that stands for a face.
SIDE = 160


@dataclass(frozen=True)
class MeasuredSpeed:
    """Median milliseconds of preparing one face and of running the network, over `runs` runs."""

    name: str
    prepare: float
    network: float
    runs: int

    @property
    def total(self) -> float:
        """Median milliseconds from the cropped face to its probabilities."""
        return self.prepare + self.network


def measure_speed(predictors: Mapping[str, EmotionPredictor]) -> list[MeasuredSpeed]:
    """The speed of each predictor, one face at a time, in rounds that alternate between them.

    The first run of each is not counted. At least one round is measured, at most `ROUNDS`, and none starts later than
    `BUDGET` seconds after the first.
    """
    face = Image.linear_gradient("L").resize((SIDE, SIDE))
    for predictor in predictors.values():
        predictor.predict_faces([face])
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in predictors}
    started = time.monotonic()
    for _ in range(ROUNDS):
        for name, predictor in predictors.items():
            [prediction] = predictor.predict_faces([face])
            times[name].append((prediction.timings["preprocess"], prediction.timings["inference"]))
        if time.monotonic() - started > BUDGET:
            break
    return [
        MeasuredSpeed(
            name,
            prepare=statistics.median(prepare for prepare, _ in runs),
            network=statistics.median(network for _, network in runs),
            runs=len(runs),
        )
        for name, runs in times.items()
    ]


def speed_section(speeds: Sequence[MeasuredSpeed], *, when: str = "") -> str:
    """A sentence on the slowest and the fastest network, and the table; `when` says when it was measured."""
    fastest, slowest = min(speeds, key=lambda each: each.total), max(speeds, key=lambda each: each.total)
    rows = [
        [
            escape(each.name),
            f"{each.prepare:.2f}",
            f"{each.network:.2f}",
            f"<strong>{each.total:.2f}</strong>",
            f"{each.total / fastest.total:.1f} times",
        ]
        for each in speeds
    ]
    drawn = table(
        "Milliseconds for one face, measured on this server",
        ["prepare", "network", "total", "against the fastest"],
        rows,
        corner="network",
        note=f"Medians of {min(each.runs for each in speeds)} runs{f', {escape(when)}' if when else ''}, with a drawn"
        f" gray square of {SIDE} pixels in place of a face. Other visitors' work makes them longer.",
    )
    sentence = (
        f"Here, <strong>{escape(slowest.name)}</strong> takes {slowest.total / fastest.total:.1f} times as long as"
        f" <strong>{escape(fastest.name)}</strong>."
    )
    return f"<p>{sentence if slowest is not fastest else ''}</p>{drawn}"
