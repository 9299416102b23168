"""From a photo to what is answered: faces prepared for one or two networks, their logits turned into predictions, those into JSON."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.faces import Face
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.results import ComparedSide, Comparison, Prediction, with_total
from emotion_hub.serve.batching import Batched

__all__ = [
    "Found",
    "Prepared",
    "comparison_answer",
    "found",
    "plain_numbers",
    "png_base64",
    "predict_answer",
    "predictions",
    "prepare",
]

#: What `/predict` answers for the largest face and for each one.
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
class Found:
    """A face without its pixels: a request waiting for its batch keeps no photo in memory."""

    bbox: tuple[int, int, int, int]
    score: float | None
    detector: str | None


@dataclass(frozen=True)
class Prepared:
    """Faces ready for one network: `rows`, float32 (N, C, H, W), the same as `images`, and the milliseconds each took."""

    rows: np.ndarray
    images: tuple[Image.Image, ...]
    milliseconds: tuple[float, ...]


def found(faces: Sequence[Face]) -> tuple[Found, ...]:
    """The faces without their pixels."""
    return tuple(Found(face.bbox, face.score, face.detector) for face in faces)


def prepare(faces: Sequence[Face], predictor: EmotionPredictor) -> Prepared:
    """The faces as the predictor's network takes them."""
    images, rows, spent = [], [], []
    for face in faces:
        begun = time.perf_counter()
        images.append(predictor.preprocessor.prepare(face.image))
        rows.append(predictor.preprocessor.to_array(images[-1]))
        spent.append((time.perf_counter() - begun) * 1000)
    return Prepared(np.stack(rows) if rows else predictor.preprocessor.batch([]), tuple(images), tuple(spent))


def predictions(
    predictor: EmotionPredictor,
    faces: Sequence[Found],
    prepared: Prepared,
    batched: Batched | None,
    timings: Mapping[str, float],
    labels: LabelSet | None = None,
) -> list[Prediction]:
    """What `predictor.predict` gives, from logits that came out of a shared batch; over `labels` where they are given.

    Raises LabelError for labels that the network does not know.
    """
    answers = []
    for i, face in enumerate(faces):
        probs = dict(zip(predictor.labels.labels, map(float, softmax(batched.logits[i])), strict=True))
        spent = {**timings, "preprocess": prepared.milliseconds[i], "inference": batched.a_face}
        answers.append(
            Prediction.of(probs, predictor.name, spent, labels or predictor.answer_labels, **dataclasses.asdict(face))
        )
    return answers


def predict_answer(
    model: str, size: tuple[int, int], faces: Sequence[Prediction], timings: Mapping[str, float]
) -> dict[str, Any]:
    """The largest face's fields at the top and all faces under `faces`; without a face those fields are null and the list is empty."""
    each = [_with_report_fields(face.to_dict()) for face in faces]
    if each:
        top = each[0]
    else:
        spent = with_total(timings)
        top = {name: None for name in FACE_FIELDS} | {
            "processing_time": spent["total"] / 1000,
            "model": model,
            "timings": spent,
        }
    return {**top, "width": size[0], "height": size[1], "faces": each}


def _with_report_fields(face: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction's JSON after the four fields of the technical report's API, which repeat it under other names; seconds for milliseconds."""
    named = {"predictions": face["probs"], "predicted_class": face["label"], "confidence": face["confidence"]}
    return {**named, "processing_time": face["timings"]["total"] / 1000, **face}


def comparison_answer(
    predictors: Sequence[EmotionPredictor], prepared: Sequence[Prepared], answers: Sequence[list[Prediction]]
) -> list[dict[str, Any]]:
    """One object a face: both networks' predictions, whether they agree and how far apart they are."""
    rows = []
    for i in range(len(answers[0])):
        sides = []
        for predictor, ready, found_here in zip(predictors, prepared, answers, strict=True):
            config = predictor.preprocessor.config
            sides.append(
                ComparedSide(
                    found_here[i],
                    ready.images[i],
                    predictor.backend.num_parameters,
                    4 * config.channels * config.size**2,
                )
            )
        rows.append(Comparison(*sides).to_dict())
    return rows


def png_base64(image: Image.Image) -> str:
    """The picture as a PNG file in base64 text."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def plain_numbers(value: Any) -> Any:
    """The same with null for what JSON has no number for, such as a score that is undefined for this map."""
    if isinstance(value, Mapping):
        return {key: plain_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
