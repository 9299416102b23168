"""Canary for what lime_compat relies on in lime."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import numpy as np
import pytest
from lime.lime_image import LimeImageExplainer

from emotion_hub.explainers.lime_compat import superpixel_weights

NEXT_STEP = "check emotion_hub/explainers/lime_compat.py against this release, then update it and the bound"

#: Twelve superpixels of 4x4 pixels.
SEGMENTS = np.arange(12).reshape(3, 4).repeat(4, axis=0).repeat(4, axis=1)
CONTRIBUTIONS = np.linspace(-0.05, 0.06, 12)


def probs(shown: np.ndarray) -> np.ndarray:
    return 0.5 + shown @ CONTRIBUTIONS


def test_the_installed_lime_is_the_release_that_was_checked():
    assert version("lime") == "0.2.0.1", f"lime is {version('lime')}: {NEXT_STEP}"


def test_lime_has_the_method_that_is_overridden():
    parameters = inspect.signature(LimeImageExplainer.data_labels).parameters
    expected = ["self", "image", "fudged_image", "segments", "classifier_fn", "num_samples", "batch_size"]
    assert list(parameters) == expected, f"LimeImageExplainer.data_labels has other parameters: {NEXT_STEP}"


@pytest.mark.parametrize("seed", [0, 7])
def test_batched_sampling_gives_the_weights_of_limes_own_sampling(seed):
    """lime's own data_labels composes images; here each image shows which superpixels are on."""
    samples = 60
    result = LimeImageExplainer(random_state=seed).explain_instance(
        np.ones((*SEGMENTS.shape, 3)),
        lambda images: probs(images[:, ::4, ::4, 0].reshape(len(images), 12))[:, None],
        labels=(0,),
        top_labels=None,
        hide_color=0,
        num_samples=samples,
        segmentation_fn=lambda image: SEGMENTS,
        random_seed=seed,
    )
    expected = [weight for _, weight in sorted(result.local_exp[0])]
    weights, fit = superpixel_weights(SEGMENTS, probs, samples=samples, batch_size=16, seed=seed)
    np.testing.assert_allclose(weights, expected, atol=1e-6, err_msg=f"the sampling of lime has changed: {NEXT_STEP}")
    assert fit == pytest.approx(result.score, abs=1e-9), f"the regression of lime has changed: {NEXT_STEP}"
    assert np.corrcoef(weights, CONTRIBUTIONS)[0, 1] > 0.9


def test_the_samples_come_in_batches_and_the_first_shows_every_superpixel():
    batches: list[np.ndarray] = []
    fractions: list[float] = []

    def record(shown: np.ndarray) -> np.ndarray:
        batches.append(shown)
        return probs(shown)

    superpixel_weights(SEGMENTS, record, samples=50, batch_size=20, seed=0, progress=fractions.append)
    assert [len(batch) for batch in batches] == [20, 20, 10]
    assert fractions == [0.4, 0.8, 1.0]
    assert batches[0].dtype == bool
    assert batches[0][0].all()
    assert not np.concatenate(batches)[1:].all()
