"""Names to networks: `create_model` and `list_models`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from emotion_hub.errors import ConfigError, UnknownModelError
from emotion_hub.models.cnn48 import EmotionCNN, EnhancedCNN48
from emotion_hub.models.transfer48 import ResNet18At48, vgg16_48, vgg19_48
from emotion_hub.models.transfer224 import mobilenetv2_224

__all__ = ["ModelEntry", "create_model", "get_entry", "list_models"]


@dataclass(frozen=True)
class ModelEntry:
    """A network the registry can build and the preprocessing it was designed for."""

    build: Callable[..., nn.Module]
    preprocessing: str
    summary: str


_REGISTRY: dict[str, ModelEntry] = {
    "emotion_cnn": ModelEntry(EmotionCNN, "native48", "four convolution blocks, 1.57M parameters"),
    "enhanced_cnn48": ModelEntry(EnhancedCNN48, "native48", "twelve convolutions, five-layer head, 6.67M parameters"),
    "mobilenetv2_224": ModelEntry(mobilenetv2_224, "upscale224", "timm's MobileNetV2, one linear head, 2.23M parameters"),
    "resnet18_48": ModelEntry(ResNet18At48, "rgb48", "ResNet-18 with a 3x3 stem and no max pool, 11.3M parameters"),
    "vgg16_48": ModelEntry(vgg16_48, "rgb48", "VGG16's first four blocks, average pool, 8.42M parameters"),
    "vgg19_48": ModelEntry(vgg19_48, "rgb48", "VGG19's first four blocks, average pool, 11.4M parameters"),
}


def list_models(preprocessing: str | None = None) -> list[str]:
    """Registered names, sorted; with `preprocessing`, only those designed for it."""
    return sorted(n for n, e in _REGISTRY.items() if preprocessing in (None, e.preprocessing))


def get_entry(name: str) -> ModelEntry:
    """The registry entry; raises UnknownModelError listing the valid names."""
    if not isinstance(name, str) or name not in _REGISTRY:
        raise UnknownModelError(f"no network {name!r}; choose from {', '.join(list_models())}")
    return _REGISTRY[name]


def create_model(name: str, num_classes: int = 7, **options: Any) -> nn.Module:
    """A network with random weights: normalised pixels float32 (N, C, H, W) -> logits (N, num_classes).

    `options` go to the network's constructor (`dropout`). Raises UnknownModelError for a name that is not
    registered and ConfigError for a class count below 2 or an option the network does not have or take.
    """
    entry = get_entry(name)
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 2:
        raise ConfigError(f"num_classes={num_classes!r}: a classifier needs a whole number of at least 2")
    known = [p for p in inspect.signature(entry.build).parameters if p != "num_classes"]
    if unknown := sorted(set(options) - set(known)):
        raise ConfigError(f"{name} has no option {', '.join(map(repr, unknown))}; it takes {', '.join(known)}")
    try:
        return entry.build(num_classes=num_classes, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} cannot be built with {options}: {error}") from error
