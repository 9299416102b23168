"""SHAP's Deep and Gradient explainers on torch, and the background faces.

Deep is DeepLIFT's rescale rule (Shrikumar et al. 2017, arXiv:1704.02685), Gradient is expected gradients (Erion et
al. 2021, arXiv:1906.10670).
"""

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
from emotion_hub.explainers.pool import private_copy, torch_backend
from emotion_hub.explainers.shap_compat import deep_values, global_seed, layer_rules, remove_leftovers

__all__ = ["BACKGROUND_FILE", "background_faces", "deep", "deep_unsupported", "gradient"]

#: Average neutral faces side by side, written by `python -m training.neutral_faces`.
BACKGROUND_FILE = Path(__file__).with_name("neutral_faces.png")

#: Allowed error of the sum of Deep's contributions, which should equal the difference of the logits: an absolute part
#: and a part relative to that difference.
TOLERANCE = (0.02, 0.02)


def background_faces(count: int = 16) -> tuple[Image.Image, ...]:
    """The first `count` average neutral faces, mode L, 48x48; raises InputError for more than the file has.

    Each is the mean of a cluster of neutral training faces. The clusters are ordered so that the first ones differ
    most.
    """
    faces = _all_background_faces()
    if not isinstance(count, int) or not 1 <= count <= len(faces):
        raise InputError(f"background={count!r}: there are {len(faces)} average faces; give a number from 1 to that")
    return faces[:count]


@lru_cache(maxsize=1)
def _all_background_faces() -> tuple[Image.Image, ...]:
    with Image.open(BACKGROUND_FILE) as file:
        row = file.convert("L")
    return tuple(row.crop((left, 0, left + GRID, GRID)) for left in range(0, row.width, GRID))


def deep_unsupported(network: nn.Module, pixels: torch.Tensor) -> str:
    """The reason why shap's Deep explainer cannot explain this network, or an empty string.

    `network` is a private copy, `pixels` one prepared face, (1, C, S, S). Deep finds a layer's rule by the name of
    its class. It stores one input per layer, so a layer that runs twice per pass, such as the ReLU of a residual
    block, would get the values of its last run.
    """
    leaves = [m for m in network.modules() if not list(m.children())]
    if unknown := sorted({type(m).__name__ for m in leaves} - set(layer_rules())):
        return f"it has no rule for {', '.join(unknown)}"
    runs: Counter[nn.Module] = Counter()
    handles = [m.register_forward_hook(lambda m, *_: runs.update([m])) for m in leaves]
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if repeated := sorted({type(m).__name__ for m, count in runs.items() if count > 1}):
        return f"its {', '.join(repeated)} layers run more than once per pass"
    return ""


class _TargetLogit(nn.Module):
    """The network with one output, (N, 1): the target's logit, minus that of `versus` where there is one.

    `on_batch` is called with the batch size of every forward pass.
    """

    def __init__(
        self, network: nn.Module, target: int, versus: int | None, on_batch: Callable[[int], None] | None = None
    ) -> None:
        super().__init__()
        self.network, self.target, self.versus, self.on_batch = network, target, versus, on_batch

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        if self.on_batch:
            self.on_batch(len(pixel_values))
        logits = self.network(pixel_values)
        value = logits[:, self.target] if self.versus is None else logits[:, self.target] - logits[:, self.versus]
        return value[:, None]


def deep(
    subject: Subject, faces: Sequence[Image.Image], progress: Progress | None, *, check_sum: bool
) -> Relevance | str:
    """The contributions by DeepLIFT's rescale rule against the background `faces`, or why Deep cannot compute them.

    With `check_sum` contributions whose sum misses the difference of the logits by more than TOLERANCE are such a
    reason; without it they are returned.
    """
    backend = torch_backend(subject.predictor)
    with private_copy(backend.classifier.network) as private:
        pixels = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        background = torch.from_numpy(subject.predictor.preprocessor.batch(faces)).to(backend.device)
        if reason := deep_unsupported(private, pixels):
            return reason
        target_logit = _TargetLogit(private, subject.target, subject.versus)
        signed, expected, done = np.zeros((subject.size, subject.size)), 0.0, 0.0
        with remove_leftovers(private):
            # the mean over the background, a few faces at a time to bound the memory
            for part in background.split(max(1, 64 * 48 * 48 // subject.size**2)):
                values, part_expected = deep_values(target_logit, part, pixels)
                weight = len(part) / len(background)
                signed += weight * _channel_sum(values)
                expected += weight * part_expected
                done += weight
                if progress:
                    progress(min(1.0, done))
    difference = float(subject.logits(subject.pixel_values[None])[0]) - expected
    gap = abs(difference - float(signed.sum()))
    if check_sum and gap > TOLERANCE[0] + TOLERANCE[1] * abs(difference):
        return f"the sum of its contributions misses {gap:.3f} of a difference of {difference:.3f}"
    return Relevance(
        signed=signed.astype(np.float32),
        parameters={"explainer": "deep", "background": len(faces), "difference": difference},
        scores={"additivity": gap},
    )


def gradient(
    subject: Subject, faces: Sequence[Image.Image], samples: int, seed: int, progress: Progress | None
) -> Relevance:
    """The contributions by expected gradients, with `samples` draws between the background `faces` and the face."""
    from shap import GradientExplainer

    backend = torch_backend(subject.predictor)
    batch = max(1, 50 * 48 * 48 // subject.size**2)
    evaluated = -len(faces)  # the explainer first runs the background itself

    def on_batch(count: int) -> None:
        nonlocal evaluated
        evaluated += count
        if progress:
            progress(min(1.0, max(0, evaluated) / samples))

    with private_copy(backend.classifier.network) as private:
        pixels = torch.from_numpy(subject.pixel_values[None]).to(backend.device)
        background = torch.from_numpy(subject.predictor.preprocessor.batch(faces)).to(backend.device)
        target_logit = _TargetLogit(private, subject.target, subject.versus, on_batch)
        with global_seed(seed):
            explainer = GradientExplainer(target_logit, background, batch_size=batch)
            values = explainer.shap_values(pixels, nsamples=samples, rseed=seed)
    return Relevance(
        signed=_channel_sum(values).astype(np.float32),
        parameters={"explainer": "gradient", "background": len(faces), "samples": samples, "seed": seed},
    )


def _channel_sum(values: np.ndarray) -> np.ndarray:
    """float64, (S, S): the sum over the channels of (1, C, S, S) or (1, C, S, S, 1)."""
    return np.asarray(values, dtype=np.float64).reshape(np.shape(values)[:4])[0].sum(axis=0)
