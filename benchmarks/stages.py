"""Time of each stage of a prediction, for single faces, batches and photos."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.timing import drawn_face, in_turn, median, png
from emotion_hub.backend_names import BACKENDS
from emotion_hub.backends import OnnxBackend
from emotion_hub.detectors import YuNetDetector
from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.examples import example_path
from emotion_hub.faces import find_faces
from emotion_hub.images import load_image
from emotion_hub.onnx.export import INPUT, OUTPUT
from emotion_hub.onnx.external_data import file_bytes
from emotion_hub.predictor import EmotionPredictor

__all__ = ["BATCH", "batches", "faces", "photo_stages", "ready_face", "storages"]

BATCH = 64


def ready_face(name: str, rounds: int = 10, repeats: int = 20, threads: int | None = None) -> dict[str, Any]:
    """Milliseconds for a 48-pixel PNG by each backend: total, stages, and a bare call of the network.

    `threads` are those of ONNX Runtime, by default all cores.
    """
    face = drawn_face().convert("L")
    content = png(face)
    times: dict[str, Any] = {}
    for backend in BACKENDS:
        predictor = EmotionPredictor.from_pretrained(name, backend=backend, threads=threads)
        pixels = predictor.preprocessor(face)[None]
        runs: dict[str, Callable[[], object]] = {
            "total": partial(predictor.predict, content, whole=True),
            "decode": partial(load_image, content),
            "preprocess": partial(predictor.preprocessor, face),
            "model": partial(predictor.backend.logits, pixels),
        }
        if isinstance(predictor.backend, OnnxBackend):
            runs["bare"] = partial(predictor.backend.session.run, [OUTPUT], {INPUT: pixels})
        times[backend] = in_turn(runs, rounds, repeats)
    times["total_over_bare"] = times["onnx"]["total"] / times["onnx"]["bare"]
    return times


def photo_stages(names: list[str], yunet: Path = MODEL_FILE, repeats: int = 5) -> dict[str, Any]:
    """Milliseconds for a photo of 512 pixels: decoding, detection with YuNet, crop, and each network's stages."""
    content = example_path("astronaut").read_bytes()
    photo = load_image(content)
    detector = YuNetDetector(yunet)
    [face] = find_faces(photo, detector)[:1]
    runs = {
        "decode": lambda: load_image(content),
        f"detect, {detector.name}": lambda: detector.detect(photo),
        "crop": lambda: photo.crop(face.bbox).load(),
    }
    times = in_turn(runs, 3, repeats)

    def load(name: str) -> dict[str, Callable[[], object]]:
        predictor = EmotionPredictor.from_pretrained(name, backend="onnx")
        pixels = predictor.preprocessor(face.image)[None]
        return {
            f"preprocess, {name}": lambda: predictor.preprocessor(face.image),
            f"model, {name}": lambda: predictor.backend.logits(pixels),
        }

    for stages in _one_at_a_time({name: partial(load, name) for name in names}, 3, 4 * repeats).values():
        times |= stages
    return {"pixels": list(photo.size), "milliseconds": times}


def batches(name: str, rounds: int = 5, threads: int | None = None) -> dict[str, Any]:
    """Faces per second in batches of 64: `predict_batch`, the same with torch, and a bare ONNX Runtime loop.

    All use the same number of threads, and alternate.
    """
    images = faces(4 * BATCH)
    onnx, torch = (
        EmotionPredictor.from_pretrained(name, backend=backend, threads=threads) for backend in ("onnx", "torch")
    )
    pixels = onnx.preprocessor.batch(images[:BATCH])
    assert isinstance(onnx.backend, OnnxBackend)
    session = onnx.backend.session

    def bare() -> None:
        for _ in range(len(images) // BATCH):
            session.run([OUTPUT], {INPUT: pixels})

    runs = {
        "bare": bare,
        "predict_batch": lambda: onnx.predict_batch(images, BATCH, whole=True),
        "predict_batch, torch": lambda: torch.predict_batch(images, BATCH, whole=True),
    }
    speeds = {run: 1000 * len(images) / ms for run, ms in in_turn(runs, rounds, 2).items()}
    return {"faces_per_second": speeds, "share_of_bare": speeds["predict_batch"] / speeds["bare"]}


def storages(paths: Mapping[str, Path], rounds: int = 5) -> dict[str, Any]:
    """Milliseconds per face and faces per second in batches of 64, for files of one network by number format."""
    images = faces(BATCH)

    def load(path: Path) -> dict[str, Callable[[], object]]:
        predictor = EmotionPredictor.from_onnx(path)
        one, many = predictor.preprocessor(images[0])[None], predictor.preprocessor.batch(images)
        return {"one": lambda: predictor.backend.logits(one), "many": lambda: predictor.backend.logits(many)}

    times = _one_at_a_time({storage: partial(load, path) for storage, path in paths.items()}, rounds, 10)
    return {
        s: {"milliseconds": t["one"], "faces_per_second": 1000 * BATCH / t["many"], "bytes": file_bytes(paths[s])}
        for s, t in times.items()
    }


def _one_at_a_time(
    loaders: Mapping[str, Callable[[], Mapping[str, Callable[[], object]]]], rounds: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds of each loader's runs.

    Each is loaded for its turn and released after it, since threads of an idle ONNX Runtime session keep spinning
    and slow the next session.
    """
    medians: dict[str, list[dict[str, float]]] = {name: [] for name in loaders}
    for _ in range(rounds):
        for name, load in loaders.items():
            medians[name].append({stage: median(run, repeats) for stage, run in load().items()})
    return {
        name: {stage: statistics.median(row[stage] for row in rows) for stage in rows[0]}
        for name, rows in medians.items()
    }


def faces(count: int) -> list[Image.Image]:
    """Decoded gray faces of 48 pixels: one drawn face in different brightness."""
    face = drawn_face().convert("L")
    gains = np.linspace(0.6, 1.2, count)
    return [face.point(lambda v, g=gain: min(255, int(v * g))) for gain in gains]
