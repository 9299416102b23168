"""The demo with networks that block.

`python slow_demo.py GATE`: as long as the file GATE does not exist, no network answers. The file GATE.waiting gets one
byte per call that waits. The answers that the page shows on arrival are computed before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from emotion_hub.backends import OnnxBackend, TorchBackend
from emotion_hub.ui import build_demo, launch_options
from emotion_hub.ui.uploads import upload_folder


def slowed(logits: Callable[..., Any], gate: Path) -> Callable[..., Any]:
    def slow(self: object, pixel_values: object) -> object:
        last = time.monotonic() + 120
        if not gate.exists():
            with Path(f"{gate}.waiting").open("a") as file:
                file.write(".")
        while not gate.exists() and time.monotonic() < last:
            time.sleep(0.02)
        return logits(self, pixel_values)

    return slow


def main(gate: Path) -> None:
    with upload_folder():
        demo = build_demo()  # it computes the answers that the page shows on arrival
        for backend in (OnnxBackend, TorchBackend):
            backend.logits = slowed(backend.logits, gate)
        demo.launch(**launch_options())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
