"""Private copies of networks for explanations, and shuffled weights.

Explanation methods register hooks, freeze parameters and differentiate. They do this on a copy, never on the network
that predicts.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.weak import WeakIdRef

from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.predictor import EmotionPredictor

__all__ = ["private_copy", "shuffled_predictor", "torch_backend"]

#: Maximum number of copies of one network; further callers wait. A copy of VGG16 at 224 pixels is half a gigabyte.
LIMIT = 2


def torch_backend(predictor: EmotionPredictor) -> TorchBackend:
    """The predictor's torch backend. Raises InputError for a predictor on another backend."""
    if not isinstance(predictor.backend, TorchBackend):
        raise InputError(
            f"{predictor.name} runs on {predictor.backend_name}; load it with backend='torch', which this method needs"
        )
    return predictor.backend


class _Pool:
    """The copies of one network: made on demand, and made again after its weights have changed."""

    def __init__(self) -> None:
        self.free: list[nn.Module] = []
        self.count = 0  # of this version: free or in use
        self.version: tuple[object, ...] = ()
        self.changed = threading.Condition()

    def acquire(self, network: nn.Module) -> tuple[nn.Module, tuple[object, ...]]:
        """A copy with the network's present weights, and their version; waits while LIMIT copies are in use."""
        with self.changed:
            while True:
                version = _version(network)
                if version != self.version:
                    self.version, self.count = version, 0
                    self.free.clear()
                if self.free:
                    return self.free.pop(), version
                if self.count < LIMIT:
                    self.count += 1
                    break
                self.changed.wait()
        try:
            return _frozen_copy(network), version
        except BaseException:
            self.discard(version)
            raise

    def release(self, network: nn.Module, version: tuple[object, ...]) -> None:
        """Keep the copy for the next caller, unless the weights have changed since."""
        with self.changed:
            if version == self.version:
                self.free.append(network)
                self.changed.notify()

    def discard(self, version: tuple[object, ...]) -> None:
        """Drop a copy that may not be used again, so that another one can be made."""
        with self.changed:
            if version == self.version:
                self.count -= 1
                self.changed.notify()


_POOLS: weakref.WeakKeyDictionary[nn.Module, _Pool] = weakref.WeakKeyDictionary()
_SHUFFLED: weakref.WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], EmotionPredictor]] = (
    weakref.WeakKeyDictionary()
)
_LOCK = threading.Lock()


@contextmanager
def private_copy(network: nn.Module) -> Iterator[nn.Module]:
    """A copy for exclusive use: in evaluation mode, parameters frozen, no layer in place; gradients are enabled.

    The copy is reused by later callers, unless the block ends with an exception, which may have left hooks behind.
    """
    with _LOCK:
        pool = _POOLS.setdefault(network, _Pool())
    # the copying is inside these modes, too: tensors that are copied in inference mode cannot be differentiated
    with torch.inference_mode(False), torch.enable_grad():
        private, version = pool.acquire(network)
        try:
            yield private
        except BaseException:
            pool.discard(version)
            raise
        pool.release(private, version)


def shuffled_predictor(predictor: EmotionPredictor, seed: int = 0) -> EmotionPredictor:
    """The same network with the values of every weight tensor shuffled, which removes what it learnt.

    For the randomisation check (Adebayo et al. 2018, arXiv:1810.03292). Each tensor keeps its distribution, and
    batch-norm statistics are kept, so that activations and gradients stay in a usable range. The result for the last
    seed is cached per network. Raises InputError for a predictor that is not on torch.
    """
    backend = torch_backend(predictor)
    network = backend.classifier.network
    version = (*_version(network), seed)
    with _LOCK:
        if (cached := _SHUFFLED.get(network)) and cached[0] == version:
            return cached[1]
    classifier = copy.deepcopy(backend.classifier)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.network.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    shuffled = EmotionPredictor(
        TorchBackend(classifier, backend.device),
        predictor.labels,
        predictor.preprocessor,
        name=f"{predictor.name} shuffled",
    )
    with _LOCK:
        _SHUFFLED[network] = (version, shuffled)
    return shuffled


def _version(network: nn.Module) -> tuple[object, ...]:
    """A value that changes whenever a weight or a batch-norm statistic is written or replaced.

    Writes through `.data` are not seen, because torch does not count them. Tensors are compared by identity, not by
    address: the allocator reuses the address of a freed tensor.
    """
    return tuple(
        (WeakIdRef(tensor), -1 if tensor.is_inference() else tensor._version)
        for tensor in (*network.parameters(), *network.buffers())
    )


def _frozen_copy(network: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode, with frozen parameters and without in-place layers."""
    private = copy.deepcopy(network).eval()
    for parameter in private.parameters():
        parameter.requires_grad_(False)
    for module in private.modules():
        if getattr(module, "inplace", False):
            vars(module)["inplace"] = False
    return private
