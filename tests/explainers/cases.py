"""Shared cases of the explainers' tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.explainers import Explanation, explain_face
from emotion_hub.explainers.pool import private_copy
from emotion_hub.labels import FER2013, LabelSet
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor

#: {case: (method, options)}: every method and explainer for convolutional networks, with few samples.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gradcam": ("gradcam", {}),
    "gradcam++": ("gradcam++", {}),
    "lime": ("lime", {"samples": 150}),
    "deep": ("shap", {"explainer": "deep", "background": 4}),
    "gradient": ("shap", {"explainer": "gradient", "background": 4, "samples": 40}),
    "partition": ("shap", {"explainer": "partition", "samples": 120}),
}
#: Cases that draw at random.
SEEDED = ("lime", "gradient")
#: Cases with a signed map.
SIGNED = ("lime", "deep", "gradient", "partition")
#: Cases that call `progress`.
WITH_PROGRESS = ("lime", "deep", "gradient", "partition")


def new_predictor(
    model: str = "emotion_cnn", labels: tuple[str, ...] = FER2013.labels, seed: int = 0, **options: Any
) -> EmotionPredictor:
    """A predictor on torch with random weights."""
    torch.manual_seed(seed)
    classifier = EmotionClassifier(ClassifierConfig(model, labels, options=options))
    return EmotionPredictor(TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name=model)


def timm_predictor(backbone: str, seed: int = 0) -> EmotionPredictor:
    """A predictor of the model timm_224 with a backbone of timm and random weights."""
    return new_predictor("timm_224", seed=seed, backbone=backbone, hidden=32)


def network_of(predictor: EmotionPredictor) -> nn.Module:
    """The network that predicts."""
    return predictor.backend.classifier.network


def noise_face(seed: int = 0) -> Image.Image:
    """A gray image of blobs about as large as facial features, so that superpixels have edges to follow."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


def with_batch_statistics(predictor: EmotionPredictor) -> EmotionPredictor:
    """The same predictor, with batch-norm statistics from noise, so that activations keep their scale."""
    classifier = predictor.backend.classifier
    for layer in classifier.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        classifier.train()(
            torch.from_numpy(predictor.preprocessor.batch([noise_face(seed) for seed in range(100, 106)]))
        )
    classifier.eval()
    return predictor


def explained(
    case: str, face: Image.Image, predictor: EmotionPredictor, target: str | None = None, **more: Any
) -> Explanation:
    """The explanation of a face for one of CASES, without metrics unless `more` says otherwise."""
    method, options = CASES[case]
    return explain_face(face, predictor, method, target, **{"metrics": "none", **options, **more})


def explained_by(
    method: str, face: Image.Image, predictor: EmotionPredictor, target: str | None = None, **options: Any
) -> Explanation:
    """The explanation of a face by a method of the registry, without metrics."""
    return explain_face(face, predictor, method, target, **{"metrics": "none", **options})


def face_logits(predictor: EmotionPredictor, face: Image.Image) -> np.ndarray:
    """float32, (num_classes,)."""
    return predictor.backend.logits(predictor.preprocessor.batch([face]))[0]


def run_with_timeout(seconds: float, call: Callable[[], Any]) -> Any:
    """Returns or raises what `call` does, on another thread; fails when it takes longer than `seconds`."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            results.append(error)

    threading.Thread(target=run, daemon=True).start()
    pause = threading.Event()
    for _ in range(int(seconds * 100)):
        if results:
            break
        pause.wait(0.01)
    assert results, f"still running after {seconds} seconds"
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def copy_of(network: nn.Module) -> nn.Module:
    """The private copy that the next caller gets."""
    with private_copy(network) as private:
        return private


class BlockBrightnessBackend:
    """A backend without torch: the first class's logit is twice the mean brightness of one block, the other is 0."""

    num_parameters = 0

    def __init__(self, block: tuple[slice, slice] = np.s_[30:42, 8:20], channels: int = 1) -> None:
        self.block, self.channels = block, channels

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        assert pixel_values.dtype == np.float32
        value = pixel_values[(slice(None), slice(None), *self.block)].mean(axis=(1, 2, 3))
        return np.stack([2 * value, 0 * value], axis=1).astype(np.float32)


def predictor_without_torch(backend: object | None = None, preprocessing: str = "native48") -> EmotionPredictor:
    """A predictor of two classes on a backend without torch, by default BlockBrightnessBackend."""
    return EmotionPredictor(
        backend or BlockBrightnessBackend(),
        LabelSet("two", ("happy", "sad")),
        Preprocessor(preprocessing),
        name="block_brightness",
    )


def assert_is_map(explanation: Explanation, size: int) -> None:
    """The heatmap is float32, (size, size), finite and in 0..1, and there is no signed map."""
    assert (explanation.heatmap.shape, explanation.heatmap.dtype) == ((size, size), np.float32)
    assert np.isfinite(explanation.heatmap).all()
    assert explanation.heatmap.min() >= 0
    assert explanation.heatmap.max() <= 1
    assert explanation.signed is None
