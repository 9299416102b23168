"""Clocks for benchmarks: medians, ratios from rounds that alternate, a drawn face, and the machine they ran on."""

from __future__ import annotations

import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["drawn_face", "in_turn", "machine", "median", "png"]


def drawn_face() -> Image.Image:
    """RGB, 48 by 48: an oval with eyes and a mouth under noise. Time does not depend on what a face shows."""
    y, x = np.mgrid[0:48, 0:48]
    gray = np.random.default_rng(0).normal(90, 12, (48, 48))
    gray[((x - 24) / 17) ** 2 + ((y - 25) / 22) ** 2 < 1] += 70
    for eye in (16, 32):
        gray[((x - eye) / 4) ** 2 + ((y - 19) / 2) ** 2 < 1] -= 90
    gray[(np.abs(y - 36 + ((x - 24) / 7) ** 2) < 1.5) & (np.abs(x - 24) < 9)] -= 90
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def median(run: Callable[[], object], repeats: int) -> float:
    """Milliseconds, after one run that is not counted."""
    return in_turn({"run": run}, 1, repeats)["run"]


def in_turn(runs: Mapping[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of each; every round runs each `repeats` times, so that a slow minute of the machine falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            for _ in range(repeats):
                begun = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, versions, and the load of the last minute: above 0 others were at work, and times are longer than need be."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    processor = names[0] if names else platform.processor() or platform.machine()
    versions = {name: version(name) for name in packages}
    return {"processor": processor, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "python": platform.python_version(), "versions": versions}
