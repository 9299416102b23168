"""The head and the backbone of a network: what is frozen, what learns at which rate, where the logits come from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import nn

from emotion_hub.errors import ConfigError

__all__ = ["backbone_parameters", "freeze_backbone", "head_of", "head_parameters", "last_linear", "unfreeze"]


def head_of(model: nn.Module) -> nn.Module:
    """The classification head: `classifier`, or `fc` as ResNets name it; raises ConfigError for a network with neither."""
    for name in ("classifier", "fc"):
        if isinstance(head := getattr(model, name, None), nn.Module):
            return head
    raise ConfigError(
        f"{type(model).__name__} has no classifier; heads are found by the names 'classifier' and 'fc' (an ensemble's members have one each)"
    )


def head_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of the head, in the network's order."""
    return head_of(model).parameters()


def backbone_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Every parameter outside the head, in the network's order."""
    head = {id(p) for p in head_parameters(model)}
    return (p for p in model.parameters() if id(p) not in head)


def last_linear(model: nn.Module) -> nn.Linear:
    """The layer that gives the logits; raises ConfigError when the head does not end in a linear layer."""
    layers = [layer for layer in head_of(model).modules() if not list(layer.children())]
    if not isinstance(layers[-1], nn.Linear):
        raise ConfigError(f"{type(model).__name__} ends in {type(layers[-1]).__name__}, not in a linear layer")
    return layers[-1]


def freeze_backbone(model: nn.Module) -> None:
    """Only the head learns; the backbone's batch norms keep their statistics, also through later calls of `train()`."""
    head = {id(layer) for layer in head_of(model).modules()}
    for parameter in backbone_parameters(model):
        parameter.requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and id(layer) not in head:
            layer.eval()
            layer.train = partial(_stay, layer)  # a bound method of a function outside the class cannot be pickled


def unfreeze(model: nn.Module) -> None:
    """Everything learns again, and every batch norm follows the mode of the network."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    for layer in model.modules():
        if "train" in vars(layer):
            del layer.train
            layer.train(model.training)


def _stay(layer: nn.Module, mode: bool = True) -> nn.Module:
    """A frozen layer's `train`: it stays in evaluation mode."""
    return layer
