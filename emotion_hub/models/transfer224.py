"""Networks that work on the 224-pixel upscale, on timm's implementations and keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import timm
import torch
from torch import nn

from emotion_hub.errors import CheckpointError

__all__ = ["WeightTransfer", "mobilenetv2_224", "mobilenetv2_from_torchvision"]


def mobilenetv2_224(num_classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """timm's `mobilenetv2_100` with one linear head: float32 (N, 3, 224, 224) -> logits (N, num_classes)."""
    return timm.create_model("mobilenetv2_100", pretrained=False, num_classes=num_classes, drop_rate=dropout)


@dataclass(frozen=True)
class WeightTransfer:
    """What a conversion of starting weights did: tensors by name, and the keys that stayed behind on either side."""

    tensors: dict[str, torch.Tensor]
    copied: tuple[str, ...]
    unmapped_source: tuple[str, ...]
    unmapped_target: tuple[str, ...]


def mobilenetv2_from_torchvision(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """timm tensors from torchvision's `mobilenet_v2` keys, bit for bit; the classifier stays behind.

    Raises CheckpointError when the source lacks a layer or a shape differs.
    """
    target = model.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    used: set[str] = set()
    for theirs, ours in _layer_names(model):
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            key, name = f"{theirs}.{leaf}", f"{ours}.{leaf}"
            if name not in target:
                continue
            if key not in source:
                if leaf == "num_batches_tracked":  # a counter, not a weight; some exports leave it out
                    continue
                raise CheckpointError(f"the starting weights lack {key!r}; expected torchvision's mobilenet_v2 state dict")
            if source[key].shape != target[name].shape:
                raise CheckpointError(f"{key!r} has shape {tuple(source[key].shape)}, the network wants {tuple(target[name].shape)}")
            tensors[name] = source[key].detach().clone()
            used.add(key)
    return WeightTransfer(
        tensors=tensors,
        copied=tuple(tensors),
        unmapped_source=tuple(k for k in source if k not in used),
        unmapped_target=tuple(k for k in target if k not in tensors),
    )


def _layer_names(model: nn.Module) -> list[tuple[str, str]]:
    """(torchvision name, timm name) of every convolution and batch norm of MobileNetV2."""
    pairs = [("features.0.0", "conv_stem"), ("features.0.1", "bn1")]
    index = 1
    for s, stage in enumerate(model.blocks):
        for b, block in enumerate(stage):
            ours, theirs = f"blocks.{s}.{b}", f"features.{index}.conv"
            if hasattr(block, "conv_pwl"):  # expand, depthwise, project
                layers = [("0.0", "conv_pw"), ("0.1", "bn1"), ("1.0", "conv_dw"), ("1.1", "bn2"), ("2", "conv_pwl"), ("3", "bn3")]
            else:  # the first block has no expansion
                layers = [("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2")]
            pairs += [(f"{theirs}.{a}", f"{ours}.{b}") for a, b in layers]
            index += 1
    return [*pairs, (f"features.{index}.0", "conv_head"), (f"features.{index}.1", "bn2")]
