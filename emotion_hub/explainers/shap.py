"""SHAP values by the `shap` package: Deep, Gradient, Partition explainers.

SHAP: Lundberg and Lee 2017, arXiv:1705.07874. The Deep explainer where it supports the network's layers, else
Gradient; Partition for a network that is not on torch. Deep and Gradient are in `shap_torch`, so that this module
does not import torch.
"""

from __future__ import annotations

import logging

import numpy as np

from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID, Progress, Relevance, Subject, check_seed
from emotion_hub.explainers.shap_compat import global_seed

__all__ = ["EXPLAINERS", "shap"]

log = logging.getLogger(__name__)

EXPLAINERS = ("auto", "deep", "gradient", "partition")


def shap(
    subject: Subject,
    progress: Progress | None = None,
    *,
    explainer: str = "auto",
    background: int = 16,
    samples: int | None = None,
    seed: int = 0,
) -> Relevance:
    """Each pixel's contribution to the class's logit as `signed`; with `versus`, to the difference of the two logits.

    - "deep": DeepLIFT's rescale rule against `background` average neutral faces. The contributions sum to the
      difference between the face's logit and the mean logit of those faces; the score `additivity` is the absolute
      error of that sum.
    - "gradient": expected gradients (Erion et al. 2021, arXiv:1906.10670) with `samples` draws, by default 200,
      between the background faces and the face.
    - "partition": Owen values of nested rectangles against the blurred face, with `samples` evaluations of the
      network, by default 500. It works on any backend.
    - "auto": the first of these that supports the network.

    Raises InputError for an unknown explainer, one that does not support the network, and numbers out of range.
    """
    if explainer not in EXPLAINERS:
        raise InputError(f"explainer={explainer!r}; choose from {', '.join(EXPLAINERS)}")
    if samples is not None and (not isinstance(samples, int) or samples < 20):
        raise InputError(f"samples={samples!r}: give a whole number of at least 20, or leave it out")
    check_seed(seed)
    is_torch = isinstance(subject.predictor.backend, TorchBackend)
    if explainer in ("deep", "gradient") and not is_torch:
        raise InputError(
            f"explainer={explainer!r} differentiates the network and this predictor runs without torch; "
            "use explainer='partition'"
        )
    if explainer == "partition" or not is_torch:
        return _partition(subject, samples or 500, seed, progress)
    from emotion_hub.explainers.shap_torch import background_faces, deep, gradient

    name, faces = subject.predictor.name, background_faces(background)
    if explainer != "gradient":
        result = deep(subject, faces, progress, check_sum=explainer == "auto")
        if isinstance(result, Relevance):
            return result
        if explainer == "deep":
            raise InputError(f"shap's Deep explainer does not support {name}: {result}; use explainer='gradient'")
        log.info("shap's Deep explainer does not support %s (%s); expected gradients are used instead", name, result)
    return gradient(subject, faces, samples or 200, seed, progress)


def _partition(subject: Subject, samples: int, seed: int, progress: Progress | None) -> Relevance:
    from shap import PartitionExplainer
    from shap.maskers import Image as ImageMasker

    evaluated = 0
    batch = subject.batch_size

    def masked_logits(masks: np.ndarray) -> np.ndarray:
        """float64, (N,), for masks (N, GRID, GRID, 1): 1 where a cell of the face is shown, 0 where it is blurred."""
        nonlocal evaluated
        shown, logits = masks[..., 0] > 0.5, []
        for part in np.split(shown, range(batch, len(shown), batch)):
            logits.append(subject.logits(subject.masked(part)))
            evaluated += len(part)
            if progress:
                progress(min(1.0, evaluated / samples))
        return np.concatenate(logits)

    all_shown = np.ones((GRID, GRID, 1))
    explainer = PartitionExplainer(masked_logits, ImageMasker(np.zeros_like(all_shown), all_shown.shape))
    with global_seed(seed):  # shap draws which of two equal rectangles is divided first
        values = explainer(all_shown[None], max_evals=samples, batch_size=64, silent=True).values
    cells = np.asarray(values, dtype=np.float64).reshape(GRID, GRID)
    index = np.arange(subject.size) * GRID // subject.size
    face_logit, blurred_logit = subject.logits(np.stack([subject.pixel_values, subject.blurred]))
    difference = float(face_logit - blurred_logit)
    pixels_per_cell = (subject.size / GRID) ** 2  # they share the cell's contribution, so that the map's sum is kept
    signed = (cells / pixels_per_cell)[index[:, None], index[None, :]].astype(np.float32)
    return Relevance(
        signed=signed,
        parameters={"explainer": "partition", "samples": samples, "seed": seed, "difference": difference},
        scores={"additivity": abs(difference - float(cells.sum()))},
    )
