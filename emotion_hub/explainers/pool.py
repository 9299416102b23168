"""Private copies of networks: explanations hook, freeze and differentiate these, never the network that predicts."""

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
from emotion_hub.predictor import EmotionPredictor

__all__ = ["private_copy", "shuffled_predictor"]

#: Copies of one network at a time; who comes later waits. A copy of VGG16 at 224 pixels is half a gigabyte.
LIMIT = 2


class _Pool:
    """The copies of one network, made when first wanted and again when its weights have changed."""

    def __init__(self) -> None:
        self.free: list[nn.Module] = []
        self.made = 0
        self.version: tuple[object, ...] = ()
        self.ready = threading.Condition()

    def take(self, network: nn.Module) -> tuple[nn.Module, tuple[object, ...]]:
        with self.ready:
            while True:
                version = _version(network)
                if version != self.version:
                    self.version, self.made = version, 0
                    self.free.clear()
                if self.free:
                    return self.free.pop(), version
                if self.made < LIMIT:
                    self.made += 1
                    break
                self.ready.wait()
        try:
            return _prepared(network), version
        except BaseException:
            self.give_up(version)
            raise

    def give_back(self, network: nn.Module, version: tuple[object, ...]) -> None:
        with self.ready:
            if version == self.version:
                self.free.append(network)
                self.ready.notify()

    def give_up(self, version: tuple[object, ...]) -> None:
        with self.ready:
            if version == self.version:
                self.made -= 1
                self.ready.notify()


_POOLS: weakref.WeakKeyDictionary[nn.Module, _Pool] = weakref.WeakKeyDictionary()
_SHUFFLED: weakref.WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], EmotionPredictor]] = (
    weakref.WeakKeyDictionary()
)
_LOCK = threading.Lock()


@contextmanager
def private_copy(network: nn.Module) -> Iterator[nn.Module]:
    """A copy in evaluation mode, its parameters frozen and nothing done in place, lent to one caller; gradients are on inside.

    A copy is kept for the next caller, unless the block ends in an exception, which may have left hooks behind.
    """
    with _LOCK:
        pool = _POOLS.setdefault(network, _Pool())
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
    ):  # around the copying too: what is copied in inference mode cannot be differentiated
        private, version = pool.take(network)
        try:
            yield private
        except BaseException:
            pool.give_up(version)
            raise
        pool.give_back(private, version)


def shuffled_predictor(predictor: EmotionPredictor, seed: int = 0) -> EmotionPredictor:
    """The same network with every weight tensor's values shuffled: what it knew is gone, its scales are not.

    For the randomisation check (Adebayo et al. 2018, arXiv:1810.03292). Batch-norm statistics stay, so that its activations keep a size at
    which a gradient means something. The last one made is kept.
    """
    network = predictor.backend.classifier.network
    version = (*_version(network), seed)
    with _LOCK:
        if (kept := _SHUFFLED.get(network)) and kept[0] == version:
            return kept[1]
    classifier = copy.deepcopy(predictor.backend.classifier)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.network.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    made = EmotionPredictor(
        TorchBackend(classifier, predictor.backend.device),
        predictor.labels,
        predictor.preprocessor,
        name=f"{predictor.name} shuffled",
    )
    with _LOCK:
        _SHUFFLED[network] = (version, made)
    return made


def _version(network: nn.Module) -> tuple[object, ...]:
    """Changes whenever a weight or statistic is written or replaced, but for writes through `.data`, which torch does not count.

    Not by address: the allocator gives a freed tensor's to the next one.
    """
    return tuple(
        (WeakIdRef(tensor), -1 if tensor.is_inference() else tensor._version)
        for tensor in (*network.parameters(), *network.buffers())
    )


def _prepared(network: nn.Module) -> nn.Module:
    private = copy.deepcopy(network).eval()
    for parameter in private.parameters():
        parameter.requires_grad_(False)
    for module in private.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    return private
