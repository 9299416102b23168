"""Worker for the embedded checkpoints with ONNX Runtime.

It measures from the bytes of a PNG to probabilities. Run by benchmarks/peers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clock import cores, run

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.predictor import EmotionPredictor


def prepare(task: dict[str, Any]) -> dict[str, Callable[[bytes], str]]:
    """Two variants per checkpoint, named after it, its network and its number format."""
    bits = {"onnx": "float", "onnx-int8": "int8"}
    names = {name: checkpoint_summary(name)["model"] for name in embedded_checkpoints()}
    return {
        f"{name} ({model}, {bits[backend]})": _labeller(name, backend)
        for name, model in names.items()
        for backend in bits
    }


def _labeller(name: str, backend: str) -> Callable[[bytes], str]:
    predictor = EmotionPredictor.from_pretrained(name, backend=backend)
    return lambda png: predictor.predict(png, whole=True)[0].label


if __name__ == "__main__":
    run(prepare, ("onnxruntime", "numpy", "pillow"), f"ONNX Runtime's default on {cores()} cores")
