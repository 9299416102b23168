"""Explain a prediction: detection, backend choice, method and metrics.

explain("photo.jpg", method="gradcam", model="native48")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

from PIL import Image

from emotion_hub.backend_names import BACKENDS
from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.errors import InputError, MissingFileError, missing_extra
from emotion_hub.explainers import metrics as map_metrics
from emotion_hub.explainers.base import Explanation, Progress, Relevance, Subject
from emotion_hub.explainers.regions import shares
from emotion_hub.explainers.registry import METHODS, Method, check_method, check_metrics
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
    on_torch = _on_torch(predictor)
    if on_torch is None or not isinstance(on_torch.backend, TorchBackend):
        return [name for name, method in METHODS.items() if not method.needs_torch]
    network = on_torch.backend.classifier.network
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
    - `metrics`: "none", "fast" or "full", see `METRICS`.
    - `progress`: called with the fraction done, 0..1; it may raise an exception to stop.
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

    Raises LabelError, InputError and MissingDependencyError as `explain` does.
    """
    chosen = check_method(method, options)
    check_metrics(metrics)
    predictor = _backend_for(chosen, predictor, metrics)
    chosen.load()
    subject = Subject.of(face, predictor, target, versus)
    run = partial(chosen.run, **options)
    started = time.perf_counter()
    relevance = run(subject, progress)
    milliseconds = (time.perf_counter() - started) * 1000
    labels = predictor.labels.labels
    return Explanation(
        heatmap=relevance.heatmap,
        signed=relevance.signed,
        method=method,
        model=predictor.name,
        target=labels[subject.target],
        versus=None if subject.versus is None else labels[subject.versus],
        confidence=subject.confidence,
        parameters=dict(relevance.parameters),
        scores={**relevance.scores, **_measure(subject, chosen, options, relevance, metrics)},
        milliseconds=milliseconds,
        prepared=subject.prepared,
    )


def predictor_of(model: str | EmotionPredictor) -> EmotionPredictor:
    """The predictor itself, the shared predictor of an embedded checkpoint, or one loaded from a folder or Hub id."""
    if isinstance(model, EmotionPredictor):
        return model
    if str(model) in embedded_checkpoints():
        return embedded_predictor(str(model))
    return EmotionPredictor.from_pretrained(model)


def _backend_for(method: Method, predictor: EmotionPredictor, metrics: str) -> EmotionPredictor:
    """The predictor on the backend that the method needs.

    Raises InputError when the method needs torch and the predictor has no checkpoint to load on it, and
    MissingDependencyError when torch is not installed.
    """
    if isinstance(predictor.backend, TorchBackend):
        return predictor
    if method.torch == "unused" and metrics != "full":  # the full metrics shuffle the weights, which needs torch
        return predictor
    if (on_torch := _on_torch(predictor)) is not None:
        return on_torch
    if not method.needs_torch:
        return predictor
    if find_spec("torch") is None:
        raise missing_extra(method.title, method.extra)
    runtime = type(predictor.backend).__name__.removesuffix("Backend")
    raise InputError(
        f"{method.title} needs the torch backend, and this predictor has no checkpoint to load on it: it runs "
        f"{runtime}. Use method='lime' or method='shap', or load the checkpoint with from_pretrained"
    )


def _on_torch(predictor: EmotionPredictor) -> EmotionPredictor | None:
    """The predictor on the torch backend; None when torch is not installed or there is no checkpoint to load on it."""
    if isinstance(predictor.backend, TorchBackend):
        return predictor
    if predictor.backend_name not in BACKENDS or find_spec("torch") is None:
        return None
    try:
        return predictor.with_backend("torch")
    except (InputError, MissingFileError):  # a single ONNX file; a checkpoint that has only its ONNX file
        return None


def _measure(
    subject: Subject, method: Method, options: Mapping[str, Any], relevance: Relevance, metrics: str
) -> dict[str, Any]:
    """The metrics of a map: {} for "none"; for "full" those that run the method again are included."""
    if metrics == "none":
        return {}
    scores: dict[str, Any] = {
        **map_metrics.deletion_insertion(subject, relevance.heatmap),
        "sparseness": map_metrics.sparseness(relevance.heatmap),
        "regions": shares(relevance.heatmap),
    }
    if metrics == "full":
        run = partial(method.run, **options)

        def with_seed(seed: int) -> Callable[..., Relevance]:
            return partial(method.run, **{**options, "seed": seed})

        reseeded = with_seed if "seed" in method.options else None
        scores["stability"] = map_metrics.stability(subject, run, relevance, with_seed=reseeded)
        scores["discrimination"] = map_metrics.discrimination(subject, run, relevance)
        if isinstance(subject.predictor.backend, TorchBackend):
            scores["randomisation"] = map_metrics.randomisation(subject, run, relevance)
    return scores
