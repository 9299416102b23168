"""What each stage of a prediction costs, for both pipelines, through torch and ONNX Runtime, one face at a time and in batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.timing import drawn_face, in_turn, png
from emotion_hub.detectors import LbpDetector, YuNetDetector
from emotion_hub.faces import find_faces
from emotion_hub.images import load_image
from emotion_hub.onnx_export import INPUT, OUTPUT
from emotion_hub.prediction import BACKENDS
from emotion_hub.predictor import EmotionPredictor

__all__ = ["BATCH", "batches", "faces", "photo_stages", "ready_face", "storages"]

BATCH = 64


def ready_face(name: str, rounds: int = 10, repeats: int = 20) -> dict[str, Any]:
    """A ready 48-pixel PNG, bytes to probabilities by each backend: milliseconds of the whole, of its stages, and of a bare call of the same network."""
    content, face = png(drawn_face().convert("L")), drawn_face().convert("L")
    found: dict[str, Any] = {}
    for backend in BACKENDS:
        predictor = EmotionPredictor.from_pretrained(name, backend=backend)
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


def photo_stages(names: list[str], yunet: Path | None, repeats: int = 5) -> dict[str, Any]:
    """A whole photo of 512 pixels: milliseconds to decode it, to find its face with each detector, to cut it out, and each network's stages.

    The networks are measured one after the other, each alone: ONNX Runtime's threads spin for a while after a run and slow the next session's.
    """
    import skimage

    content = (Path(skimage.__file__).parent / "data" / "astronaut.png").read_bytes()
    photo = load_image(content)
    detectors = {"LBP cascade": LbpDetector(), **({"YuNet": YuNetDetector(yunet)} if yunet else {})}
    runs: dict[str, Any] = {"decode": lambda: load_image(content)}
    runs |= {f"detect, {name}": lambda d=detector: d.detect(photo) for name, detector in detectors.items()}
    [face] = find_faces(photo, next(reversed(detectors.values())))[:1]
    left, top, right, bottom = face.bbox
    runs["crop"] = lambda: photo.crop((left, top, right, bottom)).load()
    found = in_turn(runs, 3, repeats)
    for name in names:
        predictor = EmotionPredictor.from_pretrained(name, backend="onnx")
        pixels = predictor.preprocessor(face.image)[None]
        own = {f"preprocess, {name}": lambda p=predictor: p.preprocessor(face.image), f"model, {name}": lambda p=predictor, x=pixels: p.backend.logits(x)}
        found |= in_turn(own, 3, 4 * repeats)
    return {"pixels": list(photo.size), "milliseconds": found}


def batches(name: str, rounds: int = 5) -> dict[str, Any]:
    """Faces a second in batches of 64: `predict_batch` on decoded faces, torch, and a bare ONNX Runtime loop, alternating."""
    made = faces(4 * BATCH)
    onnx, torch = (EmotionPredictor.from_pretrained(name, backend=backend) for backend in ("onnx", "torch"))
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


def storages(paths: Mapping[str, Path], rounds: int = 10) -> dict[str, Any]:
    """Milliseconds of one face and faces a second in batches of 64 for the files of one network, by how they store its weights."""
    predictors = {storage: EmotionPredictor.from_onnx(path) for storage, path in paths.items()}
    made = faces(BATCH)
    one = {s: p.preprocessor(made[0])[None] for s, p in predictors.items()}
    many = {s: p.preprocessor.batch(made) for s, p in predictors.items()}
    single = in_turn({s: lambda p=p, x=one[s]: p.backend.logits(x) for s, p in predictors.items()}, rounds, 20)
    batch = in_turn({s: lambda p=p, x=many[s]: p.backend.logits(x) for s, p in predictors.items()}, max(2, rounds // 3), 2)
    return {s: {"milliseconds": single[s], "faces_per_second": 1000 * BATCH / batch[s], "bytes": paths[s].stat().st_size} for s in paths}


def faces(count: int) -> list[Image.Image]:
    """Decoded gray faces of 48 pixels: the drawn one, turned and mirrored, and lit differently."""
    face = drawn_face().convert("L")
    gains = np.linspace(0.6, 1.2, count)
    return [face.point(lambda v, g=gain: min(255, int(v * g))) for gain in gains]
