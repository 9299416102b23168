"""Chromium, photos and a demo that can be blocked, for browser tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.demo_browser import CHROMIUM, ROOT, chromium_arguments, demo_server
from emotion_hub.examples import example_path
from emotion_hub.images import load_image

__all__ = [
    "CHROMIUM",
    "ROOT",
    "BlockableDemo",
    "astronaut",
    "chromium_arguments",
    "chromium_marks",
    "demo_server",
    "face_crops",
]

#: `pytestmark` of a module that needs Chromium.
chromium_marks = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not os.access(CHROMIUM, os.X_OK), reason=f"{CHROMIUM} is not installed (Debian package chromium)"
    ),
]


def astronaut() -> Image.Image:
    """A packaged example photo: Eileen Collins, NASA, public domain."""
    return load_image(example_path("astronaut"))


def face_crops(folder: Path) -> list[Path]:
    """Files of three different photos, small enough to be taken as face crops."""
    face = astronaut().crop((160, 20, 290, 180)).resize((60, 60))
    found = []
    for name, turn in (
        ("first", None),
        ("second", Image.Transpose.FLIP_LEFT_RIGHT),
        ("third", Image.Transpose.FLIP_TOP_BOTTOM),
    ):
        found.append(folder / f"{name}.png")
        (face if turn is None else face.transpose(turn)).save(found[-1])
    return found


class BlockableDemo:
    """A running `slow_demo`. `close()` blocks its networks, `open()` unblocks them, `wait_for_call()` waits for one."""

    def __init__(self, url: str, gate: Path) -> None:
        self.url, self.gate, self._waiting = url, gate, Path(f"{gate}.waiting")

    def open(self) -> None:
        self.gate.touch()

    def close(self) -> None:
        self.gate.unlink(missing_ok=True)
        self._waiting.write_bytes(b"")

    def wait_for_call(self, calls: int = 1) -> None:
        last = time.monotonic() + 180
        while self._waiting.stat().st_size < calls:
            assert time.monotonic() < last, "no network was called"
            time.sleep(0.05)
