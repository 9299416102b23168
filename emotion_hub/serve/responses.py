"""Response bodies: predictions and comparisons as JSON types.

Also faces prepared for a network, and their predictions from the logits of a shared batch.
"""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.faces import Face
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.quality import FaceWarning
from emotion_hub.results import ComparedSide, Comparison, Prediction, with_total
from emotion_hub.serve.batching import BatchResult

__all__ = [
    "FaceLocation",
    "PreparedFaces",
    "comparison_rows",
    "face_locations",
    "nan_to_null",
    "png_base64",
    "predict_response",
    "predictions",
    "prepare_faces",
]

#: The fields of the largest face in the response of /predict; null for a photo without a face.
FACE_FIELDS = (
    "predictions",
    "predicted_class",
    "confidence",
    "label",
    "label_id",
    "probs",
    "bbox",
    "score",
    "detector",
)


@dataclass(frozen=True)
class FaceLocation:
    """A face without its pixels, so that a request that waits for its batch keeps no photo in memory."""

    bbox: tuple[int, int, int, int]
    score: float | None
    detector: str | None
    warnings: tuple[FaceWarning, ...] = ()


@dataclass(frozen=True)
class PreparedFaces:
    """Faces prepared for one network: `pixel_values`, float32 (N, C, H, W), the same as `images`, and times.

    `milliseconds` has the preparation time of each face.
    """

    pixel_values: np.ndarray
    images: tuple[Image.Image, ...]
    milliseconds: tuple[float, ...]


def face_locations(faces: Sequence[Face]) -> tuple[FaceLocation, ...]:
    """The faces without their pixels, in the same order."""
    return tuple(FaceLocation(face.bbox, face.score, face.detector, tuple(face.warnings)) for face in faces)


def prepare_faces(faces: Sequence[Face], predictor: EmotionPredictor) -> PreparedFaces:
    """The faces as the predictor's network takes them."""
    images, arrays, milliseconds = [], [], []
    for face in faces:
        started_at = time.perf_counter()
        images.append(predictor.preprocessor.prepare(face.image))
        arrays.append(predictor.preprocessor.to_array(images[-1]))
        milliseconds.append((time.perf_counter() - started_at) * 1000)
    pixel_values = np.stack(arrays) if arrays else predictor.preprocessor.batch([])
    return PreparedFaces(pixel_values, tuple(images), tuple(milliseconds))


def predictions(
    predictor: EmotionPredictor,
    faces: Sequence[FaceLocation],
    prepared: PreparedFaces,
    result: BatchResult,
    timings: Mapping[str, float],
) -> list[Prediction]:
    """What `predictor.predict` returns, from the logits of a shared batch.

    `timings` are the milliseconds of "decode" and "detect".
    """
    rows = []
    for i, face in enumerate(faces):
        probs = dict(zip(predictor.labels.labels, map(float, softmax(result.logits[i])), strict=True))
        face_timings = {**timings, "preprocess": prepared.milliseconds[i], "inference": result.ms_per_face}
        rows.append(
            Prediction.of(
                probs,
                predictor.name,
                face_timings,
                predictor.answer_labels,
                prediction_sets=predictor.prediction_sets,
                **vars(face),
            )
        )
    return rows


def predict_response(
    model: str, size: tuple[int, int], faces: Sequence[Prediction], timings: Mapping[str, float]
) -> dict[str, Any]:
    """The JSON object of /predict: the fields of the largest face, the photo's size, and all faces under `faces`.

    Without a face the fields are null and the list is empty. `size` is (width, height) in pixels, `timings` are
    milliseconds.
    """
    rows = [_with_report_fields(face.to_dict()) for face in faces]
    if rows:
        top = rows[0]
    else:
        totals = with_total(timings)
        top = {name: None for name in FACE_FIELDS} | {
            "processing_time": totals["total"] / 1000,
            "model": model,
            "timings": totals,
            "warnings": [],
        }
    return {**top, "width": size[0], "height": size[1], "faces": rows}


def _with_report_fields(face: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction's JSON after the four fields of the technical report's API.

    They repeat other fields under the report's names; `processing_time` is in seconds.
    """
    report = {"predictions": face["probs"], "predicted_class": face["label"], "confidence": face["confidence"]}
    return {**report, "processing_time": face["timings"]["total"] / 1000, **face}


def comparison_rows(
    predictors: Sequence[EmotionPredictor], prepared: Sequence[PreparedFaces], sides: Sequence[list[Prediction]]
) -> list[dict[str, Any]]:
    """One object per face: the predictions of both networks, whether they agree, and their distance."""
    rows = []
    for i in range(len(sides[0])):
        compared = []
        for predictor, faces, side in zip(predictors, prepared, sides, strict=True):
            config = predictor.preprocessor.config
            input_bytes = 4 * config.channels * config.size**2
            compared.append(ComparedSide(side[i], faces.images[i], predictor.backend.num_parameters, input_bytes))
        rows.append(Comparison(*compared).to_dict())
    return rows


def png_base64(image: Image.Image) -> str:
    """The image as a PNG file in base64 text."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def nan_to_null(value: Any) -> Any:
    """A copy of `value` as JSON types: NaN and infinity are None, NumPy numbers are Python numbers, tuples are lists.

    A metric of a map, for example, may be undefined.
    """
    if isinstance(value, Mapping):
        return {key: nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_null(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
