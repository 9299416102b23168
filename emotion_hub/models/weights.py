"""Tensors from one network's keys to another's: what fits is copied bit for bit, what stays behind is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from emotion_hub.errors import CheckpointError

__all__ = [
    "WeightTransfer",
    "adapt_filters",
    "by_layers",
    "by_names",
    "mobilenetv1_from_layers",
    "mobilenetv2_from_torchvision",
]


@dataclass(frozen=True)
class WeightTransfer:
    """What a conversion of starting weights did: tensors by name, and the keys that stayed behind on either side.

    `origins` says where a tensor was cut from, for those that were not copied whole.
    """

    tensors: dict[str, torch.Tensor]
    copied: tuple[str, ...]
    unmapped_source: tuple[str, ...]
    unmapped_target: tuple[str, ...]
    origins: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tensors: dict[str, torch.Tensor],
        used: set[str],
        source: Mapping[str, torch.Tensor],
        model: nn.Module,
        origins: Sequence[str] = (),
    ) -> WeightTransfer:
        """The account of these tensors, taken from the `used` keys of `source`."""
        fresh = tuple(k for k in model.state_dict() if k not in tensors)
        return cls(tensors, tuple(tensors), tuple(k for k in source if k not in used), fresh, tuple(origins))


def by_names(source: Mapping[str, torch.Tensor], model: nn.Module, prefix: str = "") -> WeightTransfer:
    """Every tensor whose key, after `prefix` on the network's side, and shape are the network's; the head's never are taken for the backbone's."""
    target = model.state_dict()
    found = {f"{prefix}{key}": value for key, value in source.items()}
    tensors = {
        key: value.detach().clone()
        for key, value in found.items()
        if key in target and target[key].shape == value.shape
    }
    return WeightTransfer.of(tensors, {key.removeprefix(prefix) for key in tensors}, source, model)


def by_layers(
    source: Mapping[str, torch.Tensor], model: nn.Module, pairs: Sequence[tuple[str, str]], what: str
) -> WeightTransfer:
    """Tensors of (their layer, our layer) pairs; raises CheckpointError when the source lacks a layer or a shape differs."""
    target = model.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    used: set[str] = set()
    for theirs, ours in pairs:
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            key, name = f"{theirs}.{leaf}", f"{ours}.{leaf}"
            if name not in target:
                continue
            if key not in source:
                if leaf == "num_batches_tracked":  # a counter, not a weight; some exports leave it out
                    continue
                raise CheckpointError(f"the starting weights lack {key!r}; expected {what}")
            if source[key].shape != target[name].shape:
                raise CheckpointError(
                    f"{key!r} has shape {tuple(source[key].shape)}, the network wants {tuple(target[name].shape)}"
                )
            tensors[name] = source[key].detach().clone()
            used.add(key)
    return WeightTransfer.of(tensors, used, source, model)


def mobilenetv2_from_torchvision(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """timm tensors from torchvision's `mobilenet_v2` keys, bit for bit; the classifier stays behind.

    Raises CheckpointError when the source lacks a layer or a shape differs.
    """
    pairs = [("features.0.0", "conv_stem"), ("features.0.1", "bn1")]
    index = 1
    for s, stage in enumerate(model.blocks):
        for b, block in enumerate(stage):
            ours, theirs = f"blocks.{s}.{b}", f"features.{index}.conv"
            if hasattr(block, "conv_pwl"):  # expand, depthwise, project
                layers = [
                    ("0.0", "conv_pw"),
                    ("0.1", "bn1"),
                    ("1.0", "conv_dw"),
                    ("1.1", "bn2"),
                    ("2", "conv_pwl"),
                    ("3", "bn3"),
                ]
            else:  # the first block has no expansion
                layers = [("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2")]
            pairs += [(f"{theirs}.{a}", f"{ours}.{b}") for a, b in layers]
            index += 1
    pairs += [(f"features.{index}.0", "conv_head"), (f"features.{index}.1", "bn2")]
    return by_layers(source, model, pairs, "torchvision's mobilenet_v2 state dict")


def mobilenetv1_from_layers(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """timm tensors from a MobileNetV1 of alternating depthwise and pointwise layers `features.N.0` (convolution) and `features.N.1` (batch norm)."""
    ours = [("conv_stem", "bn1")]
    for s, stage in enumerate(model.blocks):
        for b in range(len(stage)):
            ours += [
                (f"blocks.{s}.{b}.conv_dw", f"blocks.{s}.{b}.bn1"),
                (f"blocks.{s}.{b}.conv_pw", f"blocks.{s}.{b}.bn2"),
            ]
    pairs = [
        pair for n, (conv, norm) in enumerate(ours) for pair in ((f"features.{n}.0", conv), (f"features.{n}.1", norm))
    ]
    return by_layers(source, model, pairs, "a MobileNetV1 in layers features.0 to features.26")


def adapt_filters(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """Starting filters for a 3x3 grayscale network from an RGB one (VGG16, ResNet-18): slices, in order, with their origins.

    The first convolution takes the mean over RGB of the first filters (the middle 3x3 of larger ones); each later one takes the leading
    slice of the source's next 3x3 convolution that is large enough. Raises CheckpointError when nothing fits.
    """
    theirs = [(key, value) for key, value in source.items() if value.ndim == 4]
    ours = [(f"{name}.weight", layer.weight) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    tensors: dict[str, torch.Tensor] = {}
    origins: list[str] = []
    used: set[str] = set()
    position = 0
    for number, (name, weight) in enumerate(ours):
        outputs, inputs = weight.shape[:2]
        for offset, (key, value) in enumerate(theirs[position:]):
            first = number == 0 and value.shape[1] == 3 and inputs == 1
            room = value.shape[0] >= outputs and (first or value.shape[1] >= inputs)
            height, width = value.shape[-2:]
            if not room or min(height, width) < 3 or ((height, width) != (3, 3) and not first):
                continue
            top, left = (height - 3) // 2, (width - 3) // 2
            crop = value[:outputs, :, top : top + 3, left : left + 3]
            tensors[name] = (crop.mean(dim=1, keepdim=True) if first else crop[:, :inputs]).detach().clone()
            origins.append(
                f"{name} {tuple(weight.shape)} from {key} {tuple(value.shape)}" + (", mean over RGB" if first else "")
            )
            used.add(key)
            position += offset + 1
            break
    if not tensors:
        raise CheckpointError(
            "no convolution of the starting weights is large enough for this network; expected VGG16's or ResNet-18's state dict"
        )
    return WeightTransfer.of(tensors, used, source, model, origins)
