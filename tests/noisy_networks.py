"""A pytest plugin that gives each loaded network its own rounding errors: `pytest -p tests.noisy_networks`.

On some CPUs two networks with equal weights differ in the seventh digit, because the kernels depend on where the weights lie in memory and on the size of
the batch. This plugin makes every CPU behave like that: each `nn.Linear` in evaluation mode and each ONNX Runtime session has a relative noise of up to
3e-7, drawn once per instance and shape. The same instance gives the same bits for the same batch; a second instance, or another batch size, does not.
Training steps have no noise: a resumed run promises the weights of one that was not interrupted, on the same machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

__all__ = ["NOISE", "noisy_linear", "noisy_session"]

#: Relative; about three units in the last place of float32.
NOISE = 3e-7

_numbers = itertools.count()
_number_of: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def pytest_report_header() -> str:
    return f"noisy networks: results of separately loaded networks differ by up to {NOISE:g}"


def pytest_configure() -> None:
    """Wrap the two calls. Not at import: conftest.py first sets environment variables that torch and ONNX Runtime read."""
    from torch import nn

    from emotion_hub.onnx.runtime import onnxruntime

    nn.Linear.forward = noisy_linear(nn.Linear.forward)
    onnxruntime.InferenceSession.run = noisy_session(onnxruntime.InferenceSession.run)


def _noise(owner: Any, shape: tuple[int, ...]) -> np.ndarray:
    """float32, `shape`: the same for the same owner and shape. A copy of the owner is another owner."""
    number = _number_of.setdefault(owner, next(_numbers))
    rng = np.random.default_rng((number, *shape))
    return rng.uniform(-NOISE, NOISE, shape).astype(np.float32)


def noisy_linear(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    @wraps(forward)
    def noisy(self: Any, values: torch.Tensor) -> torch.Tensor:
        answer = forward(self, values)
        traced = torch.jit.is_tracing() or torch.compiler.is_compiling()  # an exported file must not contain the noise
        if self.training or traced or answer.dtype != torch.float32 or answer.device.type == "meta":
            return answer
        products = answer if self.bias is None else answer - self.bias  # weights of 0 have no rounding errors
        return answer + products * torch.from_numpy(_noise(self, tuple(answer.shape))).to(answer.device)

    return noisy


def noisy_session(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def noisy(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
        answers = run(self, *args, **kwargs)
        return [a * (1 + _noise(self, a.shape)) if getattr(a, "dtype", None) == np.float32 else a for a in answers]

    return noisy
