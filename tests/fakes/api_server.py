"""Fakes for API tests: a running server, networks and detectors.

The app runs over real HTTP; networks and detectors can be blocked.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from emotion_hub.detectors import Detection, Framing
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import NATIVE48, PreprocessConfig, Preprocessor

__all__ = ["Boxes", "LinearBackend", "blank", "photo", "predictor", "running", "until"]

#: A small and a large face, in this order, since a detector's order is not by size.
TWO_BOXES = ((8.0, 8.0, 40.0, 40.0), (50.0, 20.0, 110.0, 80.0))


class LinearBackend:
    """A backend that is a random linear map of the pixels.

    `batches` are the sizes of the batches it was given. While `unblocked` is cleared, it blocks.
    """

    num_parameters = 7

    def __init__(self, seed: int = 0, config: PreprocessConfig = NATIVE48) -> None:
        shape = (config.channels * config.size**2, 7)
        # float64, so that the sums do not depend on the batch size
        self.weights = np.random.default_rng(seed).normal(0, 0.05, shape)
        self.batches: list[int] = []
        self.unblocked = threading.Event()
        self.unblocked.set()

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixel_values))
        assert self.unblocked.wait(60), "the test did not unblock the network"
        return (pixel_values.reshape(len(pixel_values), -1) @ self.weights).astype(np.float32)


class Boxes:
    """A detector that returns the same boxes for every photo.

    `calls` counts the photos. While `unblocked` is cleared, it blocks.
    """

    name = "boxes"
    framing = Framing(scale=1.0, down=0.0)

    def __init__(self, boxes: Sequence[tuple[float, float, float, float]] = TWO_BOXES) -> None:
        self.boxes, self.calls = boxes, 0
        self.unblocked = threading.Event()
        self.unblocked.set()

    def detect(self, image: Image.Image) -> list[Detection]:
        self.calls += 1
        assert self.unblocked.wait(60), "the test did not unblock the detector"
        return [Detection(box, 0.9) for box in self.boxes]


def predictor(
    seed: int = 0, *, detector: Boxes | None = None, config: PreprocessConfig = NATIVE48, name: str = "tiny"
) -> EmotionPredictor:
    """A predictor with random weights that depend on `seed`."""
    return EmotionPredictor(
        LinearBackend(seed, config), FER2013, Preprocessor(config), name=name, detector=detector or Boxes()
    )


def photo(seed: int = 0, size: tuple[int, int] = (120, 100), kind: str = "PNG") -> bytes:
    """An image file of coarse noise that depends on `seed`; `size` is (width, height)."""
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.resize(size, Image.Resampling.BILINEAR).save(buffer, kind)
    return buffer.getvalue()


def blank(width: int, height: int) -> bytes:
    """A PNG file of a white image; the file is small for any image size."""
    buffer = io.BytesIO()
    Image.new("1", (width, height), 1).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def running(app: FastAPI, *, ready: bool = True) -> Iterator[httpx.Client]:
    """A client of `app` over real HTTP, after GET /ready answers 200; the server is shut down at the end.

    The uvicorn server is `client.server`, for tests of the shutdown.
    """
    config = uvicorn.Config(app, loop="asyncio", http="h11", log_config=None, log_level="error", access_log=False)
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            client.server = server
            until(lambda: server.started)
            if ready:
                until(lambda: client.get("/ready").status_code == 200)
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `condition()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {seconds:g} s"
        time.sleep(0.01)
