"""Compatibility with shap: layer table, leftover tensors, random seed.

Relied on, none of it shap's documented interface:

- `shap.explainers._deep.deep_pytorch.op_handler`, the table of layer classes that DeepExplainer supports, is
  extended.
- DeepExplainer leaves tensors as parameters `x` and `y` in the layers of a nested network; they are removed.
- DeepExplainer's own explainer for torch is its attribute `explainer`, with `expected_value`.
- GradientExplainer and PartitionExplainer draw from NumPy's global generator; it is seeded and restored.

This justifies the bound shap>=0.51,<0.52 in pyproject.toml. tests/explainers/test_shap_compat.py fails when a release
changes what is relied on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["EXTRA_ACTIVATIONS", "deep_values", "global_seed", "layer_rules", "remove_leftovers"]

#: Activations of this package's networks that shap's table lacks. DeepLIFT's rescale rule, which shap applies to
#: ReLU, holds for every function of one value.
EXTRA_ACTIVATIONS = ("Hardsigmoid", "Hardswish", "ReLU6", "SiLU")

#: One run at a time may use the seeded global generator. Reentrant, because a run may start inside another run's
#: progress call.
_GLOBAL_SEED = threading.RLock()


def layer_rules() -> dict[str, Callable[..., object]]:
    """{class name of a layer: shap's rule for it}: shap's own table, with EXTRA_ACTIVATIONS added to it."""
    from shap.explainers._deep.deep_pytorch import op_handler

    for name in EXTRA_ACTIVATIONS:
        op_handler.setdefault(name, op_handler["ReLU"])
    return op_handler


def deep_values(network: nn.Module, background: torch.Tensor, pixels: torch.Tensor) -> tuple[np.ndarray, float]:
    """DeepExplainer's contributions, float64 (1, C, S, S), and its mean output over the background.

    `network` has one output, (N, 1); `background` is (N, C, S, S), `pixels` (1, C, S, S). Tensors that shap leaves in
    the network stay there: see `remove_leftovers`.
    """
    from shap import DeepExplainer

    explainer = DeepExplainer(network, background)
    values = np.asarray(explainer.shap_values(pixels, check_additivity=False), dtype=np.float64)
    return values.reshape(pixels.shape), float(np.ravel(explainer.explainer.expected_value)[0])


@contextmanager
def remove_leftovers(network: nn.Module) -> Iterator[None]:
    """At the end of the block, the network's layers have the parameters that they had at its start."""
    names_before = {module: set(module._parameters) for module in network.modules()}
    try:
        yield
    finally:
        for module, names in names_before.items():
            for name in set(module._parameters) - names:
                del module._parameters[name]


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """NumPy's global generator is seeded inside the block and has its former state afterwards."""
    with _GLOBAL_SEED:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
