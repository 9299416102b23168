"""Starting weights: timm's and torchvision's downloads as their users know them, or a local file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
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
from emotion_hub.models.transfer224 import BACKBONES, timm_size
from emotion_hub.models.weights import (
    WeightTransfer,
    adapt_filters,
    by_names,
    mobilenetv1_from_layers,
    mobilenetv2_from_torchvision,
)

__all__ = ["WeightTransfer", "adapt_filters", "load_pretrained"]

#: Whose weights each network starts from, by torchvision's names.
_TORCHVISION = {
    "alexnet_224": "alexnet",
    "enhanced_cnn48": "vgg16",
    "resnet18_48": "resnet18",
    "squeezenet1_1_224": "squeezenet1_1",
    "vgg16_224": "vgg16",
    "vgg16_48": "vgg16",
    "vgg19_224": "vgg19",
    "vgg19_48": "vgg19",
}
#: Tensors of a backbone that no published one fits.
_FRESH = {"resnet18_48": ("conv1.weight",)}
_TIMM = {**BACKBONES, "mobilenetv1_224": "mobilenetv1_100", "mobilenetv2_224": "mobilenetv2_100"}


def load_pretrained(name: str, model: nn.Module, source: bool | str | Path) -> WeightTransfer:
    """Copy starting weights into a registered network, in place, and return what was copied and what stayed behind.

    `source` True downloads what torchvision or timm publish for the network; a path is a local state dict (.safetensors, or .pt read with
    `weights_only`) in their keys or our own. The head stays random, unless the file holds ours; so does the 3x3 stem of `resnet18_48`, which a
    7x7 one does not fit; the rest of the backbone is filled. Weights want the mean and std they were trained with: the preprocessing has both as
    fields. Raises ConfigError for a network without published weights, CheckpointError for a download that fails, a file that is no state dict
    or is damaged, and weights that fit nowhere or in part only.
    """
    state = _download(name, model) if source is True else _read(Path(str(source)))
    transfer = _convert(name, model, state)
    if not transfer.copied:
        raise CheckpointError(
            f"no tensor of the starting weights fits {name}: they begin with {list(state)[:3]}, the network with {list(model.state_dict())[:3]}"
        )
    _check_filled(name, model, state, transfer)
    if damaged := [key for key, value in transfer.tensors.items() if not _is_finite(value)]:
        raise CheckpointError(
            f"{damaged[0]!r} of the starting weights of {name} holds values that are not finite; the file is damaged, get it again"
        )
    model.load_state_dict(transfer.tensors, strict=False)
    return transfer


def _convert(name: str, model: nn.Module, state: Mapping[str, torch.Tensor]) -> WeightTransfer:
    own = model.state_dict()
    if set(state) == set(own):  # a checkpoint of ours
        return by_names(state, model)
    special: dict[str, tuple[str, Callable[[Mapping[str, torch.Tensor], nn.Module], WeightTransfer]]] = {
        "mobilenetv1_224": ("features.0.0.weight", mobilenetv1_from_layers),
        "mobilenetv2_224": ("features.0.0.weight", mobilenetv2_from_torchvision),
    }
    if name == "enhanced_cnn48":
        return adapt_filters(state, model)
    if name in special and special[name][0] in state:
        return special[name][1](state, model)
    prefix = "backbone." if any(key.startswith("backbone.") for key in own) else ""
    features = {key: value for key, value in state.items() if not key.startswith(("classifier.", "fc.", "head.fc."))}
    found = by_names(features, model, prefix)
    left = tuple(key for key in state if f"{prefix}{key}" not in found.tensors)
    return WeightTransfer(found.tensors, found.copied, left, found.unmapped_target)


def _check_filled(name: str, model: nn.Module, state: Mapping[str, torch.Tensor], transfer: WeightTransfer) -> None:
    """Raises CheckpointError when a part of the backbone would stay random: VGG16's first layers fit VGG19, and would train without a word."""
    if transfer.origins:  # adapted filters; their norms are fresh by design
        return
    head = (
        ()
        if isinstance(model, Ensemble)
        else {id(tensor) for tensor in head_of(model).state_dict(keep_vars=True).values()}
    )
    body = {
        key: value
        for key, value in model.state_dict(keep_vars=True).items()
        if id(value) not in head and not key.endswith(".num_batches_tracked")
    }
    fresh = [key for key in body if key not in transfer.tensors and key not in _FRESH.get(name, ())]
    if not fresh:
        return
    theirs = state.get(fresh[0], state.get(fresh[0].removeprefix("backbone.")))
    why = (
        "is missing"
        if theirs is None
        else f"has shape {tuple(theirs.shape)}, the network wants {tuple(body[fresh[0]].shape)}"
    )
    raise CheckpointError(
        f"the starting weights leave {len(fresh)} of the {len(body)} backbone tensors of {name} random ({fresh[0]!r} {why}); give those of the same network"
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or bool(torch.isfinite(tensor).all())


def _in_order(key: str) -> list[str | int]:
    """Sorts layer 2 before layer 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        if (
            path.suffix == ".safetensors"
        ):  # which lists layer 10 before layer 2; `adapt_filters` goes through them in order
            state = dict(sorted(load_file(path).items(), key=lambda item: _in_order(item[0])))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"no starting weights at {path}; give a .safetensors or .pt file, or pretrained=True to download them"
        ) from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, and is refused, as loading it could run code; give a plain state dict"
        ) from error
    except Exception as error:  # a damaged file fails anywhere in torch's reader: IndexError, AssertionError, ...
        raise CheckpointError(
            f"{path} cannot be read as weights: {error}; give a state dict saved as .safetensors, or by torch.save"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{path} is no state dict (names to tensors); save model.state_dict() and give that file")
    return state


def _download(name: str, model: nn.Module) -> Mapping[str, torch.Tensor]:
    theirs = _TIMM.get(name) or _tagged(getattr(getattr(model, "backbone", None), "default_cfg", {}))
    if name not in _TORCHVISION and not theirs:
        raise ConfigError(f"nobody publishes starting weights for {name}; give a local file, or leave pretrained out")
    try:
        if name in _TORCHVISION:
            return torchvision.models.get_model_weights(_TORCHVISION[name]).DEFAULT.get_state_dict(
                progress=False, check_hash=True
            )
        return timm.create_model(theirs, pretrained=True, **timm_size(theirs)).state_dict()
    except (
        OSError,
        RuntimeError,
        SafetensorError,
        HTTPError,
    ) as error:  # RuntimeError: a name without weights, a wrong hash; HTTPError is no OSError
        where = "torchvision" if name in _TORCHVISION else "timm"
        raise CheckpointError(
            f"the starting weights of {name} could not be fetched through {where} ({error}); save them elsewhere and give the file"
        ) from error


def _tagged(config: Mapping[str, Any]) -> str:
    """timm's name of a backbone with the tag it was asked for; empty without one."""
    return ".".join(filter(None, (config.get("architecture"), config.get("tag"))))
