"""What each stage of a prediction costs, for both pipelines, through torch and ONNX Runtime, one face at a time and in batches."""

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
    """A ready 48-pixel PNG, bytes to probabilities by each backend: milliseconds of the whole, of its stages, and of a bare call of the same network.

    `threads` are ONNX Runtime's, by default the machine's cores.
    """
    content, face = png(drawn_face().convert("L")), drawn_face().convert("L")
    found: dict[str, Any] = {}
    for backend in BACKENDS:
        predictor = EmotionPredictor.from_pretrained(name, backend=backend, threads=threads)
        pixels = predictor.preprocessor(face)[None]
        runs = {
            "total": lambda p=predictor: p.predict(content, whole=True),
            "decode": lambda: load_image(content),
            "preprocess": lambda p=predictor: p.preprocessor(face),
            "model": lambda p=predictor, x=pixels: p.backend.logits(x),
        }
        if backend != "torch":
            session = predictor.backend.session
            runs["bare"] = lambda s=session, x=pixels: s.run([OUTPUT], {INPUT: x})
        found[backend] = in_turn(runs, rounds, repeats)
    found["total_over_bare"] = found["onnx"]["total"] / found["onnx"]["bare"]
    return found


def photo_stages(names: list[str], yunet: Path = MODEL_FILE, repeats: int = 5) -> dict[str, Any]:
    """A whole photo of 512 pixels: milliseconds to decode it, to find its face with YuNet, to cut it out, and each network's stages."""
    content = example_path("astronaut").read_bytes()
    photo = load_image(content)
    detector = YuNetDetector(yunet)
    [face] = find_faces(photo, detector)[:1]
    runs = {
        "decode": lambda: load_image(content),
        f"detect, {detector.name}": lambda: detector.detect(photo),
        "crop": lambda: photo.crop(face.bbox).load(),
    }
    found = in_turn(runs, 3, repeats)

    def opened(name: str) -> dict[str, Callable[[], object]]:
        predictor = EmotionPredictor.from_pretrained(name, backend="onnx")
        pixels = predictor.preprocessor(face.image)[None]
        return {
            f"preprocess, {name}": lambda: predictor.preprocessor(face.image),
            f"model, {name}": lambda: predictor.backend.logits(pixels),
        }

    for stages in _alone({name: partial(opened, name) for name in names}, 3, 4 * repeats).values():
        found |= stages
    return {"pixels": list(photo.size), "milliseconds": found}


def batches(name: str, rounds: int = 5, threads: int | None = None) -> dict[str, Any]:
    """Faces a second in batches of 64: `predict_batch` on decoded faces, torch, and a bare ONNX Runtime loop on as many threads, alternating."""
    made = faces(4 * BATCH)
    onnx, torch = (
        EmotionPredictor.from_pretrained(name, backend=backend, threads=threads) for backend in ("onnx", "torch")
    )
    pixels = onnx.preprocessor.batch(made[:BATCH])
    session = onnx.backend.session

    def bare() -> None:
        for _ in range(len(made) // BATCH):
            session.run([OUTPUT], {INPUT: pixels})

    runs = {
        "bare": bare,
        "predict_batch": lambda: onnx.predict_batch(made, BATCH, whole=True),
        "predict_batch, torch": lambda: torch.predict_batch(made, BATCH, whole=True),
    }
    speeds = {run: 1000 * len(made) / ms for run, ms in in_turn(runs, rounds, 2).items()}
    return {"faces_per_second": speeds, "share_of_bare": speeds["predict_batch"] / speeds["bare"]}


def storages(paths: Mapping[str, Path], rounds: int = 5) -> dict[str, Any]:
    """Milliseconds of one face and faces a second in batches of 64 for the files of one network, by how they store its weights."""
    made = faces(BATCH)

    def opened(path: Path) -> dict[str, Callable[[], object]]:
        predictor = EmotionPredictor.from_onnx(path)
        one, many = predictor.preprocessor(made[0])[None], predictor.preprocessor.batch(made)
        return {"one": lambda: predictor.backend.logits(one), "many": lambda: predictor.backend.logits(many)}

    times = _alone({storage: partial(opened, path) for storage, path in paths.items()}, rounds, 10)
    return {
        s: {"milliseconds": t["one"], "faces_per_second": 1000 * BATCH / t["many"], "bytes": file_bytes(paths[s])}
        for s, t in times.items()
    }


def _alone(
    openers: Mapping[str, Callable[[], Mapping[str, Callable[[], object]]]], rounds: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds of each one's runs, each opened for its turn and let go after it, since ONNX Runtime's threads spin on and slow the next session."""
    medians: dict[str, list[dict[str, float]]] = {name: [] for name in openers}
    for _ in range(rounds):
        for name, opened in openers.items():
            medians[name].append({stage: median(run, repeats) for stage, run in opened().items()})
    return {
        name: {stage: statistics.median(turn[stage] for turn in turns) for stage in turns[0]}
        for name, turns in medians.items()
    }


def faces(count: int) -> list[Image.Image]:
    """Decoded gray faces of 48 pixels: the drawn one, turned and mirrored, and lit differently."""
    face = drawn_face().convert("L")
    gains = np.linspace(0.6, 1.2, count)
    return [face.point(lambda v, g=gain: min(255, int(v * g))) for gain in gains]
