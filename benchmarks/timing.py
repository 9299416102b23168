"""Clocks for benchmarks: medians, ratios from rounds that alternate, a drawn face, the machine they ran on, and the file they go to."""

from __future__ import annotations

import io
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.evaluation.machine import hardware

__all__ = ["drawn_face", "in_turn", "machine", "median", "png", "write_json"]


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
    """`training.evaluation.machine.hardware`, Python's version and those of `packages`."""
    return {**hardware(), "python": platform.python_version(), "versions": {name: version(name) for name in packages}}


def write_json(path: Path, found: Any) -> None:
    """What a benchmark found, indented; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
