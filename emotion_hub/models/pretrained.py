"""Load pretrained starting weights from timm, torchvision or a local file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from huggingface_hub.errors import HTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.models.ensemble import Ensemble
from emotion_hub.models.parts import head_of
from emotion_hub.models.registry import StartingWeights, get_entry, load_function
from emotion_hub.models.transfer224 import timm_image_size
from emotion_hub.models.weights import WeightTransfer, by_names, copy_backbone

__all__ = ["load_pretrained"]


def load_pretrained(name: str, model: nn.Module, source: bool | str | Path) -> WeightTransfer:
    """Copy starting weights into a registered network, in place; returns which tensors were copied and which were not.

    With `source` True they are those that torchvision or timm publish for the network. A path is a local state dict
    (.safetensors, or .pt read with `weights_only`) with their keys or ours. The head stays random unless the file has
    our keys. The 3x3 stem of `resnet18_48` stays random too, because the published one is 7x7. Every other tensor of
    the backbone must be in the weights. The preprocessing should have the mean and std that they were trained with.

    Raises ConfigError for a network without published weights, CheckpointError for a failed download, a file that is
    damaged or not a state dict, and weights that do not fit or fit only in part.
    """
    state = _download(name, model) if source is True else _read(Path(str(source)))
    transfer = _convert(name, model, state)
    if not transfer.copied:
        raise CheckpointError(
            f"no tensor of the starting weights fits {name}: their first keys are {list(state)[:3]}, "
            f"those of the network {list(model.state_dict())[:3]}"
        )
    _check_backbone_filled(name, model, state, transfer)
    if damaged := [key for key, value in transfer.tensors.items() if not _is_finite(value)]:
        raise CheckpointError(
            f"{damaged[0]!r} of the starting weights of {name} holds values that are not finite; "
            "the file is damaged, get it again"
        )
    model.load_state_dict(transfer.tensors, strict=False)
    return transfer


def _convert(name: str, model: nn.Module, state: Mapping[str, torch.Tensor]) -> WeightTransfer:
    if set(state) == set(model.state_dict()):  # the weights of this network, including its head
        return by_names(state, model)
    start = get_entry(name).start
    if start is None:
        return copy_backbone(state, model)
    layouts = [home for key, home in start.layouts.items() if key in state]
    return load_function(layouts[0] if layouts else start.convert)(state, model)


def _check_backbone_filled(
    name: str, model: nn.Module, state: Mapping[str, torch.Tensor], transfer: WeightTransfer
) -> None:
    """Raises CheckpointError when a tensor of the backbone would stay random.

    For example, the first layers of VGG16 fit VGG19, which would then train with random later layers.
    """
    if transfer.origins:  # adapted filters: batch norms are new by design
        return
    head: set[int] = set()
    if not isinstance(model, Ensemble):
        head = {id(tensor) for tensor in head_of(model).state_dict(keep_vars=True).values()}
    backbone = {
        key: value
        for key, value in model.state_dict(keep_vars=True).items()
        if id(value) not in head and not key.endswith(".num_batches_tracked")
    }
    start = get_entry(name).start
    random = () if start is None else start.random
    missing = [key for key in backbone if key not in transfer.tensors and key not in random]
    if not missing:
        return
    first = missing[0]
    given = state.get(first, state.get(first.removeprefix("backbone.")))
    reason = "is missing"
    if given is not None:
        reason = f"has shape {tuple(given.shape)}, the network needs {tuple(backbone[first].shape)}"
    raise CheckpointError(
        f"the starting weights leave {len(missing)} of the {len(backbone)} backbone tensors of {name} random "
        f"({first!r} {reason}); give weights of the same network"
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or bool(torch.isfinite(tensor).all())


def _natural_order(key: str) -> list[str | int]:
    """A sort key that puts layer 2 before layer 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            # `adapt_filters` depends on the order of the layers; safetensors files list layer 10 before layer 2
            state = dict(sorted(load_file(path).items(), key=lambda item: _natural_order(item[0])))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"no starting weights at {path}; give a .safetensors or .pt file, or pretrained=True to download them"
        ) from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, and is refused because loading it can run code; "
            "give a plain state dict"
        ) from error
    except Exception as error:  # damaged files raise errors of any class in torch: IndexError, AssertionError, ...
        raise CheckpointError(
            f"{path} cannot be read as weights: {error}; give a state dict saved as .safetensors, or by torch.save"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(
            f"{path} is not a state dict (names to tensors); save model.state_dict() and give that file"
        )
    return state


def _download(name: str, model: nn.Module) -> Mapping[str, torch.Tensor]:
    start = get_entry(name).start or _tagged(model)
    if start is None:
        raise ConfigError(f"no starting weights are published for {name}; give a local file, or leave pretrained out")
    try:
        if start.library == "torchvision":
            weights = torchvision.models.get_model_weights(start.name).DEFAULT
            return weights.get_state_dict(progress=False, check_hash=True)
        return timm.create_model(start.name, pretrained=True, img_size=timm_image_size(start.name)).state_dict()
    except (OSError, RuntimeError, SafetensorError, HTTPError) as error:
        # RuntimeError: a name without weights, or a wrong hash; HTTPError is not a subclass of OSError
        raise CheckpointError(
            f"the starting weights of {name} could not be downloaded through {start.library} ({error}); "
            "download them elsewhere and give the file"
        ) from error


def _tagged(model: nn.Module) -> StartingWeights | None:
    """timm's weights for the backbone and tag with which the network was built; None for a network not of timm."""
    config: dict[str, Any] = getattr(getattr(model, "backbone", None), "default_cfg", {})
    name = ".".join(filter(None, (config.get("architecture"), config.get("tag"))))
    return StartingWeights("timm", name, config.get("license") or "unknown") if name else None
