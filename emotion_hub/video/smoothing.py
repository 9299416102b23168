"""Temporal smoothing of probabilities by an exponential mean."""

from __future__ import annotations

import math

import numpy as np

from emotion_hub.errors import ConfigError

__all__ = ["DEFAULT_SECONDS", "Smoother"]

#: Seconds until a change has reached 63 %: longer than the flicker of single frames, shorter than an expression.
DEFAULT_SECONDS = 0.5


class Smoother:
    """An exponential mean per track: p' += (1 - exp(-dt / seconds)) (p - p').

    dt is the time in seconds since the track's last update. The weight depends on time and not on the number of frames,
    so constant probabilities give the same curve at any frame rate. The first probabilities of a track are returned
    unchanged. Every result is a weighted mean of distributions and therefore a distribution. `seconds` 0 disables
    smoothing. Holds the state of one video.
    """

    def __init__(self, seconds: float = DEFAULT_SECONDS) -> None:
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ConfigError(f"seconds={seconds!r}: the time constant of smoothing must be 0 (none) or more seconds")
        self.seconds = seconds
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def update(self, track: int, time: float, probs: np.ndarray) -> np.ndarray:
        """The smoothed probabilities of `track` at `time` (seconds), after `probs`: float64, (num_classes,)."""
        probs = np.asarray(probs, dtype=np.float64)
        if self.seconds > 0 and track in self._last:
            before, mean = self._last[track]
            probs = mean - math.expm1(-(time - before) / self.seconds) * (probs - mean)
        self._last[track] = (time, probs)
        return probs
