"""For the API's tests: an app over real HTTP on this machine, and hand-written networks and detectors that can be held up."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
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

#: A small and a large face, in the order a detector may give them.
TWO = ((8.0, 8.0, 40.0, 40.0), (50.0, 20.0, 110.0, 80.0))


class LinearBackend:
    """A random linear map of the pixels. `batches` are the sizes it was given; while `go` is cleared it waits."""

    num_parameters = 7

    def __init__(self, seed: int = 0, config: PreprocessConfig = NATIVE48) -> None:
        shape = (config.channels * config.size**2, 7)
        self.weights = np.random.default_rng(seed).normal(0, 0.05, shape)  # float64: sums do not depend on the batch
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixel_values))
        assert self.go.wait(60), "the test forgot to let the network go on"
        return (pixel_values.reshape(len(pixel_values), -1) @ self.weights).astype(np.float32)


class Boxes:
    """A detector that finds the same boxes in every photo. `seen` counts the photos; while `go` is cleared it waits."""

    name = "boxes"
    framing = Framing(scale=1.0, down=0.0)

    def __init__(self, boxes: Sequence[tuple[float, float, float, float]] = TWO) -> None:
        self.boxes, self.seen = boxes, 0
        self.go = threading.Event()
        self.go.set()

    def detect(self, image: Image.Image) -> list[Detection]:
        self.seen += 1
        assert self.go.wait(60), "the test forgot to let the detector go on"
        return [Detection(box, 0.9) for box in self.boxes]


def predictor(
    seed: int = 0, *, detector: Boxes | None = None, config: PreprocessConfig = NATIVE48, name: str = "tiny"
) -> EmotionPredictor:
    return EmotionPredictor(
        LinearBackend(seed, config), FER2013, Preprocessor(config), name=name, detector=detector or Boxes()
    )


def photo(seed: int = 0, size: tuple[int, int] = (120, 100), kind: str = "PNG") -> bytes:
    """A picture's file: coarse noise, another one for each seed."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize(size, Image.Resampling.BILINEAR).save(buffer, kind)
    return buffer.getvalue()


def blank(width: int, height: int) -> bytes:
    """A white picture's file, small however large the picture is."""
    buffer = io.BytesIO()
    Image.new("1", (width, height), 1).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def running(app: FastAPI, *, ready: bool = True) -> Iterator[httpx.Client]:
    """A client of the app over real HTTP; the server is stopped in order at the end."""
    config = uvicorn.Config(app, loop="asyncio", http="h11", log_config=None, log_level="error", access_log=False)
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), name="api", daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            client.server = server  # for tests of its end
            until(lambda: server.started)
            if ready:
                until(lambda: client.get("/ready").status_code == 200)
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
    assert not thread.is_alive(), "the server did not end"


def until(true: object, seconds: float = 60.0) -> None:
    """Wait for the condition."""
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last, "it never came true"
        time.sleep(0.01)
