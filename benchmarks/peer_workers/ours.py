"""The embedded checkpoints through ONNX Runtime, from a PNG's bytes to probabilities; run by benchmarks/peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clock import cores, run

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.predictor import EmotionPredictor


def prepare(task: dict[str, Any]) -> dict[str, Callable[[bytes], str]]:
    """One variant a checkpoint, named after it and its network."""
    return {f"{name} ({checkpoint_summary(name)['model']})": _labeller(name) for name in embedded_checkpoints()}


def _labeller(name: str) -> Callable[[bytes], str]:
    predictor = EmotionPredictor.from_pretrained(name, backend="onnx")
    return lambda png: predictor.predict(png, whole=True)[0].label


if __name__ == "__main__":
    run(prepare, ("onnxruntime", "numpy", "pillow"), f"ONNX Runtime's default on {cores()} cores")
