"""What a video said: one row a face and frame, written as CSV and drawn over time."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError

__all__ = ["Timeline", "TrackedFace"]

#: A colour each by position in the label set; matplotlib's own cycle, which has ten.
_COLOURS = "C{}"

#: Tracks of a drawing: more would not be read.
_MAX_PANELS = 12


@dataclass(frozen=True)
class TrackedFace:
    """A face in a frame: `time` in seconds, `bbox` xyxy in pixels of the upright frame, `raw` and `smooth` probabilities by label."""

    frame: int
    time: float
    track: int
    bbox: tuple[int, int, int, int]
    raw: Mapping[str, float]
    smooth: Mapping[str, float]
    score: float | None = None
    detector: str | None = None

    @property
    def label(self) -> str:
        """The label with the largest smoothed probability."""
        return max(self.smooth, key=self.smooth.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "frame": self.frame,
            "time": self.time,
            "track": self.track,
            "bbox": list(self.bbox),
            "label": self.label,
            "raw": dict(self.raw),
            "smooth": dict(self.smooth),
            "score": self.score,
            "detector": self.detector,
        }


@dataclass(frozen=True)
class Timeline:
    """Every sighting in a video, in order of time; `frames` were looked at, the last one at `duration` seconds.

    `rate` is frames a second that were asked for, None for every frame; `smoothing` the time constant in seconds. `damage` says why the file could
    not be read to its end, where that is so.
    """

    video: str
    model: str
    labels: tuple[str, ...]
    rate: float | None
    smoothing: float
    frames: int
    duration: float
    sightings: tuple[TrackedFace, ...] = field(repr=False)
    damage: str | None = None

    @cached_property
    def tracks(self) -> dict[int, tuple[TrackedFace, ...]]:
        """{track id: its sightings}, ids in the order the faces appeared."""
        found: dict[int, list[TrackedFace]] = {}
        for sighting in self.sightings:
            found.setdefault(sighting.track, []).append(sighting)
        return {track: tuple(rows) for track, rows in sorted(found.items())}

    def summary(self) -> dict[str, Any]:
        """JSON types: the video, and of each track its time span in seconds and the share of its frames that each label led."""
        tracks = []
        for track, rows in self.tracks.items():
            led = [row.label for row in rows]
            shares = {label: led.count(label) / len(led) for label in self.labels if label in led}
            tracks.append(
                {"track": track, "begin": rows[0].time, "end": rows[-1].time, "frames": len(rows), "shares": shares}
            )
        fields = ("video", "model", "rate", "smoothing", "frames", "duration", "damage")
        return {**{name: getattr(self, name) for name in fields}, "labels": list(self.labels), "tracks": tracks}

    def to_csv(self, path: str | Path) -> None:
        """Write one row a sighting: raw probabilities as `raw_LABEL`, smoothed ones as `smooth_LABEL`."""
        header = ["frame", "time", "track", "left", "top", "right", "bottom", "label", "score", "detector"]
        header += [f"{kind}_{label}" for kind in ("raw", "smooth") for label in self.labels]
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(header)
            for s in self.sightings:
                probs = [f"{kind[label]:.6f}" for kind in (s.raw, s.smooth) for label in self.labels]
                rows.writerow([s.frame, f"{s.time:.4f}", s.track, *s.bbox, s.label, s.score, s.detector, *probs])

    def to_png(self, path: str | Path) -> None:
        """Draw one panel a track, smoothed probabilities as lines and raw ones faint behind them; the longest twelve tracks.

        Raises InputError for another suffix than .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise InputError(f"the timeline is drawn as a .png file, not {Path(path).name!r}")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        shown = sorted(sorted(self.tracks, key=lambda track: -len(self.tracks[track]))[:_MAX_PANELS])
        figure = Figure(figsize=(10, 1.2 + 2 * max(1, len(shown))), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
        for panel, track in zip(panels, shown, strict=False):
            self._draw(panel, track)
        if not shown:
            panels[0].set_title("no face was found", fontsize=9)
        panels[0].set_xlim(0, max(self.duration, 0.1))
        panels[-1].set_xlabel("seconds")
        left_out = f", {len(self.tracks) - len(shown)} shorter faces not drawn" if len(self.tracks) > len(shown) else ""
        figure.suptitle(f"{self.video}: {self.model}, smoothed over {self.smoothing:g} s{left_out}", fontsize=10)
        if shown:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
        figure.savefig(path, dpi=100)

    def _draw(self, panel: Any, track: int) -> None:
        rows = self.tracks[track]
        step = max(2 / (self.rate or 25), 0.2)  # a line across a longer gap would show what nobody saw
        for position, label in enumerate(self.labels):
            times, raw, smooth = [], [], []
            for before, row in zip((None, *rows), rows, strict=False):
                if before is not None and row.time - before.time > step:
                    times, raw, smooth = [*times, row.time], [*raw, math.nan], [*smooth, math.nan]
                times.append(row.time)
                raw.append(row.raw[label])
                smooth.append(row.smooth[label])
            colour = _COLOURS.format(position % 10)
            panel.plot(times, raw, color=colour, linewidth=0.8, alpha=0.3)
            panel.plot(times, smooth, color=colour, linewidth=1.6, label=label)
        panel.set_ylim(0, 1)
        panel.set_ylabel(f"face {track}", fontsize=9)
