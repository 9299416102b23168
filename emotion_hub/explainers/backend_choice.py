"""Backend of an explanation: torch for methods that need gradients or layers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from emotion_hub.backend_names import BACKENDS
from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError, MissingFileError, missing_extra
from emotion_hub.explainers.registry import Method
from emotion_hub.predictor import EmotionPredictor

__all__ = ["on_torch", "predictor_for"]


def predictor_for(method: Method, options: Mapping[str, Any], predictor: EmotionPredictor) -> EmotionPredictor:
    """The predictor on the backend that the method needs: torch for gradients and layers, else its own backend.

    A method that only runs the network, and the metrics of a map, run on the backend that predicts, which is ONNX
    Runtime by default and several times as fast as torch. Raises InputError when the method needs torch and the
    predictor has no checkpoint to load on it, and MissingDependencyError when torch is not installed.
    """
    if method.only_runs_network(options) or isinstance(predictor.backend, TorchBackend):
        return predictor
    if (loaded := on_torch(predictor)) is not None:
        return loaded
    if not method.needs_torch:
        return predictor
    if find_spec("torch") is None:
        raise missing_extra(method.title, method.extra)
    runtime = type(predictor.backend).__name__.removesuffix("Backend")
    raise InputError(
        f"{method.title} needs the torch backend, and this predictor has no checkpoint to load on it: it runs "
        f"{runtime}. Use method='lime' or method='shap', or load the checkpoint with from_pretrained"
    )


def on_torch(predictor: EmotionPredictor) -> EmotionPredictor | None:
    """The predictor on the torch backend; None when torch is not installed or there is no checkpoint to load on it."""
    if isinstance(predictor.backend, TorchBackend):
        return predictor
    if predictor.backend_name not in BACKENDS or find_spec("torch") is None:
        return None
    try:
        return predictor.with_backend("torch")
    except (InputError, MissingFileError):  # a single ONNX file; a checkpoint that has only its ONNX file
        return None
