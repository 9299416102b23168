"""Starting weights: timm's and torchvision's downloads as their users know them, or a local file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.models.transfer224 import BACKBONES
from emotion_hub.models.weights import WeightTransfer, adapt_filters, by_names, mobilenetv1_from_layers, mobilenetv2_from_torchvision

__all__ = ["load_pretrained"]

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
_TIMM = {**BACKBONES, "mobilenetv1_224": "mobilenetv1_100", "mobilenetv2_224": "mobilenetv2_100"}


def load_pretrained(name: str, model: nn.Module, source: bool | str | Path) -> WeightTransfer:
    """Copy starting weights into a registered network, in place, and return what was copied and what stayed behind.

    `source` True downloads what torchvision or timm publish for the network; a path is a local state dict (.safetensors, or .pt read with
    `weights_only`) in their keys or our own. The head stays random, unless the file holds ours. Raises ConfigError for a network
    without published weights, CheckpointError for a download that fails, a file that is no state dict, and one that fits nowhere.
    """
    state = _download(name, model) if source is True else _read(Path(str(source)))
    transfer = _convert(name, model, state)
    if not transfer.copied:
        raise CheckpointError(
            f"no tensor of the starting weights fits {name}: they begin with {list(state)[:3]}, the network with {list(model.state_dict())[:3]}"
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


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no starting weights at {path}; give a .safetensors or .pt file, or pretrained=True to download them") from None
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}; give a state dict saved as .safetensors, or by torch.save") from error
    except Exception as error:  # torch.load raises pickle.UnpicklingError for what weights_only refuses
        if type(error).__name__ != "UnpicklingError":
            raise
        raise CheckpointError(f"{path} holds more than tensors and is refused, as loading it could run code; give a plain state dict") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict (names to tensors); save model.state_dict() and give that file")
    return state


def _download(name: str, model: nn.Module) -> Mapping[str, torch.Tensor]:
    backbone = getattr(getattr(model, "backbone", None), "default_cfg", {}).get("architecture")
    if name not in _TORCHVISION and name not in _TIMM and not backbone:
        raise ConfigError(f"nobody publishes starting weights for {name}; give a local file, or leave pretrained out")
    try:
        if name in _TORCHVISION:
            return torchvision.models.get_model_weights(_TORCHVISION[name]).DEFAULT.get_state_dict(progress=False, check_hash=True)
        return timm.create_model(_TIMM.get(name, backbone), pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:  # urllib's, requests' and the Hub's errors are OSErrors; timm's for a name without weights is a RuntimeError
        where = "torchvision" if name in _TORCHVISION else "timm"
        raise CheckpointError(
            f"the starting weights of {name} could not be fetched through {where} ({error}); save them elsewhere and give the file"
        ) from error
