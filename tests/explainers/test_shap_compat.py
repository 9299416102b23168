"""Canary for what shap_compat relies on in shap."""

from __future__ import annotations

import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import shap
import torch
from shap.explainers._deep import deep_pytorch
from shap.maskers import Image as ImageMasker
from torch import nn

from emotion_hub.explainers.shap_compat import (
    EXTRA_ACTIVATIONS,
    deep_values,
    global_seed,
    layer_rules,
    remove_leftovers,
)

NEXT_STEP = "check emotion_hub/explainers/shap_compat.py against this release, then update it and the bound"


class Nested(nn.Module):
    """A network inside a module that is no container, as the explained networks are; one output."""

    def __init__(self, activation: str = "ReLU") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = Inner(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Inner(nn.Module):
    def __init__(self, activation: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), getattr(nn, activation)(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def images(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_the_installed_shap_is_a_release_that_was_checked():
    assert version("shap").startswith("0.51."), f"shap is {version('shap')}: {NEXT_STEP}"


def test_the_bound_of_shap_allows_checked_releases_only():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    [bound] = [line for line in project["optional-dependencies"]["explain"] if line.startswith("shap")]
    assert bound == "shap>=0.51,<0.52", f"{bound}: {NEXT_STEP}"


def test_shaps_layer_table_has_the_rule_that_is_extended():
    rules = deep_pytorch.op_handler
    assert isinstance(rules, dict), f"op_handler is no dictionary: {NEXT_STEP}"
    assert rules["ReLU"].__name__ == "nonlinear_1d", f"ReLU has another rule: {NEXT_STEP}"
    extended = layer_rules()
    assert extended is rules
    for name in EXTRA_ACTIVATIONS:
        assert hasattr(nn, name), f"torch has no layer {name}"
        assert extended[name] is rules["ReLU"]


@pytest.mark.parametrize("activation", ["ReLU", *EXTRA_ACTIVATIONS])
def test_contributions_sum_to_the_difference_of_the_outputs(activation):
    layer_rules()
    network, background, pixels = Nested(activation).requires_grad_(False), images(3, 1), images(1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # shap warns about a layer that its table lacks
        values, expected = deep_values(network, background, pixels)
    with torch.no_grad():
        outputs = network(background)
        difference = float(network(pixels)) - float(outputs.mean())
    assert values.shape == (1, 1, 8, 8)
    assert expected == pytest.approx(float(outputs.mean()), abs=1e-6), f"expected_value has changed: {NEXT_STEP}"
    assert float(values.sum()) == pytest.approx(difference, abs=1e-4), f"the rule of {activation} changed: {NEXT_STEP}"


def test_shap_leaves_tensors_in_nested_layers_and_they_are_removed():
    network = Nested().requires_grad_(False)
    before = {name for name, _ in network.named_parameters()}
    deep_values(network, images(2, 1), images(1, 2))
    leftovers = {name for name, _ in network.named_parameters()} - before
    assert leftovers, f"shap leaves no tensors any more, so remove_leftovers can be deleted: {NEXT_STEP}"
    network = Nested().requires_grad_(False)
    with remove_leftovers(network):
        deep_values(network, images(2, 1), images(1, 2))
    assert {name for name, _ in network.named_parameters()} == before


def run_gradient() -> None:
    explainer = shap.GradientExplainer(Nested().requires_grad_(False), images(2, 1))
    explainer.shap_values(images(1, 2), nsamples=4, rseed=3)


def run_partition() -> None:
    shown = np.ones((8, 8, 1))
    explainer = shap.PartitionExplainer(
        lambda masks: masks.sum(axis=(1, 2, 3)), ImageMasker(np.zeros_like(shown), shown.shape)
    )
    explainer(shown[None], max_evals=20, silent=True)


def global_state() -> tuple[bytes, int]:
    _, keys, position, *_ = np.random.get_state()
    return keys.tobytes(), position


@pytest.mark.parametrize("run", [run_gradient, run_partition], ids=["gradient", "partition"])
def test_shap_draws_from_numpys_global_generator_whose_state_is_restored(run):
    np.random.seed(5)
    before = global_state()
    with global_seed(1):
        inside = global_state()
        run()
        assert global_state() != inside, f"shap does not draw from the global generator any more: {NEXT_STEP}"
    assert global_state() == before
