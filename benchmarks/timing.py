"""Timing helpers: medians, alternating rounds, a drawn face, machine record."""

from __future__ import annotations

import io
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

from training.evaluation.machine import hardware

__all__ = ["drawn_face", "in_turn", "machine", "median", "png"]


def drawn_face() -> Image.Image:
    """RGB, 48 by 48: an oval with eyes and a mouth, with noise. Times do not depend on the content of a face."""
    y, x = np.mgrid[0:48, 0:48]
    gray = np.random.default_rng(0).normal(90, 12, (48, 48))
    gray[((x - 24) / 17) ** 2 + ((y - 25) / 22) ** 2 < 1] += 70
    for eye in (16, 32):
        gray[((x - eye) / 4) ** 2 + ((y - 19) / 2) ** 2 < 1] -= 90
    gray[(np.abs(y - 36 + ((x - 24) / 7) ** 2) < 1.5) & (np.abs(x - 24) < 9)] -= 90
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")


def png(image: Image.Image) -> bytes:
    """The image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def median(run: Callable[[], object], repeats: int) -> float:
    """Median milliseconds, after one run that is not counted."""
    return in_turn({"run": run}, 1, repeats)["run"]


def in_turn(runs: Mapping[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of each run; every round runs each `repeats` times.

    Rounds alternate between the runs, so that slow phases of the machine affect all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            for _ in range(repeats):
                started = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def machine(*packages: str) -> dict[str, Any]:
    """`training.evaluation.machine.hardware`, and the versions of Python and `packages`."""
    return {**hardware(), "python": platform.python_version(), "versions": {name: version(name) for name in packages}}
