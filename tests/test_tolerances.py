"""The tolerances of these tests.

Rounding errors pass, any other difference does not; noise for one network is noise for no other.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from tests.noisy_networks import NOISE, noisy_linear
from tests.tolerances import (
    MAPS,
    PROBS,
    assert_same_logits,
    assert_same_maps,
    assert_same_probs,
    assert_same_rows,
    assert_same_weights,
)

EXPECTED = {"happy": 0.7, "sad": 0.2, "fear": 0.1}
ROW = {
    "picture": 0,
    "label": "happy",
    "bbox": [0, 0, 8, 8],
    "error": None,
    "prob_happy": 0.75,
    "prob_sad": 0.25,
    "prob_disgust": None,
}


def test_probabilities_are_compared_label_by_label() -> None:
    assert_same_probs({"sad": 0.2 + PROBS / 2, "fear": 0.1, "happy": 0.7 - PROBS / 2}, EXPECTED)
    shifted, swapped = {**EXPECTED, "sad": 0.2 + 2 * PROBS}, dict(zip(EXPECTED, (0.2, 0.7, 0.1), strict=True))
    for wrong in (
        shifted,
        swapped,
        {**EXPECTED, "sad": float("nan")},
        {**EXPECTED, "angry": 0.0},
        {"happy": 0.7, "sad": 0.2},
    ):
        with pytest.raises(AssertionError):
            assert_same_probs(wrong, EXPECTED)


def test_logits_and_maps_must_have_the_same_shape_and_no_nan() -> None:
    values = np.float32([[3.0, -2.0, 0.0]])
    for same, scale in ((assert_same_logits, 1e-4), (assert_same_maps, MAPS)):
        same(values * (1 + scale / 2), values)
        for wrong in (values * (1 + 2 * scale), values[0], values[:, ::-1], values * np.nan):
            with pytest.raises(AssertionError):
                same(wrong, values)


@pytest.mark.parametrize(
    "change",
    [
        {"prob_sad": 0.26},
        {"label": "sad"},
        {"bbox": [0, 0, 8, 9]},
        {"error": "x"},
        {"prob_sad": None},
        {"prob_disgust": 0.0},
        {"x": 1},
    ],
)
def test_rows_are_equal_but_for_rounding_errors_of_probabilities(change: dict) -> None:
    assert_same_rows([ROW | {"prob_sad": 0.25 + PROBS / 2}], [ROW])
    for found in ([ROW | change], [], [ROW, ROW]):
        with pytest.raises(AssertionError):
            assert_same_rows(found, [ROW])


def test_weights_are_compared_to_the_last_bit() -> None:
    network = nn.Linear(3, 2)
    other = deepcopy(network)
    assert_same_weights(other, network)
    with torch.no_grad():
        other.bias[1] = torch.nextafter(other.bias[1], torch.tensor(9.0))
    for wrong in (other, deepcopy(network).half(), nn.Sequential(network)):
        with pytest.raises(AssertionError):
            assert_same_weights(wrong, network)


def test_the_noise_of_a_network_is_its_own_and_small() -> None:
    forward = noisy_linear(nn.Linear.forward)
    network, pixels = nn.Linear(300, 7).eval(), torch.rand(4, 300)
    other = deepcopy(network)
    with torch.inference_mode():
        one, two = forward(network, pixels), forward(other, pixels)
        assert torch.equal(forward(network, pixels), one)
        assert not torch.equal(one, two)
        assert not torch.equal(forward(network, pixels[:3]), one[:3])
        assert_same_logits(two, one)
        assert (two - one).abs().max() <= 4 * NOISE * one.abs().max() + 1e-6
        assert torch.equal(forward(network.train(), pixels), nn.Linear.forward(network, pixels)), (
            "training steps have no noise"
        )
