"""Processor time of the face warnings, alone and as a share of a prediction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from emotion_hub.detectors import Detection, YuNetDetector
from emotion_hub.examples import EXAMPLES
from emotion_hub.faces import Face, find_faces
from emotion_hub.images import load_image
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.quality import crop_warnings, detected_warnings

__all__ = ["cost"]

#: Runs of each timed call, of which the median counts.
REPEATS = 7


def cost(predictor: EmotionPredictor) -> dict[str, Any]:
    """Processor time in milliseconds of the warnings, and its share of a whole prediction."""
    detector = YuNetDetector()
    rows: dict[str, dict[str, float]] = {}
    for name, example in EXAMPLES.items():
        photo, data = load_image(example.path), example.path.read_bytes()
        faces, detections = find_faces(photo, detector), {d.landmarks: d for d in detector.detect(photo)}
        if not faces:
            continue
        found = [(face, detections[face.landmarks]) for face in faces]
        warnings = _median(partial(_all_warnings, found, photo.size))
        total = _median(partial(predictor.predict, data))
        rows[name] = {
            "faces": len(faces),
            "warnings_ms": round(warnings / len(faces), 3),
            "share": round(warnings / total, 4),
        }
    crop = find_faces(load_image(EXAMPLES["astronaut"].path), detector)[0].image.resize((48, 48))
    warnings, total = (
        _median(lambda: crop_warnings(crop)),
        _median(lambda: len(predictor.predict_faces([crop])[0].warnings)),
    )
    return {"photos": rows, "ready_made": {"warnings_ms": round(warnings, 3), "share": round(warnings / total, 4)}}


def _all_warnings(found: Sequence[tuple[Face, Detection]], size: tuple[int, int]) -> None:
    for face, detection in found:
        detected_warnings(face.image, detection, face.square, size, YuNetDetector.name)


def _median(call: Callable[[], Any]) -> float:
    """The median processor time of a call in milliseconds, after one call for warming up."""
    call()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        call()
        times.append(1000 * (time.process_time() - started))
    return float(np.median(times))
