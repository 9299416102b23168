"""Compatibility with the `lime` package: its explainer with batched sampling.

Overridden: `LimeImageExplainer.data_labels`, which is not documented as an extension point. Relied on: that
`explain_instance` calls it with these arguments and fits its regression to what it returns, that `random_state` is
the generator of the samples, and that the result has `local_exp` and `score`.

Checked with lime 0.2.0.1. The bound lime>=0.2.0.1,<0.3 in pyproject.toml also allows later 0.2 releases, on which
tests/explainers/test_lime_compat.py fails until they are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lime.lime_image import LimeImageExplainer

from emotion_hub.explainers.base import Progress

__all__ = ["superpixel_weights"]


def superpixel_weights(
    segments: np.ndarray,
    probs: Callable[[np.ndarray], np.ndarray],
    *,
    samples: int,
    batch_size: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, float]:
    """LIME's weight per superpixel, float32 (number of superpixels,), and the weighted R² of its regression.

    `segments` is int, (H, W), numbered from 0 without gaps. `probs` gives float (N,) for bool (N, number of
    superpixels), which are shown. lime draws `samples` such rows with `seed`; `progress` is called once per batch.
    """
    result = _BatchedExplainer(seed, progress).explain_instance(
        np.zeros((*segments.shape, 3)),  # a placeholder: `probs` composes the pixels itself
        lambda shown: probs(shown)[:, None],
        labels=(0,),
        top_labels=None,
        hide_color=0,
        num_samples=samples,
        batch_size=batch_size,
        segmentation_fn=lambda image: segments,
        random_seed=seed,
    )
    weights = np.zeros(int(segments.max()) + 1, dtype=np.float32)
    for segment, weight in result.local_exp[0]:
        weights[segment] = weight
    return weights, float(result.score)


class _BatchedExplainer(LimeImageExplainer):
    """lime's explainer, where the classifier function gets batches of superpixel rows in place of images.

    lime's own `data_labels` copies the image once per sample and writes a progress bar to the terminal.
    """

    def __init__(self, seed: int, progress: Progress | None) -> None:
        super().__init__(random_state=seed)
        self.progress = progress

    def data_labels(
        self,
        image: np.ndarray,
        fudged_image: np.ndarray,
        segments: np.ndarray,
        classifier_fn: Callable[[np.ndarray], np.ndarray],
        num_samples: int,
        batch_size: int = 10,
    ) -> tuple[Any, np.ndarray]:
        """The sampled rows, int (samples, superpixels), and the classifier's values for them, float (samples, 1).

        The rows are drawn as lime draws them; the first one shows every superpixel.
        """
        count = int(segments.max()) + 1
        rows = self.random_state.randint(0, 2, num_samples * count).reshape(num_samples, count)
        rows[0] = 1
        values = []
        for start in range(0, num_samples, batch_size):
            values.append(classifier_fn(rows[start : start + batch_size].astype(bool)))
            if self.progress:
                self.progress(min(1.0, (start + batch_size) / num_samples))
        return rows, np.concatenate(values)
