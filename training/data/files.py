"""Write files atomically: JSON, NumPy arrays, or what a callback writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write_arrays", "write_atomically", "write_json"]


def write_atomically(path: Path, write: Callable[[str], Any]) -> None:
    """Call `write` with the path of a temporary file in the same folder, then rename that file to `path`.

    A process that is killed meanwhile leaves the old file complete.
    """
    part = path.with_name(path.name + ".part")
    write(str(part))
    os.replace(part, path)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON with a final newline, atomically; folders that are missing are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=indent) + "\n"
    write_atomically(path, lambda part: Path(part).write_text(text, encoding="utf-8"))


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write an .npz file atomically; folders that are missing are made."""

    def write(part: str) -> None:
        with open(part, "wb") as file:  # np.savez appends .npz to a path, not to an open file
            np.savez(file, **arrays)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)
