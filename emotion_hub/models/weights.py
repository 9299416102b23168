"""Transfer pretrained tensors between networks with different keys or shapes.

Tensors that fit are copied bit for bit; the keys of those that were not used are listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from emotion_hub.errors import CheckpointError

__all__ = [
    "WeightTransfer",
    "adapt_filters",
    "by_layers",
    "by_names",
    "copy_backbone",
    "mobilenetv1_from_layers",
    "mobilenetv2_from_torchvision",
]


@dataclass(frozen=True)
class WeightTransfer:
    """Result of a conversion of starting weights.

    `tensors` are the converted tensors by the network's names, and `copied` lists these names. `unmapped_source` and
    `unmapped_target` are the keys of the source and of the network that were not used. `origins` describes the source
    of each tensor that is a slice of another one.
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
        """The result for these tensors, which come from the `used` keys of `source`."""
        unmapped_source = tuple(key for key in source if key not in used)
        unmapped_target = tuple(key for key in model.state_dict() if key not in tensors)
        return cls(tensors, tuple(tensors), unmapped_source, unmapped_target, tuple(origins))


def by_names(source: Mapping[str, torch.Tensor], model: nn.Module, prefix: str = "") -> WeightTransfer:
    """The tensors of `source` whose key, with `prefix` added, and shape are those of the network."""
    target = model.state_dict()
    prefixed = {f"{prefix}{key}": value for key, value in source.items()}
    tensors = {
        key: value.detach().clone()
        for key, value in prefixed.items()
        if key in target and target[key].shape == value.shape
    }
    return WeightTransfer.of(tensors, {key.removeprefix(prefix) for key in tensors}, source, model)


def copy_backbone(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """The tensors of the backbone from a network with the same keys; the head of the source is not used."""
    prefix = "backbone." if any(key.startswith("backbone.") for key in model.state_dict()) else ""
    heads = ("classifier.", "fc.", "head.fc.")
    features = {key: value for key, value in source.items() if not key.startswith(heads)}
    transfer = by_names(features, model, prefix)
    unused = tuple(key for key in source if f"{prefix}{key}" not in transfer.tensors)
    return WeightTransfer(transfer.tensors, transfer.copied, unused, transfer.unmapped_target)


def by_layers(
    source: Mapping[str, torch.Tensor], model: nn.Module, pairs: Sequence[tuple[str, str]], what: str
) -> WeightTransfer:
    """The tensors of (layer of the source, layer of the network) pairs.

    `what` describes the expected source. Raises CheckpointError when the source lacks a layer or a shape differs.
    """
    target = model.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    used: set[str] = set()
    for source_layer, layer in pairs:
        for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            key, name = f"{source_layer}.{tensor}", f"{layer}.{tensor}"
            if name not in target:
                continue
            if key not in source:
                if tensor == "num_batches_tracked":  # a counter, not a weight; some files do not have it
                    continue
                raise CheckpointError(f"the starting weights lack {key!r}; expected {what}")
            if source[key].shape != target[name].shape:
                raise CheckpointError(
                    f"{key!r} has shape {tuple(source[key].shape)}, the network needs {tuple(target[name].shape)}"
                )
            tensors[name] = source[key].detach().clone()
            used.add(key)
    return WeightTransfer.of(tensors, used, source, model)


def mobilenetv2_from_torchvision(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """Tensors of timm's MobileNetV2 from torchvision's `mobilenet_v2`, bit for bit; its classifier is not used.

    Raises CheckpointError when the source lacks a layer or a shape differs.
    """
    pairs = [("features.0.0", "conv_stem"), ("features.0.1", "bn1")]
    index = 1
    for s, stage in enumerate(_stages(model)):
        for b, block in enumerate(stage):
            if hasattr(block, "conv_pwl"):  # expansion, depthwise convolution, projection
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
            pairs += [(f"features.{index}.conv.{theirs}", f"blocks.{s}.{b}.{ours}") for theirs, ours in layers]
            index += 1
    pairs += [(f"features.{index}.0", "conv_head"), (f"features.{index}.1", "bn2")]
    return by_layers(source, model, pairs, "torchvision's mobilenet_v2 state dict")


def mobilenetv1_from_layers(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """Tensors of timm's MobileNetV1 from one with layers `features.N.0` (convolution) and `features.N.1` (batch norm).

    Depthwise and pointwise layers alternate in the source. Raises CheckpointError when the source lacks a layer or a
    shape differs.
    """
    layers = [("conv_stem", "bn1")]
    for s, stage in enumerate(_stages(model)):
        for b in range(len(stage)):
            layers += [
                (f"blocks.{s}.{b}.conv_dw", f"blocks.{s}.{b}.bn1"),
                (f"blocks.{s}.{b}.conv_pw", f"blocks.{s}.{b}.bn2"),
            ]
    pairs = [
        pair for n, (conv, norm) in enumerate(layers) for pair in ((f"features.{n}.0", conv), (f"features.{n}.1", norm))
    ]
    return by_layers(source, model, pairs, "a MobileNetV1 in layers features.0 to features.26")


def _stages(model: nn.Module) -> Sequence[nn.Sequential]:
    """The stages of a MobileNet of timm; each is a sequence of blocks."""
    return cast(Sequence[nn.Sequential], model.blocks)  # torch's stubs type every attribute as a tensor or a module


def adapt_filters(source: Mapping[str, torch.Tensor], model: nn.Module) -> WeightTransfer:
    """Filters for a 3x3 grayscale network, cut from those of an RGB network (VGG16, ResNet-18).

    The first convolution gets the mean over RGB of the source's first filters, of which larger ones are cut to their
    middle 3x3. Each later convolution gets the first outputs and inputs of the source's next 3x3 convolution that is
    large enough. Raises CheckpointError when nothing fits.
    """
    available = [(key, value) for key, value in source.items() if value.ndim == 4]
    convolutions = [(f"{name}.weight", m.weight) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    tensors: dict[str, torch.Tensor] = {}
    origins: list[str] = []
    used: set[str] = set()
    position = 0
    for number, (name, weight) in enumerate(convolutions):
        outputs, inputs = weight.shape[:2]
        for offset, (key, value) in enumerate(available[position:]):
            first = number == 0 and value.shape[1] == 3 and inputs == 1
            fits = value.shape[0] >= outputs and (first or value.shape[1] >= inputs)
            height, width = value.shape[-2:]
            if not fits or min(height, width) < 3 or ((height, width) != (3, 3) and not first):
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
            "no convolution of the starting weights is large enough for this network; "
            "expected VGG16's or ResNet-18's state dict"
        )
    return WeightTransfer.of(tensors, used, source, model, origins)
