"""SHAP's explainers that differentiate the network: Deep (DeepLIFT's rescale rule) and Gradient (expected gradients), through `shap` and torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID, Progress, Relevance, Subject
from emotion_hub.explainers.pool import private_copy
from emotion_hub.explainers.shap import global_seed

__all__ = ["BACKGROUND_FILE", "background_faces", "deep", "deep_can_follow", "gradient"]

#: Average neutral faces in a row, written by `python -m training.neutral_faces`.
BACKGROUND_FILE = Path(__file__).with_name("neutral_faces.png")

#: Deep's attributions may miss the difference of the logits they promise to sum to by this much: absolutely, and as a share of it.
TOLERANCE = (0.02, 0.02)


def background_faces(count: int = 16) -> tuple[Image.Image, ...]:
    """The first `count` average neutral faces, mode L, 48 pixels; raises InputError for more than there are.

    Each is the mean of one cluster of neutral training faces, the clusters in the order that keeps the first ones far apart.
    """
    faces = _all_background_faces()
    if not isinstance(count, int) or not 1 <= count <= len(faces):
        raise InputError(f"background={count!r}: there are 1 to {len(faces)} average faces to compare with")
    return faces[:count]


@lru_cache(maxsize=1)
def _all_background_faces() -> tuple[Image.Image, ...]:
    with Image.open(BACKGROUND_FILE) as file:
        row = file.convert("L")
    return tuple(row.crop((left, 0, left + GRID, GRID)) for left in range(0, row.width, GRID))


def deep_can_follow(network: nn.Module, pixels: torch.Tensor) -> str:
    """Why shap's Deep cannot explain this network, or nothing; `network` is a private copy, `pixels` one prepared face (1, C, S, S).

    Deep knows layers by their class and keeps one input a layer, so that a layer that runs twice in one pass (the ReLU of a residual block) is
    taken for its last run.
    """
    leaves = [m for m in network.modules() if not list(m.children())]
    if unknown := sorted({type(m).__name__ for m in leaves} - set(_rules())):
        return f"it has no rule for {', '.join(unknown)}"
    runs: Counter[nn.Module] = Counter()
    handles = [m.register_forward_hook(lambda m, *_: runs.update([m])) for m in leaves]
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if twice := sorted({type(m).__name__ for m, n in runs.items() if n > 1}):
        return f"its {', '.join(twice)} layers run more than once a pass"
    return ""


def _rules() -> dict[str, Callable[..., object]]:
    """shap's table of layers, with the activations it lacks: the rescale rule holds for every function of one value."""
    from shap.explainers._deep.deep_pytorch import op_handler

    for name in ("Hardsigmoid", "Hardswish", "ReLU6", "SiLU"):
        op_handler.setdefault(name, op_handler["ReLU"])
    return op_handler


class _Quantity(nn.Module):
    """The network with the explained logit, or difference of two, as its only output: (N, 1)."""

    def __init__(
        self, network: nn.Module, target: int, versus: int | None, step: Callable[[int], None] = lambda count: None
    ) -> None:
        super().__init__()
        self.network, self.target, self.versus, self.step = network, target, versus, step

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        self.step(len(pixel_values))
        logits = self.network(pixel_values)
        value = logits[:, self.target] if self.versus is None else logits[:, self.target] - logits[:, self.versus]
        return value[:, None]


def deep(subject: Subject, faces: Sequence[Image.Image], progress: Progress | None, *, must: bool) -> Relevance | str:
    """The relevance by DeepLIFT's rescale rule over the background `faces`, or why Deep cannot explain this network.

    With `must` a result that misses the difference of logits is returned all the same.
    """
    backend = subject.predictor.backend
    done = 0.0
    with private_copy(backend.classifier.network) as private:
        x = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        data = torch.from_numpy(subject.predictor.preprocessor.batch(faces)).to(backend.device)
        if reason := deep_can_follow(private, x):
            return reason
        from shap import DeepExplainer

        own = {module: set(module._parameters) for module in private.modules()}
        quantity = _Quantity(private, subject.target, subject.versus)
        signed, expected = np.zeros((subject.size, subject.size)), 0.0
        for part in data.split(
            max(1, 64 * 48 * 48 // subject.size**2)
        ):  # the mean over the background, a few faces at a time for their memory
            explainer = DeepExplainer(quantity, part)
            share = len(part) / len(data)
            signed += share * _as_map(explainer.shap_values(x, check_additivity=False))
            expected += share * float(np.ravel(explainer.explainer.expected_value)[0])
            done += share
            if progress:
                progress(min(1.0, done))
        for module, names in own.items():  # shap leaves the tensors it kept inside the layers
            for name in set(module._parameters) - names:
                del module._parameters[name]
    difference = float(subject.logits(subject.pixel_values[None])[0]) - expected
    gap = abs(difference - float(signed.sum()))
    if not must and gap > TOLERANCE[0] + TOLERANCE[1] * abs(difference):
        return f"its contributions miss {gap:.3f} of a difference of {difference:.3f}"
    return Relevance(
        signed=signed.astype(np.float32),
        parameters={"explainer": "deep", "background": len(faces), "difference": difference},
        scores={"additivity": gap},
    )


def gradient(
    subject: Subject, faces: Sequence[Image.Image], samples: int, seed: int, progress: Progress | None
) -> Relevance:
    """The relevance by expected gradients, `samples` draws between the background `faces` and the face."""
    from shap import GradientExplainer

    backend = subject.predictor.backend
    batch = max(1, 50 * 48 * 48 // subject.size**2)
    done = -len(faces)  # the explainer's own look at the background

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(min(1.0, max(0, done) / samples))

    with private_copy(backend.classifier.network) as private:
        x = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        data = torch.from_numpy(subject.predictor.preprocessor.batch(faces)).to(backend.device)
        quantity = _Quantity(private, subject.target, subject.versus, step)
        with global_seed(seed):
            values = GradientExplainer(quantity, data, batch_size=batch).shap_values(x, nsamples=samples, rseed=seed)
    return Relevance(
        signed=_as_map(values).astype(np.float32),
        parameters={"explainer": "gradient", "background": len(faces), "samples": samples, "seed": seed},
    )


def _as_map(values: np.ndarray) -> np.ndarray:
    """float64, (S, S): the sum over the channels of (1, C, S, S[, 1])."""
    return np.asarray(values, dtype=np.float64).reshape(np.shape(values)[:4])[0].sum(axis=0)
