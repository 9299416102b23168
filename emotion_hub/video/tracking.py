"""Face tracking: assign track ids to the boxes of consecutive frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotion_hub.errors import ConfigError, InputError

__all__ = ["Tracker", "overlap"]

Box = tuple[float, float, float, float]


@dataclass
class _Track:
    """A track: its last box and time, and the velocity of its centre in pixels per second."""

    id: int
    box: Box
    time: float
    velocity: tuple[float, float] = (0.0, 0.0)

    def expected(self, time: float) -> Box:
        """The box at `time` if the face keeps its velocity."""
        x, y = (component * (time - self.time) for component in self.velocity)
        left, top, right, bottom = self.box
        return (left + x, top + y, right + x, bottom + y)


class Tracker:
    """Gives every face an id that it keeps while it is detected. Holds the state of one video.

    Pairs of track and box are chosen so that the sum of their overlaps is largest (the assignment problem, Kuhn 1955).
    The overlap of a track with a box is the larger of two: that of its last box, for a still face, and that of its
    expected box, for a moving one. Pairs that overlap by less than `min_overlap` are not matched. A track that was not
    detected for more than `max_gap` seconds has ended, and its id is not used again.
    """

    def __init__(self, min_overlap: float = 0.2, max_gap: float = 1.0) -> None:
        if not 0 < min_overlap < 1:
            raise ConfigError(f"min_overlap={min_overlap!r}: must be above 0 and below 1 (intersection over union)")
        if not (math.isfinite(max_gap) and max_gap >= 0):
            raise ConfigError(f"max_gap={max_gap!r}: must be 0 or more seconds")
        self.min_overlap, self.max_gap = min_overlap, max_gap
        self._tracks: list[_Track] = []
        self._next, self._now = 0, -math.inf

    def update(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """The track id of each box (xyxy) at `time` (seconds); ids count from 0.

        Raises InputError for a time before that of the last call.
        """
        if time < self._now:
            raise InputError(f"time={time!r} is before {self._now!r}; give the frames in their order")
        self._now = time
        self._tracks = [track for track in self._tracks if time - track.time <= self.max_gap + 1e-6]
        ids = self._matched(time, boxes)
        for position, box in enumerate(boxes):
            if position not in ids:
                self._tracks.append(_Track(self._next, box, time))
                ids[position] = self._next
                self._next += 1
        return [ids[position] for position in range(len(boxes))]

    def _matched(self, time: float, boxes: Sequence[Box]) -> dict[int, int]:
        """{position of a box: id} of the boxes that continue a track."""
        from scipy.optimize import linear_sum_assignment

        if not self._tracks or not boxes:
            return {}
        overlaps = np.array(
            [[max(overlap(t.box, box), overlap(t.expected(time), box)) for box in boxes] for t in self._tracks]
        )
        overlaps[overlaps < self.min_overlap] = 0.0  # otherwise two bad pairs could outweigh a good one
        ids = {}
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[row, column] > 0:
                _move(self._tracks[row], time, boxes[column])
                ids[int(column)] = self._tracks[row].id
        return ids


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (xyxy), 0 to 1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _move(track: _Track, time: float, box: Box) -> None:
    """Update a track with its box at `time`."""
    if (passed := time - track.time) > 0:
        x, y = ((box[i] + box[i + 2] - track.box[i] - track.box[i + 2]) / 2 / passed for i in (0, 1))
        track.velocity = (x, y)
    track.box, track.time = box, time
