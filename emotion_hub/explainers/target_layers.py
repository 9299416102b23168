"""Which layer a class activation map is read from, for every network of the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.models.cnn48 import EmotionCNN, EnhancedCNN48
from emotion_hub.models.ensemble import Ensemble
from emotion_hub.models.transfer48 import ResNet18At48, Vgg48
from emotion_hub.models.transfer224 import ClassicAt224, SqueezeNetAt224, TimmAt224

__all__ = ["TargetLayer", "target_layers", "transformer_of"]


@dataclass(frozen=True)
class TargetLayer:
    """A module, its name in the network and how its output becomes maps, (N, channels, h, w)."""

    name: str
    module: nn.Module
    maps: Callable[[torch.Tensor], torch.Tensor]


def target_layers(network: nn.Module, layer: str | None = None) -> list[TargetLayer]:
    """The last layer that still knows where things are: one, or one for each member of an ensemble.

    The last convolution block of the 48-pixel networks, VGG and AlexNet after its ReLU, but the fourth of EnhancedCNN's five: the last has nine places
    in all, and on 42 validation faces its map took half as much from the prediction when what it shows was deleted. `layer4[-1]` of ResNets, the
    last stage of ConvNeXt, the last convolution before the pool of the MobileNets and EfficientNet, the first norm of a ViT's last block.
    `layer` names another module of the network. Raises InputError for one it does not have.
    """
    if layer is not None:
        return [TargetLayer(layer, _submodule(network, layer), _maps)]
    if isinstance(network, Ensemble):
        found = []
        for i, member in enumerate(network.members):
            found += [TargetLayer(f"members.{i}.{t.name}", t.module, t.maps) for t in target_layers(member)]
        return found
    if isinstance(network, EnhancedCNN48):
        pools = [int(name) for name, m in network.features.named_children() if isinstance(m, nn.MaxPool2d)]
        name = f"features.{max(int(name) for name, m in network.features.named_children() if isinstance(m, nn.ReLU) and int(name) < pools[3])}"
    elif isinstance(network, EmotionCNN | Vgg48 | ClassicAt224):
        name = "features." + max(
            (name for name, m in network.features.named_children() if isinstance(m, nn.ReLU)), key=int
        )
    elif isinstance(network, ResNet18At48):
        name = f"layer4.{len(network.layer4) - 1}"
    elif isinstance(network, SqueezeNetAt224):
        name = f"features.{len(network.features) - 1}"
    elif isinstance(network, TimmAt224):
        return [_of_timm(network.backbone, "backbone.")]
    else:
        return [_of_timm(network)]
    return [TargetLayer(name, network.get_submodule(name), _maps)]


def transformer_of(network: nn.Module) -> nn.Module | None:
    """timm's VisionTransformer inside the network, None where there is none or its blocks have several attentions side by side."""
    from timm.models.vision_transformer import VisionTransformer

    backbone = network.backbone if isinstance(network, TimmAt224) else network
    usual = isinstance(backbone, VisionTransformer) and all(
        hasattr(block, "attn") and hasattr(block, "norm1") for block in backbone.blocks
    )
    return backbone if usual else None


def _of_timm(backbone: nn.Module, prefix: str = "") -> TargetLayer:
    if (vit := transformer_of(backbone)) is not None:
        name = f"blocks.{len(vit.blocks) - 1}.norm1"
        tokens, grid = vit.num_prefix_tokens, vit.patch_embed.grid_size
        return TargetLayer(
            prefix + name, vit.get_submodule(name), lambda x: x[:, tokens:].transpose(1, 2).unflatten(2, grid)
        )
    known = getattr(backbone, "feature_info", None)
    if known is None:
        raise InputError(
            f"no target layer is known for {type(backbone).__name__}; name one with layer=, of {_some(backbone)}"
        )
    last = known[-1] if isinstance(known, list) else known.get_dicts()[-1]
    name, channels = last["module"], last["num_chs"]
    if isinstance(getattr(backbone, "conv_head", None), nn.Conv2d) and isinstance(
        getattr(backbone, "bn2", None), nn.BatchNorm2d
    ):
        name, channels = (
            "bn2",
            backbone.conv_head.out_channels,
        )  # EfficientNet and MobileNetV2 widen once more before the pool
    elif name.startswith("layer") and isinstance(module := backbone.get_submodule(name), nn.Sequential):
        name = f"{name}.{len(module) - 1}"

    def maps(x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2) if x.ndim == 4 and x.shape[1] != channels and x.shape[3] == channels else _maps(x)

    return TargetLayer(prefix + name, backbone.get_submodule(name), maps)


def _maps(x: torch.Tensor) -> torch.Tensor:
    if not isinstance(x, torch.Tensor) or x.ndim != 4:
        shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        raise InputError(
            f"the layer's output has shape {shape}; a class activation map needs (N, channels, h, w), as convolutions give"
        )
    return x


def _submodule(network: nn.Module, name: str) -> nn.Module:
    try:
        found = network.get_submodule(name)
    except AttributeError:
        found = None
    if not name or found is None:
        raise InputError(f"{type(network).__name__} has no layer {name!r}; its last are {_some(network)}")
    return found


def _some(network: nn.Module) -> str:
    spatial = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
    return ", ".join([name for name, module in network.named_modules() if isinstance(module, spatial)][-8:])
