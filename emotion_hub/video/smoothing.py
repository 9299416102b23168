"""Probabilities smoothed over time by an exponential mean whose time constant is in seconds."""

from __future__ import annotations

import math

import numpy as np

from emotion_hub.errors import ConfigError

__all__ = ["DEFAULT_SECONDS", "Smoother"]

#: Seconds after which a change has come through to 63 %: above the flicker of single frames, below the length of an expression.
DEFAULT_SECONDS = 0.5


class Smoother:
    """An exponential mean a track: p' += (1 - exp(-dt / seconds)) (p - p'), with dt the seconds since the track was last seen.

    The weight depends on time and not on the number of frames, so a constant answer gives the same curve at any rate. The first answer of a track is
    taken as it is. Every value is a weighted mean of distributions and so a distribution itself. `seconds` 0 leaves the raw values. Holds the state
    of one video.
    """

    def __init__(self, seconds: float = DEFAULT_SECONDS) -> None:
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ConfigError(f"seconds={seconds!r}: the time constant of smoothing is 0 (none) or more seconds")
        self.seconds = seconds
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def update(self, track: int, time: float, probs: np.ndarray) -> np.ndarray:
        """float64, (num_classes,): the smoothed probabilities of `track` at `time` (seconds) after seeing `probs`."""
        probs = np.asarray(probs, dtype=np.float64)
        if self.seconds > 0 and track in self._last:
            before, mean = self._last[track]
            probs = mean - math.expm1(-(time - before) / self.seconds) * (probs - mean)
        self._last[track] = (time, probs)
        return probs
