"""Names to networks: `create_model` and `list_models`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from emotion_hub.errors import ConfigError, UnknownModelError
from emotion_hub.models.cnn48 import EmotionCNN, EnhancedCNN48
from emotion_hub.models.ensemble import Ensemble
from emotion_hub.models.pretrained import load_pretrained
from emotion_hub.models.transfer48 import ResNet18At48, vgg16_48, vgg19_48
from emotion_hub.models.transfer224 import (
    BACKBONES,
    TimmAt224,
    alexnet_224,
    mobilenetv1_224,
    mobilenetv2_224,
    squeezenet1_1_224,
    timm_224,
    vgg16_224,
    vgg19_224,
)

__all__ = ["ModelEntry", "create_model", "get_entry", "list_models"]


@dataclass(frozen=True)
class ModelEntry:
    """A network the registry can build and the preprocessing it was designed for."""

    build: Callable[..., nn.Module]
    preprocessing: str
    summary: str


def _ensemble(preprocessing: str) -> ModelEntry:
    def build(num_classes: int = 7, members: Sequence[Mapping[str, Any]] = ()) -> nn.Module:
        def member(name: str, num_classes: int, **options: Any) -> nn.Module:
            if get_entry(name).preprocessing != preprocessing:
                raise ConfigError(
                    f"{name} works on {get_entry(name).preprocessing}; the members of ensemble_{preprocessing} all work on {preprocessing}"
                )
            return create_model(name, num_classes, **options)

        return Ensemble.build(member, num_classes, members)

    return ModelEntry(build, preprocessing, f"the mean of several networks on {preprocessing}")


_REGISTRY: dict[str, ModelEntry] = {
    "alexnet_224": ModelEntry(alexnet_224, "upscale224", "AlexNet's convolutions, four-layer head, 44.7M parameters"),
    "emotion_cnn": ModelEntry(EmotionCNN, "native48", "four convolution blocks, 1.57M parameters"),
    "enhanced_cnn48": ModelEntry(EnhancedCNN48, "native48", "twelve convolutions, five-layer head, 6.67M parameters"),
    "ensemble_native48": _ensemble("native48"),
    "ensemble_rgb48": _ensemble("rgb48"),
    "ensemble_upscale224": _ensemble("upscale224"),
    "mobilenetv1_224": ModelEntry(
        mobilenetv1_224, "upscale224", "timm's MobileNetV1, one linear head, 3.21M parameters"
    ),
    "mobilenetv2_224": ModelEntry(
        mobilenetv2_224, "upscale224", "timm's MobileNetV2, one linear head, 2.23M parameters"
    ),
    "resnet18_48": ModelEntry(ResNet18At48, "rgb48", "ResNet-18 with a 3x3 stem and no max pool, 11.3M parameters"),
    "squeezenet1_1_224": ModelEntry(
        squeezenet1_1_224, "upscale224", "SqueezeNet 1.1, one linear head, 0.73M parameters"
    ),
    "timm_224": ModelEntry(timm_224, "upscale224", "any timm backbone (option backbone), two-layer head"),
    "vgg16_224": ModelEntry(vgg16_224, "upscale224", "VGG16's convolutions, four-layer head, 121.9M parameters"),
    "vgg16_48": ModelEntry(vgg16_48, "rgb48", "VGG16's first four blocks, average pool, 8.42M parameters"),
    "vgg19_224": ModelEntry(vgg19_224, "upscale224", "VGG19's convolutions, four-layer head, 127.2M parameters"),
    "vgg19_48": ModelEntry(vgg19_48, "rgb48", "VGG19's first four blocks, average pool, 11.4M parameters"),
    **{
        name: ModelEntry(partial(TimmAt224, backbone), "upscale224", f"timm's {backbone}, two-layer head")
        for name, backbone in BACKBONES.items()
    },
}


def list_models(preprocessing: str | None = None) -> list[str]:
    """Registered names, sorted; with `preprocessing`, only those designed for it."""
    return sorted(n for n, e in _REGISTRY.items() if preprocessing in (None, e.preprocessing))


def get_entry(name: str) -> ModelEntry:
    """The registry entry; raises UnknownModelError listing the valid names."""
    if not isinstance(name, str) or name not in _REGISTRY:
        raise UnknownModelError(f"no network {name!r}; choose from {', '.join(list_models())}")
    return _REGISTRY[name]


def create_model(
    name: str, num_classes: int = 7, *, pretrained: bool | str | Path = False, **options: Any
) -> nn.Module:
    """A network: normalised pixels float32 (N, C, H, W) -> logits (N, num_classes). Its weights are random, but for `pretrained`.

    `pretrained` True downloads what torchvision or timm publish, a path reads a local file; see `load_pretrained`. `options` go to the
    network's constructor (`dropout`). Raises UnknownModelError for a name that is not registered, ConfigError for a class count below 2
    or an option the network does not have or take, and CheckpointError for starting weights that cannot be had or do not fit.
    """
    entry = get_entry(name)
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 2:
        raise ConfigError(f"num_classes={num_classes!r}: a classifier needs a whole number of at least 2")
    known = [p for p in inspect.signature(entry.build).parameters if p != "num_classes"]
    if unknown := sorted(set(options) - set(known)):
        raise ConfigError(f"{name} has no option {', '.join(map(repr, unknown))}; it takes {', '.join(known)}")
    try:
        model = entry.build(num_classes=num_classes, **options)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"{name} cannot be built with {options}: {error}") from error
    if pretrained is not False:
        load_pretrained(name, model, pretrained)
    return model
