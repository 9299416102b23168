"""Class activation maps: Grad-CAM, Grad-CAM++, others of grad-cam.

Grad-CAM: Selvaraju et al. 2017, arXiv:1610.02391. Grad-CAM++: Chattopadhay et al. 2018, arXiv:1710.11063.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Progress, Relevance, Subject
from emotion_hub.explainers.pool import private_copy, torch_backend
from emotion_hub.explainers.target_layers import TargetLayer, target_layers

__all__ = ["class_activation_map"]

#: {shape of a layer's output: the function that turns it into maps, (N, channels, h, w)}.
_ToMaps = dict[torch.Size, Callable[[torch.Tensor], torch.Tensor]]


def class_activation_map(
    subject: Subject, progress: Progress | None = None, *, variant: str, layer: str | None = None
) -> Relevance:
    """The weighted sum of the target layer's maps as `positive`; the weights come from the gradient of the logit.

    `variant` is the name of a class of `pytorch_grad_cam`. "GradCAM" weights each map by its mean gradient.
    "GradCAMPlusPlus" weights each position's positive gradient by its share (equation 19), which separates several
    small regions. With `versus` the gradient is that of the difference of the two logits. `layer` names a module to
    use in place of the one that `target_layers` chooses. Raises InputError for a layer that the network does not
    have, whose output has no maps, or that the logit does not depend on.
    """
    import pytorch_grad_cam

    backend = torch_backend(subject.predictor)
    with private_copy(backend.classifier.network) as network:
        layers = target_layers(network, layer)
        pixels = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        with _gradient_starts_at(layers) as to_maps:
            cam_class = getattr(pytorch_grad_cam, variant)
            cam = cam_class(network, [t.module for t in layers], lambda output: to_maps[output.shape](output).clone())
            try:  # without its context manager, which prints IndexErrors and continues
                positive = cam(pixels, [_TargetLogit(subject.target, subject.versus, layers)])[0]
            finally:
                cam.activations_and_grads.release()
    return Relevance(positive=positive.astype(np.float32), parameters={"layer": ", ".join(t.name for t in layers)})


class _TargetLogit:
    """The scalar that is differentiated: the target's logit, minus that of `versus` where there is one."""

    def __init__(self, target: int, versus: int | None, layers: list[TargetLayer]) -> None:
        self.target, self.versus, self.layers = target, versus, layers

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        if not logits.requires_grad:  # no target layer is part of the graph
            names = ", ".join(repr(t.name) for t in self.layers)
            raise InputError(
                f"the class's logit does not depend on layer {names}; leave layer out, or name another one"
            )
        return logits[self.target] if self.versus is None else logits[self.target] - logits[self.versus]


@contextmanager
def _gradient_starts_at(layers: list[TargetLayer]) -> Iterator[_ToMaps]:
    """Inside the block, the outputs of the target layers are the leaves of the autograd graph.

    Backpropagation stops there; the layers before them are most of its cost. Yields a dictionary that is filled while
    the network runs.
    """
    to_maps: _ToMaps = {}
    handles = [t.module.register_forward_hook(_DetachOutput(t, to_maps)) for t in layers]
    try:
        yield to_maps
    finally:
        for handle in handles:
            handle.remove()


class _DetachOutput:
    """A forward hook that makes the layer's output a leaf of the graph. It must be registered before `grad-cam`'s."""

    def __init__(self, layer: TargetLayer, to_maps: _ToMaps) -> None:
        self.layer, self.to_maps = layer, to_maps

    def __call__(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        self.layer.maps(output)  # raises InputError for an output without maps
        self.to_maps[output.shape] = self.layer.maps
        # The clone protects the values: later layers may write to this tensor in place, as a residual block does when
        # it adds its input to the output of its last norm. The maps are cloned for the same reason.
        return output if output.requires_grad else output.detach().requires_grad_().clone()
