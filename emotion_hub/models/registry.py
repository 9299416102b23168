"""Network registry: builder, input, starting weights and CAM layer by name.

Nothing here imports torch before a network is built, so that names can be listed without it. The module is longer than
others because the table of all networks stands in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_hub.errors import ConfigError, UnknownModelError, missing_extra
from emotion_hub.lazy import load_attribute

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelEntry", "StartingWeights", "create_model", "get_entry", "list_models", "load_function"]


@dataclass(frozen=True)
class StartingWeights:
    """Published weights that a network can start from: `name` in `library` ("timm" or "torchvision"), their licence.

    `convert` is the "module:function" in `emotion_hub.models` that maps their state dict to the network's tensors.
    `layouts` gives another one for files of another origin: {a key that only such a file has: "module:function"}.
    `random` lists tensors of the backbone that have no counterpart in them.
    """

    library: str
    name: str
    licence: str
    convert: str = "weights:copy_backbone"
    layouts: Mapping[str, str] = field(default_factory=dict)
    random: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelEntry:
    """A network: where its code is, its input, its starting weights, and the layer that class activation maps read.

    `home` is the "module:function" in `emotion_hub.models` that builds it, called with `num_classes`, `fixed` and the
    caller's options. `preprocessing` names the input specification in `emotion_hub.preprocess.PREPROCESSING`.
    `target_layer` is a module's name; "timm" derives it from timm's `feature_info`, "members" from the members.
    """

    home: str
    preprocessing: str
    family: str
    summary: str
    target_layer: str
    start: StartingWeights | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the network's own options, such as `dropout`. Raises MissingDependencyError without torch."""
        names = inspect.signature(load_function(self.home)).parameters
        return tuple(name for name in names if name not in ("num_classes", *self.fixed))

    def build(self, num_classes: int, **options: Any) -> nn.Module:
        """The network with random weights. Raises MissingDependencyError without torch."""
        return load_function(self.home)(num_classes=num_classes, **self.fixed, **options)


def load_function(home: str) -> Callable[..., Any]:
    """The function or class named "module:name" in `emotion_hub.models`, whose module is imported now.

    Raises MissingDependencyError where torch is not installed.
    """
    try:
        return load_attribute("emotion_hub.models", home)
    except ModuleNotFoundError as error:
        raise missing_extra("this network", "torch", error) from error


def _ensemble(preprocessing: str) -> ModelEntry:
    summary = f"the mean of several networks on {preprocessing}"
    fixed = {"preprocessing": preprocessing}
    return ModelEntry("ensemble:build_ensemble", preprocessing, "ensemble", summary, "members", fixed=fixed)


def _timm(backbone: str, family: str, licence: str = "apache-2.0") -> ModelEntry:
    """Any network of timm under the technical report's two-layer head, on the 224-pixel upscale."""
    start, fixed = StartingWeights("timm", backbone, licence), {"backbone": backbone}
    summary = f"timm's {backbone}, two-layer head"
    return ModelEntry("transfer224:TimmAt224", "upscale224", family, summary, "timm", start, fixed)


_MOBILENETV1 = StartingWeights(
    "timm",
    "mobilenetv1_100",
    "apache-2.0",
    layouts={"features.0.0.weight": "weights:mobilenetv1_from_layers"},
)

