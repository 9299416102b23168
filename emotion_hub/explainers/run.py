"""Explain a prediction: `explain(image, method="gradcam", model="native48")`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

from PIL import Image

from emotion_hub.backend_names import BACKENDS
from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import FaceDetector
from emotion_hub.errors import InputError, MissingFileError, missing_extra
from emotion_hub.explainers import metrics as map_metrics
from emotion_hub.explainers.base import Explanation, Progress, Relevance, Subject
from emotion_hub.explainers.regions import shares
from emotion_hub.explainers.registry import METHODS, Method, check_method, check_metrics
from emotion_hub.images import ImageSource
from emotion_hub.predictor import EmotionPredictor, embedded_predictor, locate

__all__ = ["explain", "explain_face", "list_methods", "predictor_of"]


def list_methods(predictor: EmotionPredictor | None = None) -> list[str]:
    """The names of the methods, in order; with `predictor`, those that can explain it, whose network is loaded on torch where that is possible."""
    if predictor is None:
        return list(METHODS)
    explained = _on_torch(predictor)
    if explained is None:
        return [name for name, method in METHODS.items() if not method.needs_torch]
    from emotion_hub.explainers.target_layers import transformer_of

    attends = transformer_of(explained.backend.classifier.network) is not None
    return [name for name in METHODS if name != "rollout" or attends]


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
    detector: FaceDetector | None = None,
    **options: Any,
) -> Explanation:
    """Why `model` gave the largest face of the picture the label `target`, by default the one it predicts.

    `model` is an embedded name, a folder, a Hub id or a predictor. With `versus` the question is why the one label rather than the other. `metrics` is
    "none", "fast" or "full". `progress` is called with the share done and may raise to stop. `options` are the method's own: `layer` of the
    CAMs, `samples`, `segments` and `seed` of LIME, `explainer`, `background`, `samples` and `seed` of SHAP.

    Raises ImageError for what is not a picture, LabelError for an unknown class, InputError for a picture without a face, an unknown method or
    option, and a method the network cannot be explained by.
    """
    check_method(method, options)
    check_metrics(metrics)
    predictor = predictor_of(model)
    scene = locate(image, detector or predictor.detector, whole=whole)
    if not scene.faces:
        raise InputError(
            f"no face was found in the {scene.photo.width}x{scene.photo.height} picture; pass whole=True to take all of it as the face"
        )
    face = scene.faces[0].image
    return explain_face(face, predictor, method, target, versus=versus, metrics=metrics, progress=progress, **options)


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
    """`explain` for a face that is cut out already; nothing is detected. Raises what `explain` raises of the method and the class."""
    chosen = check_method(method, options)
    check_metrics(metrics)
    predictor = _backend_for(chosen, predictor, metrics)
    chosen.load()
    subject = Subject.of(face, predictor, target, versus)
    run = partial(chosen.run, **options)
    begun = time.perf_counter()
    found = run(subject, progress)
    milliseconds = (time.perf_counter() - begun) * 1000
    labels = predictor.labels.labels
    return Explanation(
        heatmap=found.heatmap,
        signed=found.signed,
        method=method,
        model=predictor.name,
        target=labels[subject.target],
        versus=None if versus is None else labels[subject.versus],
        confidence=subject.confidence,
        parameters=dict(found.parameters),
        scores={**found.scores, **_scored(subject, chosen, options, found, metrics)},
        milliseconds=milliseconds,
        prepared=subject.prepared,
    )


def predictor_of(model: str | EmotionPredictor) -> EmotionPredictor:
    """The predictor itself, an embedded one that is shared, or one loaded from a folder or Hub id."""
    if isinstance(model, EmotionPredictor):
        return model
    return (
        embedded_predictor(str(model))
        if str(model) in embedded_checkpoints()
        else EmotionPredictor.from_pretrained(model)
    )


def _backend_for(method: Method, predictor: EmotionPredictor, metrics: str) -> EmotionPredictor:
    """The predictor on the backend that the method wants. Raises InputError and MissingDependencyError where the method needs torch and cannot have it."""
    if isinstance(predictor.backend, TorchBackend) or (
        method.torch == "unused" and metrics != "full"
    ):  # full scores shuffle the weights
        return predictor
    if (explained := _on_torch(predictor)) is not None:
        return explained
    if not method.needs_torch:
        return predictor
    if find_spec("torch") is None:
        raise missing_extra(method.title, method.extra)
    kind = type(predictor.backend).__name__.removesuffix("Backend")
    raise InputError(
        f"{method.title} needs the torch backend, and this predictor of a single file or of parts runs {kind}. "
        "Use method='lime' or method='shap', or load the checkpoint with from_pretrained"
    )


def _on_torch(predictor: EmotionPredictor) -> EmotionPredictor | None:
    """The predictor's checkpoint on torch; None where torch is not installed, and for a predictor that did not come from a checkpoint."""
    if isinstance(predictor.backend, TorchBackend):
        return predictor
    if predictor.backend_name not in BACKENDS or find_spec("torch") is None:
        return None
    try:
        return predictor.with_backend("torch")
    except (InputError, MissingFileError):  # read from a single file; a checkpoint that holds its ONNX file alone
        return None


def _scored(
    subject: Subject, method: Method, options: Mapping[str, Any], found: Relevance, metrics: str
) -> dict[str, Any]:
    if metrics == "none":
        return {}
    result: dict[str, Any] = {
        **map_metrics.deletion_insertion(subject, found.heatmap),
        "sparseness": map_metrics.sparseness(found.heatmap),
        "regions": shares(found.heatmap),
    }
    if metrics == "full":
        run = partial(method.run, **options)
        again = (lambda seed: partial(method.run, **{**options, "seed": seed})) if "seed" in method.options else None
        result["stability"] = map_metrics.stability(subject, run, found, again=again)
        result["discrimination"] = map_metrics.discrimination(subject, run, found)
        if isinstance(subject.predictor.backend, TorchBackend):
            result["randomisation"] = map_metrics.randomisation(subject, run, found)
    return result
