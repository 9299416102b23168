"""Latency and throughput of a network on one CPU thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from emotion_hub.models.classifier import EmotionClassifier
from training.evaluation.machine import hardware

__all__ = ["latency", "machine", "speed"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which torch uses one thread; the number of threads is restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def latency(model: EmotionClassifier, batch_size: int, seconds: float = 1.0, least: int = 5) -> float:
    """The median milliseconds of a forward pass of `batch_size` faces on one CPU thread.

    Two passes warm up; then passes are timed for `seconds`, and at least `least` of them.
    """
    config = model.config.preprocess
    pixels = torch.from_numpy(
        np.random.default_rng(0).standard_normal(
            (batch_size, config.channels, config.size, config.size), dtype=np.float32
        )
    )
    times: list[float] = []
    model.eval()
    with one_thread(), torch.inference_mode():
        for _ in range(2):
            model(pixels)
        end = time.perf_counter() + seconds
        while len(times) < least or time.perf_counter() < end:
            started = time.perf_counter()
            model(pixels)
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def speed(model: EmotionClassifier, seconds: float = 1.0) -> dict[str, float]:
    """{"latency_ms": one face, "images_per_second": batches of 64} of the network alone, on one CPU thread."""
    return {
        "latency_ms": latency(model, 1, seconds),
        "images_per_second": 64_000 / latency(model, 64, seconds, least=3),
    }


def machine() -> dict[str, Any]:
    """`training.evaluation.machine.hardware`, the number of threads and torch's version."""
    return {**hardware(), "threads": 1, "torch": torch.__version__}
