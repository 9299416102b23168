"""The part that all Python workers share: read the task, let each variant answer every face, write labels and times. Standard library alone."""

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
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(prepare: Callable[[dict[str, Any]], Variants], packages: tuple[str, ...], threads: str) -> None:
    """Answer the task of the command line's first argument into the file of its second.

    `prepare(task)` returns {variant: its function from a PNG's bytes to a label}. Each variant answers `task["warm"]` faces that are not counted.
    """
    task = json.loads(Path(sys.argv[1]).read_text())
    faces = [path.read_bytes() for path in sorted(Path(task["faces"]).iterdir())][: task["limit"]]
    answers = {name: _answer(label, faces, task["warm"]) for name, label in prepare(task).items()}
    versions = {name: version(name) for name in packages}
    Path(sys.argv[2]).write_text(json.dumps({"variants": answers, "versions": versions, "threads": threads}))


def _answer(label: Callable[[bytes], str], faces: list[bytes], warm: int) -> dict[str, list[Any]]:
    for i in range(warm):
        label(faces[i % len(faces)])
    labels, milliseconds = [], []
    for face in faces:
        begun = time.perf_counter()
        found = label(face)
        milliseconds.append((time.perf_counter() - begun) * 1000)
        labels.append(found)
    return {"labels": labels, "milliseconds": milliseconds}
