"""Head and backbone of a network: parameters, freezing, last linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import nn

from emotion_hub.errors import ConfigError

__all__ = ["backbone_parameters", "freeze_backbone", "head_of", "head_parameters", "last_linear", "unfreeze"]


def head_of(model: nn.Module) -> nn.Module:
    """The classification head: `classifier`, or `fc` in ResNets; raises ConfigError for a network with neither."""
    for name in ("classifier", "fc"):
        if isinstance(head := getattr(model, name, None), nn.Module):
            return head
    raise ConfigError(
        f"{type(model).__name__} has no classifier; a head has the name 'classifier' or 'fc' "
        "(each member of an ensemble has its own)"
    )


def head_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of the head, in the network's order."""
    return head_of(model).parameters()


def backbone_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Every parameter outside the head, in the network's order."""
    head = {id(p) for p in head_parameters(model)}
    return (p for p in model.parameters() if id(p) not in head)


def last_linear(model: nn.Module) -> nn.Linear:
    """The layer whose output is the logits; raises ConfigError when the head does not end in a linear layer."""
    layers = [layer for layer in head_of(model).modules() if not list(layer.children())]
    if not isinstance(layers[-1], nn.Linear):
        raise ConfigError(f"{type(model).__name__} ends in {type(layers[-1]).__name__}, not in a linear layer")
    return layers[-1]


def freeze_backbone(model: nn.Module) -> None:
    """Make only the head trainable, and keep the batch norms of the backbone in evaluation mode.

    Their statistics do not change, also after later calls of `train()`.
    """
    head = {id(layer) for layer in head_of(model).modules()}
    for parameter in backbone_parameters(model):
        parameter.requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and id(layer) not in head:
            layer.eval()
            # train() is overridden on the instance because the network calls it on every layer; a partial can be
            # pickled, a function bound to the layer cannot
            layer.train = partial(_keep_mode, layer)  # type: ignore[method-assign, assignment]


def unfreeze(model: nn.Module) -> None:
    """Make every parameter trainable again, and let every batch norm follow the mode of the network."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    for layer in model.modules():
        if "train" in vars(layer):
            del layer.train
            layer.train(model.training)


def _keep_mode(layer: nn.Module, mode: bool = True) -> nn.Module:
    """The `train` of a frozen layer: the layer stays in evaluation mode."""
    return layer
