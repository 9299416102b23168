"""LIME (Ribeiro et al. 2016, arXiv:1602.04938) on superpixels of the native face, through `lime`."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID, Progress, Relevance, Subject, check_seed

__all__ = ["lime", "superpixels"]

#: Samples a run of the network gets: more fills the cache, fewer leaves a cancelled run waiting.
_PIXELS_A_BATCH = 128 * 48 * 48

#: What the regression's rounding leaves of answers that are all the same, in probability: no relevance.
_ROUNDING = 1e-12


def lime(
    subject: Subject, progress: Progress | None = None, *, samples: int = 1000, segments: int = 50, seed: int = 0
) -> Relevance:
    """Each superpixel's weight in a ridge regression of the class's probability on which superpixels are blurred.

    Seeded: the same `seed` gives the same map. `signed` is in probability; the score `fit` is the regression's weighted R² and says how
    far it may be believed. Raises InputError for a budget that cannot fit the superpixels.
    """
    if not isinstance(segments, int) or segments < 4:
        raise InputError(f"segments={segments!r}: fewer than 4 superpixels explain nothing")
    if not isinstance(samples, int) or samples < 2 * segments:
        raise InputError(
            f"samples={samples!r}: a regression on {segments} superpixels needs at least {2 * segments} samples"
        )
    check_seed(seed)
    cells = superpixels(subject.prepared, segments)
    explainer = _explainer(subject, cells, progress, seed)
    found = explainer.explain_instance(
        np.zeros((GRID, GRID, 3)),  # the samples below are made from the subject itself
        explainer.quantity,
        labels=(0,),
        top_labels=None,
        hide_color=0,
        num_samples=samples,
        batch_size=max(1, _PIXELS_A_BATCH // subject.size**2),
        segmentation_fn=lambda image: cells,
        random_seed=seed,
    )
    weights = np.zeros(int(cells.max()) + 1, dtype=np.float32)
    for segment, weight in found.local_exp[0]:
        weights[segment] = weight if abs(weight) > _ROUNDING else 0
    index = np.arange(subject.size) * GRID // subject.size
    signed = weights[cells[index[:, None], index[None, :]]]
    used = {"samples": samples, "segments": len(weights), "seed": seed}
    return Relevance(signed=signed, parameters=used, scores={"fit": float(found.score) if weights.any() else 0.0})


def superpixels(prepared: Image.Image, segments: int = 50) -> np.ndarray:
    """int, (GRID, GRID), from 0 without gaps: about `segments` compact patches that follow the face's edges.

    SLIC (Achanta et al. 2012) on the native 48 pixels, for both pipelines: patches of about 7 by 7, small enough for an eye or a mouth corner. The
    upscale has no detail that the native face lacks.
    """
    from skimage.segmentation import slic

    gray = prepared.convert("L")
    if gray.size != (GRID, GRID):
        gray = gray.resize((GRID, GRID), Image.Resampling.BOX)
    pixels = np.asarray(gray, dtype=np.float64) / 255
    found = slic(pixels, n_segments=segments, compactness=0.3, channel_axis=None, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(GRID, GRID)


def _explainer(subject: Subject, cells: np.ndarray, progress: Progress | None, seed: int) -> Any:
    from lime.lime_image import LimeImageExplainer

    class Explainer(LimeImageExplainer):
        """lime's explainer with its sampling done in whole batches: its own loop copies each image and draws a bar on the terminal."""

        def quantity(self, kept: np.ndarray) -> np.ndarray:
            """float64, (N, 1), for bool (N, superpixels)."""
            return subject.probs(subject.keep(kept[:, cells]))[:, None]

        def data_labels(
            self,
            image: Any,
            fudged_image: Any,
            segments: Any,
            classifier_fn: Any,
            num_samples: int,
            batch_size: int = 10,
        ) -> Any:
            count = int(cells.max()) + 1
            data = self.random_state.randint(0, 2, num_samples * count).reshape(num_samples, count)
            data[0] = 1
            answers = []
            for start in range(0, num_samples, batch_size):
                answers.append(classifier_fn(data[start : start + batch_size].astype(bool)))
                if progress:
                    progress(min(1.0, (start + batch_size) / num_samples))
            return data, np.concatenate(answers)

    return Explainer(random_state=seed)
