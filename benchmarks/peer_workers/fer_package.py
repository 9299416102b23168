"""Worker for the `fer` package on faces that need no detection.

The whole picture is given as the face's rectangle. By default the package extends every face by 10 pixels on each
side, which adds a flat border to a picture that is only a face. `offsets=(0, 0)` is the better setting here; both
are measured. Run by benchmarks/peers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from clock import cores, run
from fer.fer import FER


def prepare(task: dict[str, Any]) -> dict[str, Callable[[bytes], str]]:
    """The package's default, and without the margin through TFLite and through Keras."""
    return {
        "fer as it ships (TFLite, margin 10)": _labeller(FER()),
        "fer without margin (TFLite)": _labeller(FER(offsets=(0, 0))),
        "fer without margin (Keras)": _labeller(FER(offsets=(0, 0), use_tflite=False)),
    }


def _labeller(detector: FER) -> Callable[[bytes], str]:
    def label(png: bytes) -> str:
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        [face] = detector.detect_emotions(image, face_rectangles=[(0, 0, image.shape[1], image.shape[0])])
        return max(face["emotions"], key=face["emotions"].get)

    return label


if __name__ == "__main__":
    run(
        prepare,
        ("fer", "tensorflow-cpu", "keras", "numpy"),
        f"the package's own choice on {cores()} cores (TFLite: one thread)",
    )