#: Licences are those that timm and torchvision state for the weights or, where they state none, for the repository.
_REGISTRY: dict[str, ModelEntry] = {
    "alexnet_224": ModelEntry(
        "transfer224:alexnet_224",
        "upscale224",
        "AlexNet",
        "AlexNet's convolutions, four-layer head, 44.7M parameters",
        "features.11",
        StartingWeights("torchvision", "alexnet", "bsd-3-clause"),
    ),
    "convnext_base_224": _timm("convnext_base", "ConvNeXt"),
    "efficientnet_b3_224": _timm("tf_efficientnet_b3", "EfficientNet"),
    "emotion_cnn": ModelEntry(
        "cnn48:EmotionCNN", "native48", "plain CNN", "four convolution blocks, 1.57M parameters", "features.14"
    ),
    "enhanced_cnn48": ModelEntry(
        "cnn48:EnhancedCNN48",
        "native48",
        "plain CNN",
        "twelve convolutions, five-layer head, 6.67M parameters",
        # the fourth of five blocks: the last one has 3x3 positions, and on 42 validation faces deleting what its map
        # shows took half as much from the prediction
        "features.35",
        StartingWeights("torchvision", "vgg16", "bsd-3-clause", convert="weights:adapt_filters"),
    ),
    "ensemble_native48": _ensemble("native48"),
    "ensemble_rgb48": _ensemble("rgb48"),
    "ensemble_upscale224": _ensemble("upscale224"),
    "mobilenetv1_224": ModelEntry(
        "transfer224:mobilenetv1_224",
        "upscale224",
        "MobileNet",
        "timm's MobileNetV1, one linear head, 3.21M parameters",
        "timm",
        _MOBILENETV1,
    ),
    "mobilenetv1_48": ModelEntry(
        "transfer48:MobileNetV1At48",
        "rgb48",
        "MobileNet",
        "timm's MobileNetV1 with a stem of stride 1, 3.21M parameters",
        # the fourth of five stages: the last one has 3x3 positions
        "blocks.3",
        _MOBILENETV1,
    ),
    "mobilenetv2_224": ModelEntry(
        "transfer224:mobilenetv2_224",
        "upscale224",
        "MobileNet",
        "timm's MobileNetV2, one linear head, 2.23M parameters",
        "timm",
        StartingWeights(
            "timm",
            "mobilenetv2_100",
            "apache-2.0",
            layouts={"features.0.0.weight": "weights:mobilenetv2_from_torchvision"},
        ),
    ),
    "resnet18_48": ModelEntry(
        "transfer48:ResNet18At48",
        "rgb48",
        "ResNet",
        "ResNet-18 with a 3x3 stem and no max pool, 11.3M parameters",
        "layer4.1",
        StartingWeights("torchvision", "resnet18", "bsd-3-clause", random=("conv1.weight",)),
    ),
    "resnet50_224": _timm("resnet50", "ResNet"),
    "squeezenet1_1_224": ModelEntry(
        "transfer224:squeezenet1_1_224",
        "upscale224",
        "SqueezeNet",
        "SqueezeNet 1.1, one linear head, 0.73M parameters",
        "features.12",
        StartingWeights("torchvision", "squeezenet1_1", "bsd-3-clause"),
    ),
    "timm_224": ModelEntry(
        "transfer224:timm_224",
        "upscale224",
        "any of timm",
        "any timm backbone (option backbone), two-layer head",
        "timm",
    ),
    "vgg16_224": ModelEntry(
        "transfer224:vgg16_224",
        "upscale224",
        "VGG",
        "VGG16's convolutions, four-layer head, 121.9M parameters",
        "features.29",
        StartingWeights("torchvision", "vgg16", "bsd-3-clause"),
    ),
    "vgg16_48": ModelEntry(
        "transfer48:vgg16_48",
        "rgb48",
        "VGG",
        "VGG16's first four blocks, average pool, 8.42M parameters",
        "features.22",
        StartingWeights("torchvision", "vgg16", "bsd-3-clause"),
    ),
    "vgg19_224": ModelEntry(
        "transfer224:vgg19_224",
        "upscale224",
        "VGG",
        "VGG19's convolutions, four-layer head, 127.2M parameters",
        "features.35",
        StartingWeights("torchvision", "vgg19", "bsd-3-clause"),
    ),
    "vgg19_48": ModelEntry(
        "transfer48:vgg19_48",
        "rgb48",
        "VGG",
        "VGG19's first four blocks, average pool, 11.4M parameters",
        "features.26",
        StartingWeights("torchvision", "vgg19", "bsd-3-clause"),
    ),
    "vit_base_224": _timm("vit_base_patch16_224", "ViT"),
}


def list_models(preprocessing: str | None = None) -> list[str]:
    """Registered names, sorted; with `preprocessing`, only those whose input it is."""
    return sorted(n for n, e in _REGISTRY.items() if preprocessing in (None, e.preprocessing))


def get_entry(name: str) -> ModelEntry:
    """The registry entry; raises UnknownModelError listing the valid names."""
    if not isinstance(name, str) or name not in _REGISTRY:
        raise UnknownModelError(f"no network {name!r}; choose from {', '.join(list_models())}")
    return _REGISTRY[name]


def create_model(
    name: str, num_classes: int = 7, *, pretrained: bool | str | Path = False, **options: Any
) -> nn.Module:
    """A network that maps normalised pixels, float32 (N, C, H, W), to logits, (N, num_classes).

    Its weights are random unless `pretrained` is given: True downloads what torchvision or timm publish, a path reads a
    local file; see `load_pretrained`. `options` go to the network's constructor (`dropout`). The name is kept as the
    network's attribute `registry_name`.

    Raises UnknownModelError for a name that is not registered, ConfigError for a class count below 2 or an option that
    the network does not have or accept, CheckpointError for starting weights that are not available or do not fit, and
    MissingDependencyError without torch.
    """
    entry = get_entry(name)
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 2:
        raise ConfigError(f"num_classes={num_classes!r}: a classifier needs a whole number of at least 2")
    if unknown := sorted(set(options) - set(entry.options)):
        raise ConfigError(f"{name} has no option {', '.join(map(repr, unknown))}; it takes {', '.join(entry.options)}")
    try:
        model = entry.build(num_classes, **options)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"{name} cannot be built with {options}: {error}") from error
    setattr(model, "registry_name", name)  # noqa: B010  torch's stubs know tensors and modules as attributes alone
    if pretrained is not False:
        load_function("pretrained:load_pretrained")(name, model, pretrained)
    return model
