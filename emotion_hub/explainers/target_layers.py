"""Target layers of class activation maps, from the registry or timm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.models.ensemble import Ensemble
from emotion_hub.models.registry import get_entry
from emotion_hub.models.transfer224 import TimmAt224

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

__all__ = ["TargetLayer", "is_transformer", "target_layers", "transformer_of"]


@dataclass(frozen=True)
class TargetLayer:
    """A module, its name in the network, and the function that turns its output into maps, (N, channels, h, w)."""

    name: str
    module: nn.Module
    maps: Callable[[torch.Tensor], torch.Tensor]


def target_layers(network: nn.Module, layer: str | None = None) -> list[TargetLayer]:
    """The last layer whose output has spatial positions: one per network, or one per member of an ensemble.

    It is the model registry's `target_layer`. For networks that are not registered, and where the registry says
    "timm", it is taken from timm's `feature_info`: `layer4[-1]` of ResNets, the last stage of ConvNeXt, the last
    convolution before the pool of MobileNets and EfficientNet, the first norm of a ViT's last block. `layer` names
    another module of the network. Raises InputError for a module that the network does not have, and for a network
    without any of this information.
    """
    if layer is not None:
        return [TargetLayer(layer, _submodule(network, layer), _spatial_maps)]
    if isinstance(network, Ensemble):
        return [
            TargetLayer(f"members.{i}.{t.name}", t.module, t.maps)
            for i, member in enumerate(network.members)
            for t in target_layers(member)
        ]
    registered = getattr(network, "registry_name", None)
    name = get_entry(registered).target_layer if registered else "timm"
    if name != "timm":
        return [TargetLayer(name, network.get_submodule(name), _spatial_maps)]
    if isinstance(network, TimmAt224):
        return [_timm_layer(network.backbone, "backbone.")]
    return [_timm_layer(network)]


def transformer_of(network: nn.Module) -> VisionTransformer | None:
    """timm's VisionTransformer in the network; None if there is none, or if its blocks hold parallel attentions."""
    from timm.models.vision_transformer import VisionTransformer

    backbone = network.backbone if isinstance(network, TimmAt224) else network
    if not isinstance(backbone, VisionTransformer):
        return None
    sequential = all(hasattr(block, "attn") and hasattr(block, "norm1") for block in backbone.blocks)
    return backbone if sequential else None


def is_transformer(network: nn.Module) -> bool:
    """Whether attention rollout applies to the network: one vision transformer of timm."""
    return transformer_of(network) is not None


def _timm_layer(backbone: nn.Module, prefix: str = "") -> TargetLayer:
    """The target layer of a network of timm; `prefix` is put before its name."""
    if (vit := transformer_of(backbone)) is not None:
        name = f"blocks.{len(vit.blocks) - 1}.norm1"
        tokens, grid = vit.num_prefix_tokens, vit.patch_embed.grid_size
        return TargetLayer(
            prefix + name, vit.get_submodule(name), lambda x: x[:, tokens:].transpose(1, 2).unflatten(2, grid)
        )
    feature_info = getattr(backbone, "feature_info", None)
    if feature_info is None:
        raise InputError(
            f"no target layer is known for {type(backbone).__name__}; name one with layer=, of {_last_layers(backbone)}"
        )
    last = feature_info[-1] if isinstance(feature_info, list) else feature_info.get_dicts()[-1]
    name, channels = last["module"], last["num_chs"]
    head, norm = getattr(backbone, "conv_head", None), getattr(backbone, "bn2", None)
    if isinstance(head, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        # EfficientNet and MobileNetV2 have one more convolution before the pool, which feature_info leaves out
        name, channels = "bn2", head.out_channels
    elif name.startswith("layer") and isinstance(stage := backbone.get_submodule(name), nn.Sequential):
        name = f"{name}.{len(stage) - 1}"

    def maps(x: torch.Tensor) -> torch.Tensor:
        channels_last = x.ndim == 4 and x.shape[1] != channels and x.shape[3] == channels
        return x.permute(0, 3, 1, 2) if channels_last else _spatial_maps(x)

    return TargetLayer(prefix + name, backbone.get_submodule(name), maps)


def _spatial_maps(x: torch.Tensor) -> torch.Tensor:
    """The output itself, (N, channels, h, w); raises InputError for any other shape."""
    if not isinstance(x, torch.Tensor) or x.ndim != 4:
        shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        raise InputError(
            f"the layer's output has shape {shape}; a class activation map needs (N, channels, h, w), as a convolution "
            "gives; name another layer"
        )
    return x


def _submodule(network: nn.Module, name: str) -> nn.Module:
    try:
        module = network.get_submodule(name)
    except AttributeError:
        module = None
    if not name or module is None:
        raise InputError(f"{type(network).__name__} has no layer {name!r}; its last layers are {_last_layers(network)}")
    return module


def _last_layers(network: nn.Module) -> str:
    """The names of the last eight layers with spatial positions, for a message."""
    spatial = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
    return ", ".join([name for name, module in network.named_modules() if isinstance(module, spatial)][-8:])
