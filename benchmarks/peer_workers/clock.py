"""Shared part of the Python workers: read the task, measure, write results.

Only the standard library is used. Each variant predicts every face.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["cores", "run"]

Variants = dict[str, Callable[[bytes], str]]


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(prepare: Callable[[dict[str, Any]], Variants], packages: tuple[str, ...], threads: str) -> None:
    """Execute the task file of the first command-line argument, and write the results to the file of the second.

    `prepare(task)` returns {variant: function from the bytes of a PNG to a label}. The first `task["warm"]`
    predictions of each variant are not counted.
    """
    task = json.loads(Path(sys.argv[1]).read_text())
    faces = [path.read_bytes() for path in sorted(Path(task["faces"]).iterdir())][: task["limit"]]
    answers = {name: _measure(predict, faces, task["warm"]) for name, predict in prepare(task).items()}
    versions = {name: version(name) for name in packages}
    Path(sys.argv[2]).write_text(json.dumps({"variants": answers, "versions": versions, "threads": threads}))


def _measure(predict: Callable[[bytes], str], faces: list[bytes], warm: int) -> dict[str, list[Any]]:
    for i in range(warm):
        predict(faces[i % len(faces)])
    labels, milliseconds = [], []
    for face in faces:
        started = time.perf_counter()
        label = predict(face)
        milliseconds.append((time.perf_counter() - started) * 1000)
        labels.append(label)
    return {"labels": labels, "milliseconds": milliseconds}
