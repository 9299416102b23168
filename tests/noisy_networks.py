"""Pytest plugin that simulates rounding differences between networks.

Use it with `pytest -p tests.noisy_networks`. On some CPUs, two networks with equal weights differ in the seventh digit,
because kernels depend on the memory alignment of the weights and on the batch size. The plugin simulates this on every
CPU: each `nn.Linear` in evaluation mode and each ONNX Runtime session has a relative noise of up to 3e-7, drawn once
per instance and shape. One instance gives the same bits for the same batch; another instance or batch size does not.
Training steps have no noise, because a resumed run must give the weights of an uninterrupted one on the same machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

__all__ = ["NOISE", "noisy_linear", "noisy_session"]

#: Largest relative noise; about three units in the last place of float32.
NOISE = 3e-7

_numbers = itertools.count()
_number_of: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def pytest_report_header() -> str:
    return f"noisy networks: results of separately loaded networks differ by up to {NOISE:g}"


def pytest_configure() -> None:
    """Wrap both calls; not at import, because conftest.py first sets variables for torch and ONNX Runtime."""
    from torch import nn

    from emotion_hub.onnx.runtime import onnxruntime

    nn.Linear.forward = noisy_linear(nn.Linear.forward)
    onnxruntime.InferenceSession.run = noisy_session(onnxruntime.InferenceSession.run)


def _noise(owner: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Noise, float32, of this shape; it depends on the owner and the shape only. A copy is another owner."""
    number = _number_of.setdefault(owner, next(_numbers))
    rng = np.random.default_rng((number, *shape))
    return rng.uniform(-NOISE, NOISE, shape).astype(np.float32)


def noisy_linear(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    @wraps(forward)
    def noisy(self: Any, values: torch.Tensor) -> torch.Tensor:
        output = forward(self, values)
        traced = torch.jit.is_tracing() or torch.compiler.is_compiling()  # an exported file must not contain the noise
        if self.training or traced or output.dtype != torch.float32 or output.device.type == "meta":
            return output
        products = output if self.bias is None else output - self.bias  # weights of 0 have no rounding errors
        return output + products * torch.from_numpy(_noise(self, tuple(output.shape))).to(output.device)

    return noisy


def noisy_session(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def noisy(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
        outputs = run(self, *args, **kwargs)
        return [o * (1 + _noise(self, o.shape)) if getattr(o, "dtype", None) == np.float32 else o for o in outputs]

    return noisy
