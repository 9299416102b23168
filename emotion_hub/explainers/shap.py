"""SHAP (Lundberg and Lee 2017, arXiv:1705.07874), through `shap`: Deep where the network allows it, Gradient otherwise, Partition without torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID, Progress, Relevance, Subject, check_seed

__all__ = ["EXPLAINERS", "global_seed", "shap"]

log = logging.getLogger(__name__)

EXPLAINERS = ("auto", "deep", "gradient", "partition")

#: GradientExplainer and PartitionExplainer draw from NumPy's global generator; their runs take turns. One may begin inside another's progress.
_GLOBAL_SEED = threading.RLock()


def shap(
    subject: Subject,
    progress: Progress | None = None,
    *,
    explainer: str = "auto",
    background: int = 16,
    samples: int | None = None,
    seed: int = 0,
) -> Relevance:
    """Each pixel's contribution to the class's logit (with `versus`, to the difference of logits), against average neutral faces.

    "deep" is DeepLIFT's rescale rule over `background` faces, whose contributions sum to the difference of the logits: the score
    `additivity` is what is missing of it. "gradient" is expected gradients (Erion et al. 2021, arXiv:1906.10670) with `samples` draws
    (200 unless told), "partition" the Owen values of nested rectangles against the blurred face with `samples` runs of the network
    (500), for networks that are not torch's. "auto" takes the first that holds for the network. Raises InputError for one that does not.
    """
    if explainer not in EXPLAINERS:
        raise InputError(f"explainer={explainer!r}; choose from {', '.join(EXPLAINERS)}")
    if samples is not None and (not isinstance(samples, int) or samples < 20):
        raise InputError(f"samples={samples!r}: a whole number of at least 20 is needed, fewer say nothing")
    check_seed(seed)
    is_torch = isinstance(subject.predictor.backend, TorchBackend)
    if explainer in ("deep", "gradient") and not is_torch:
        raise InputError(
            f"explainer={explainer!r} differentiates the network and this predictor runs without torch; use explainer='partition'"
        )
    if explainer == "partition" or not is_torch:
        return _partition(subject, samples or 500, seed, progress)
    from emotion_hub.explainers.shap_torch import background_faces, deep, gradient

    faces = background_faces(background)
    if explainer != "gradient":
        found = deep(subject, faces, progress, must=explainer == "deep")
        if isinstance(found, Relevance):
            return found
        if explainer == "deep":
            raise InputError(f"shap's Deep cannot follow {subject.predictor.name}: {found}; use explainer='gradient'")
        log.info("shap's Deep cannot follow %s (%s); expected gradients answer instead", subject.predictor.name, found)
    return gradient(subject, faces, samples or 200, seed, progress)


def _partition(subject: Subject, samples: int, seed: int, progress: Progress | None) -> Relevance:
    from shap import PartitionExplainer
    from shap.maskers import Image as ImageMasker

    done = 0
    batch = max(1, 64 * 48 * 48 // subject.size**2)

    def value(masks: np.ndarray) -> np.ndarray:
        """float64, (N,), of masks (N, GRID, GRID, 1): which cells of the face are shown."""
        nonlocal done
        answers = [
            subject.logits(subject.keep(masks[i : i + batch, ..., 0] > 0.5)) for i in range(0, len(masks), batch)
        ]
        done += len(masks)
        if progress:
            progress(min(1.0, done / samples))
        return np.concatenate(answers)

    shown = np.ones((GRID, GRID, 1))
    explainer = PartitionExplainer(value, ImageMasker(np.zeros_like(shown), shown.shape))
    with global_seed(seed):  # it draws which of two equal patches is divided first
        values = explainer(shown[None], max_evals=samples, batch_size=64, silent=True).values
    cells = np.asarray(values, dtype=np.float64).reshape(GRID, GRID)
    index = np.arange(subject.size) * GRID // subject.size
    ends = subject.logits(np.stack([subject.pixel_values, subject.blurred]))
    difference = float(ends[0] - ends[1])
    spread = (subject.size / GRID) ** -2  # a cell's contribution is shared by its pixels, so that the map's sum stays
    signed = (cells * spread)[index[:, None], index[None, :]].astype(np.float32)
    gap = abs(difference - float(cells.sum()))
    return Relevance(
        signed=signed,
        parameters={"explainer": "partition", "samples": samples, "seed": seed, "difference": difference},
        scores={"additivity": gap},
    )


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """NumPy's global generator seeded for this run alone, and as it was before afterwards."""
    with _GLOBAL_SEED:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
