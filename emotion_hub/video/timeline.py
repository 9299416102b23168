"""Timeline of a video: one record per face and frame, as CSV and plot."""

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

#: matplotlib's colour of a label by its position in the label set; the cycle has ten colours.
_COLOURS = "C{}"

#: Maximum number of tracks in a plot: more would not be readable.
_MAX_PANELS = 12


@dataclass(frozen=True)
class TrackedFace:
    """A face in a frame.

    `time` is in seconds, `bbox` xyxy in pixels of the upright frame; `raw` and `smooth` are probabilities by label.
    `warnings` are the codes of this frame's `Face.warnings`.
    """

    frame: int
    time: float
    track: int
    bbox: tuple[int, int, int, int]
    raw: Mapping[str, float]
    smooth: Mapping[str, float]
    score: float | None = None
    detector: str | None = None
    warnings: tuple[str, ...] = ()

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
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Timeline:
    """All tracked faces of a video, in order of time; `frames` were analysed, the last one at `duration` seconds.

    `rate` is the requested number of frames per second, None for every frame; `smoothing` is the time constant in
    seconds. `damage` says why the file could not be read to its end, None for a complete file.
    """

    video: str
    model: str
    labels: tuple[str, ...]
    rate: float | None
    smoothing: float
    frames: int
    duration: float
    faces: tuple[TrackedFace, ...] = field(repr=False)
    damage: str | None = None

    @cached_property
    def tracks(self) -> dict[int, tuple[TrackedFace, ...]]:
        """{track id: its faces}, ids in the order in which the tracks started."""
        rows: dict[int, list[TrackedFace]] = {}
        for face in self.faces:
            rows.setdefault(face.track, []).append(face)
        return {track: tuple(faces) for track, faces in sorted(rows.items())}

    def summary(self) -> dict[str, Any]:
        """The video and its tracks, in JSON types.

        A track has its time span in seconds and, per label, the share of its frames in which the label was most
        probable.
        """
        tracks = []
        for track, rows in self.tracks.items():
            labels = [row.label for row in rows]
            shares = {label: labels.count(label) / len(labels) for label in self.labels if label in labels}
            tracks.append(
                {"track": track, "begin": rows[0].time, "end": rows[-1].time, "frames": len(rows), "shares": shares}
            )
        fields = ("video", "model", "rate", "smoothing", "frames", "duration", "damage")
        return {**{name: getattr(self, name) for name in fields}, "labels": list(self.labels), "tracks": tracks}

    def to_csv(self, path: str | Path) -> None:
        """Write one row per tracked face: raw probabilities as `raw_LABEL`, smoothed ones as `smooth_LABEL`."""
        header = ["frame", "time", "track", "left", "top", "right", "bottom", "label", "score", "detector", "warnings"]
        header += [f"{kind}_{label}" for kind in ("raw", "smooth") for label in self.labels]
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(header)
            for face in self.faces:
                probs = [f"{kind[label]:.6f}" for kind in (face.raw, face.smooth) for label in self.labels]
                values = [face.frame, f"{face.time:.4f}", face.track, *face.bbox, face.label, face.score, face.detector]
                rows.writerow([*values, "|".join(face.warnings), *probs])

    def to_png(self, path: str | Path) -> None:
        """Draw one panel per track: smoothed probabilities as lines, raw ones as faint lines; at most twelve tracks.

        The longest tracks are drawn. Raises InputError for a suffix other than .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise InputError(f"{Path(path).name!r}: the timeline must be drawn as a .png file")
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
        longest_gap = max(2 / (self.rate or 25), 0.2)  # the line is interrupted where the face was not detected longer
        for position, label in enumerate(self.labels):
            times: list[float] = []
            raw: list[float] = []
            smooth: list[float] = []
            for before, row in zip((None, *rows), rows, strict=False):
                if before is not None and row.time - before.time > longest_gap:
                    times.append(row.time)
                    raw.append(math.nan)
                    smooth.append(math.nan)
                times.append(row.time)
                raw.append(row.raw[label])
                smooth.append(row.smooth[label])
            colour = _COLOURS.format(position % 10)
            panel.plot(times, raw, color=colour, linewidth=0.8, alpha=0.3)
            panel.plot(times, smooth, color=colour, linewidth=1.6, label=label)
        panel.set_ylim(0, 1)
        panel.set_ylabel(f"face {track}", fontsize=9)
