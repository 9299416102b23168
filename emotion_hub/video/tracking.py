"""Which face is which from frame to frame: boxes in, track ids out."""

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
    """A face seen before: its last box and time, and how its centre moved, in pixels a second."""

    id: int
    box: Box
    time: float
    speed: tuple[float, float] = (0.0, 0.0)

    def expected(self, time: float) -> Box:
        """Where the box would be if the face kept moving as it did."""
        x, y = (v * (time - self.time) for v in self.speed)
        left, top, right, bottom = self.box
        return (left + x, top + y, right + x, bottom + y)


class Tracker:
    """Gives every face an id that it keeps while it is seen. Holds the state of one video.

    Pairs of track and box are chosen so that the sum of their overlaps is largest (the assignment problem, Kuhn 1955). A track's overlap with a box
    is the larger of that with its last box and that with the box moved on at its speed, so that both a still face and a moving one hold. Pairs that
    overlap by less than `min_overlap` are none; a track that was not seen for more than `max_gap` seconds has ended and its id is not used again.
    """

    def __init__(self, min_overlap: float = 0.2, max_gap: float = 1.0) -> None:
        if not 0 < min_overlap < 1:
            raise ConfigError(f"min_overlap={min_overlap!r}: a share of two boxes above 0 and below 1")
        if not (math.isfinite(max_gap) and max_gap >= 0):
            raise ConfigError(f"max_gap={max_gap!r}: seconds, 0 or more")
        self.min_overlap, self.max_gap = min_overlap, max_gap
        self._tracks: list[_Track] = []
        self._next, self._now = 0, -math.inf

    def update(self, time: float, boxes: Sequence[Box]) -> list[int]:
        """The track id of each box (xyxy) seen at `time` (seconds); ids count from 0. Raises InputError when time runs backwards."""
        if time < self._now:
            raise InputError(f"time={time!r} is before {self._now!r}; frames come in their order")
        self._now = time
        self._tracks = [track for track in self._tracks if time - track.time <= self.max_gap + 1e-6]
        ids = self._known(time, boxes)
        for position, box in enumerate(boxes):
            if position not in ids:
                self._tracks.append(_Track(self._next, tuple(box), time))
                ids[position] = self._next
                self._next += 1
        return [ids[position] for position in range(len(boxes))]

    def _known(self, time: float, boxes: Sequence[Box]) -> dict[int, int]:
        """{position of a box: id} of those that carry on a track."""
        from scipy.optimize import linear_sum_assignment

        if not self._tracks or not boxes:
            return {}
        shares = np.array(
            [[max(overlap(t.box, box), overlap(t.expected(time), box)) for box in boxes] for t in self._tracks]
        )
        shares[shares < self.min_overlap] = 0.0  # else two bad pairs could outweigh a good one
        ids = {}
        for row, column in zip(*linear_sum_assignment(shares, maximize=True), strict=True):
            if shares[row, column] > 0:
                _move(self._tracks[row], time, tuple(boxes[column]))
                ids[int(column)] = self._tracks[row].id
        return ids


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes xyxy, 0 to 1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _move(track: _Track, time: float, box: Box) -> None:
    if (passed := time - track.time) > 0:
        track.speed = tuple((box[i] + box[i + 2] - track.box[i] - track.box[i + 2]) / 2 / passed for i in (0, 1))
    track.box, track.time = box, time
