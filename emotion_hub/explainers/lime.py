"""LIME on superpixels of the 48-pixel face.

LIME: Ribeiro et al. 2016, arXiv:1602.04938.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID, Progress, Relevance, Subject, check_seed

__all__ = ["lime", "superpixels"]

#: Weights up to this size, in probability, are 0: rounding errors of the regression when all probabilities are equal.
_ROUNDING = 1e-12


def lime(
    subject: Subject, progress: Progress | None = None, *, samples: int = 1000, segments: int = 50, seed: int = 0
) -> Relevance:
    """The weight of each superpixel as `signed`, in probability: a ridge regression on which superpixels are blurred.

    The regression predicts the class's probability. The same `seed` gives the same map. The score `fit` is the
    regression's weighted R², which says how well it describes the network. Raises InputError for fewer samples than
    two per superpixel, fewer than 4 superpixels, and a seed that NumPy does not take.
    """
    if not isinstance(segments, int) or segments < 4:
        raise InputError(f"segments={segments!r}: fewer than 4 superpixels explain nothing; give at least 4")
    if not isinstance(samples, int) or samples < 2 * segments:
        raise InputError(
            f"samples={samples!r}: a regression on {segments} superpixels needs at least {2 * segments} samples"
        )
    check_seed(seed)
    from emotion_hub.explainers.lime_compat import superpixel_weights  # here, because it imports lime

    cells = superpixels(subject.prepared, segments)
    weights, fit = superpixel_weights(
        cells,
        lambda shown: subject.probs(subject.masked(shown[:, cells])),
        samples=samples,
        batch_size=subject.batch_size,
        seed=seed,
        progress=progress,
    )
    weights[np.abs(weights) <= _ROUNDING] = 0
    index = np.arange(subject.size) * GRID // subject.size
    signed = weights[cells[index[:, None], index[None, :]]]
    parameters = {"samples": samples, "segments": len(weights), "seed": seed}
    return Relevance(signed=signed, parameters=parameters, scores={"fit": fit if weights.any() else 0.0})


def superpixels(prepared: Image.Image, segments: int = 50) -> np.ndarray:
    """int, (GRID, GRID), numbered from 0 without gaps: about `segments` compact patches that follow edges of the face.

    SLIC (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120) on the face at 48 pixels, for both pipelines: the upscaled
    face has no more detail. Patches are about 7 by 7 pixels, the size of an eye or a corner of the mouth.
    """
    from skimage.segmentation import slic

    gray = prepared.convert("L")
    if gray.size != (GRID, GRID):
        gray = gray.resize((GRID, GRID), Image.Resampling.BOX)
    pixels = np.asarray(gray, dtype=np.float64) / 255
    segmented = slic(pixels, n_segments=segments, compactness=0.3, channel_axis=None, start_label=0)
    return np.unique(segmented, return_inverse=True)[1].reshape(GRID, GRID)
