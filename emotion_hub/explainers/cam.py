"""Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) and Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063), through `grad-cam`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Progress, Relevance, Subject
from emotion_hub.explainers.pool import private_copy
from emotion_hub.explainers.target_layers import TargetLayer, target_layers

__all__ = ["gradcam", "gradcam_plusplus"]


def gradcam(subject: Subject, progress: Progress | None = None, *, layer: str | None = None) -> Relevance:
    """Maps of the layer weighted by the mean gradient of the class's logit, positive part; with `versus`, of the difference of logits.

    `layer` names another module than `target_layers` chooses. Raises InputError for one that the network does not have or that has no maps.
    """
    from pytorch_grad_cam import GradCAM

    return _cam(subject, GradCAM, layer)


def gradcam_plusplus(subject: Subject, progress: Progress | None = None, *, layer: str | None = None) -> Relevance:
    """As Grad-CAM, each place's positive gradient weighted by its share (equation 19), which keeps several small regions apart."""
    from pytorch_grad_cam import GradCAMPlusPlus

    return _cam(subject, GradCAMPlusPlus, layer)


def _cam(subject: Subject, kind: type, layer: str | None) -> Relevance:
    backend = subject.predictor.backend
    with private_copy(backend.classifier.network) as network:
        layers = target_layers(network, layer)
        pixels = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        with _leaves(layers) as maps:
            cam = kind(network, [t.module for t in layers], lambda output: maps[output.shape](output).clone())
            try:  # not its context manager, which prints IndexErrors and goes on
                positive = cam(pixels, [_Quantity(subject.target, subject.versus, layers)])[0]
            finally:
                cam.activations_and_grads.release()
    return Relevance(positive=positive.astype(np.float32), parameters={"layer": ", ".join(t.name for t in layers)})


class _Quantity:
    """The scalar that is differentiated: a logit, or the difference of two."""

    def __init__(self, target: int, versus: int | None, layers: list[TargetLayer]) -> None:
        self.target, self.versus, self.layers = target, versus, layers

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        if not logits.requires_grad:  # the graph begins at the layers
            raise InputError(
                f"the class's logit does not depend on layer {', '.join(repr(t.name) for t in self.layers)}; leave it out, or name another one"
            )
        return logits[self.target] if self.versus is None else logits[self.target] - logits[self.versus]


@contextmanager
def _leaves(layers: list[TargetLayer]) -> Iterator[dict[torch.Size, Callable[[torch.Tensor], torch.Tensor]]]:
    """Inside, the target layers' outputs are where the graph begins: the gradient goes no further back, which is most of its cost.

    Gives {shape of an output: how it becomes maps}, filled as the network runs.
    """
    maps: dict[torch.Size, Callable[[torch.Tensor], torch.Tensor]] = {}
    handles = [t.module.register_forward_hook(_Leaf(t, maps)) for t in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


class _Leaf:
    """A forward hook, registered before `grad-cam`'s own."""

    def __init__(self, layer: TargetLayer, maps: dict[torch.Size, Callable[[torch.Tensor], torch.Tensor]]) -> None:
        self.layer, self.maps = layer, maps

    def __call__(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        self.layer.maps(output)  # raises for an output that has no maps
        self.maps[output.shape] = self.layer.maps
        # cloned, as the maps are, because what follows may write over it: a residual block adds to its last norm's output in place
        return output if output.requires_grad else output.detach().requires_grad_().clone()
