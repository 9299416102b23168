"""Explain a prediction: detection, backend choice, method and metrics.

explain("photo.jpg", method="gradcam", model="native48")
"""

from __future__ import annotations

import time
from typing import Any

from PIL import Image

from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.errors import InputError
from emotion_hub.explainers.backend_choice import on_torch, predictor_for
from emotion_hub.explainers.base import Explanation, Progress, Subject, part_of
from emotion_hub.explainers.registry import METHODS, check_method, check_metrics
from emotion_hub.explainers.scores import method_share, score_map
from emotion_hub.faces import DetectedPhoto, Face, locate
from emotion_hub.images import ImageSource
from emotion_hub.predictor import EmotionPredictor, embedded_predictor

__all__ = ["explain", "explain_face", "largest_face", "list_methods", "predictor_of"]


def list_methods(predictor: EmotionPredictor | None = None) -> list[str]:
    """The names of the methods, in the registry's order; with `predictor`, those that can explain it.

    Then the predictor's network is loaded on torch where that is possible.
    """
    if predictor is None:
        return list(METHODS)
    loaded = on_torch(predictor)
    if loaded is None or not isinstance(loaded.backend, TorchBackend):
        return [name for name, method in METHODS.items() if not method.needs_torch]
    network = loaded.backend.classifier.network
    return [name for name, method in METHODS.items() if method.applies_to(network)]


def explain(
    image: ImageSource,
    method: str = "gradcam",
    model: str | EmotionPredictor = "native48",
    target: str | None = None,
    *,
    versus: str | None = None,
    whole: bool = False,
    metrics: str = "fast",
    progress: Progress | None = None,
    detector: FaceDetector | str | None = None,
    **options: Any,
) -> Explanation:
    """Why `model` gives the largest face of the image the label `target`, by default the label it predicts.

    - `model`: a predictor, the name of an embedded checkpoint, a folder or a Hub id.
    - `versus`: another label; the explanation is then of why `target` rather than `versus`.
    - `whole`: take the whole image as the face.
    - `metrics`: "none", "map", "fast" or "full", see `METRICS`; `score_explanation` adds metrics later.
    - `progress`: called with the fraction done, 0..1, between batches; it may raise an exception to stop.
    - `options`: the method's own options, `METHODS[method].options`, such as `samples` and `seed` of LIME.

    Raises ImageError for content that is not an image, LabelError for a class that the network does not have,
    InputError for an image without a face, an unknown method or option, and a method that cannot explain the network,
    MissingDependencyError when the method's package is not installed.
    """
    check_method(method, options)
    check_metrics(metrics)
    predictor = predictor_of(model)
    face = largest_face(locate(image, detector_or(detector, predictor.detector), whole=whole)).image
    return explain_face(face, predictor, method, target, versus=versus, metrics=metrics, progress=progress, **options)


def largest_face(photo: DetectedPhoto) -> Face:
    """The largest face of a photo. Raises InputError for a photo without a face."""
    if not photo.faces:
        raise InputError(
            f"no face was found in the {photo.photo.width}x{photo.photo.height} picture; "
            "pass whole=True to take the whole picture as the face"
        )
    return photo.faces[0]


def explain_face(
    face: Image.Image,
    predictor: EmotionPredictor,
    method: str = "gradcam",
    target: str | None = None,
    *,
    versus: str | None = None,
    metrics: str = "fast",
    progress: Progress | None = None,
    **options: Any,
) -> Explanation:
    """`explain` for a cropped face (PIL, any size and mode); nothing is detected.

    The label, its probability and the fast metrics are those of the predictor's own backend; the map is computed on
    torch where the method needs gradients or layers. Raises LabelError, InputError and MissingDependencyError as
    `explain` does.
    """
    chosen = check_method(method, options)
    check_metrics(metrics)
    explained = predictor_for(chosen, options, predictor)
    chosen.load()
    subject, share = Subject.of(face, predictor, target, versus), method_share(chosen, metrics)
    started = time.perf_counter()
    relevance = chosen.run(subject.with_predictor(explained), part_of(progress, 0, share), **options)
    milliseconds = (time.perf_counter() - started) * 1000
    labels, rest = predictor.labels.labels, part_of(progress, share, 1)
    return Explanation(
        heatmap=relevance.heatmap,
        signed=relevance.signed,
        method=method,
        model=predictor.name,
        target=labels[subject.target],
        versus=None if subject.versus is None else labels[subject.versus],
        confidence=subject.confidence,
        parameters=dict(relevance.parameters),
        scores={**relevance.scores, **score_map(subject, chosen, options, relevance, metrics, rest)},
        milliseconds=milliseconds,
        prepared=subject.prepared,
        options=options,
    )


def predictor_of(model: str | EmotionPredictor) -> EmotionPredictor:
    """The predictor itself, the shared predictor of an embedded checkpoint, or one loaded from a folder or Hub id."""
    if isinstance(model, EmotionPredictor):
        return model
    if str(model) in embedded_checkpoints():
        return embedded_predictor(str(model))
    return EmotionPredictor.from_pretrained(model)
