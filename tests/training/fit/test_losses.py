"""Class weights and the logit-adjusted loss against their papers' formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError
from emotion_hub.preprocess import NATIVE48
from training.fit.losses import balancing, class_weights, log_priors, training_loss
from training.fit.recipe import Recipe

LABELS = np.array([0] * 6 + [1] * 3 + [2])


def _recipe(**settings) -> Recipe:
    return Recipe("tiny", "emotion_cnn", NATIVE48, 1, 0.1, label_set=("a", "b", "c"), **settings)


def _logits(count: int = 10, classes: int = 3) -> torch.Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(0))


# class weights


def test_inverse_weights_average_to_one_over_the_images():
    labels = np.array([0, 0, 0, 0, 1, 2])
    weights = class_weights(labels, 3)
    np.testing.assert_allclose(weights, [0.5, 2.0, 2.0])
    assert weights[labels].mean() == pytest.approx(1)


def test_class_balanced_weights_are_those_of_the_paper_up_to_a_factor():
    beta = 0.9
    by_hand = [(1 - beta) / (1 - beta**n) for n in (6, 3, 1)]  # Cui et al. 2019, equation 2
    weights = class_weights(LABELS, 3, "class_balanced", beta)
    np.testing.assert_allclose(weights / weights[0], np.array(by_hand) / by_hand[0], rtol=1e-6)
    assert weights[LABELS].mean() == pytest.approx(1)
    assert weights[0] < weights[1] < weights[2]


def test_beta_leads_from_equal_weights_to_inverse_frequencies():
    np.testing.assert_allclose(class_weights(LABELS, 3, "class_balanced", 0.0), 1)
    np.testing.assert_allclose(
        class_weights(LABELS, 3, "class_balanced", 1 - 1e-9), class_weights(LABELS, 3, "inverse"), rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["inverse", "class_balanced"])
def test_a_class_without_images_has_no_weight(kind):
    with pytest.raises(ConfigError, match=rf"class_weights='{kind}'.*label_id \[3\] has none"):
        class_weights(LABELS, 4, kind)


# logit adjustment


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_the_loss_is_that_of_the_paper(tau):
    """Menon et al. 2021, equation 10: -log(exp(f_y + tau log pi_y) / sum_k exp(f_k + tau log pi_k)), by hand."""
    logits, targets = _logits(), torch.eye(3)[LABELS]
    offsets = tau * torch.from_numpy(log_priors(targets.numpy()))
    frequencies = (0.6, 0.3, 0.1)
    by_hand = []
    for row, label in zip(logits.tolist(), LABELS.tolist(), strict=True):
        terms = [math.exp(f + tau * math.log(pi)) for f, pi in zip(row, frequencies, strict=True)]
        by_hand.append(-math.log(terms[label] / sum(terms)))
    loss = float(training_loss(logits, targets, offsets=offsets))
    assert loss == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    assert abs(loss - float(F.cross_entropy(logits, targets))) > 0.05, "the adjustment changes the loss"
    assert float(training_loss(logits, torch.from_numpy(LABELS), offsets=offsets)) == pytest.approx(loss, rel=1e-5)


def test_equal_class_frequencies_change_nothing():
    targets = torch.eye(3)[np.array([0, 1, 2] * 4)]
    logits = _logits(12).requires_grad_()
    plain = F.cross_entropy(logits, targets, label_smoothing=0.1)
    [plain_gradient] = torch.autograd.grad(plain, logits)
    for recipe in (_recipe(loss="logit_adjusted"), *(_recipe(class_weights=k) for k in ("inverse", "class_balanced"))):
        weights, offsets = balancing(recipe, targets.argmax(1).numpy(), targets.numpy())
        assert (weights is None) != (offsets is None)
        loss = training_loss(logits, targets, weights=weights, offsets=offsets, smoothing=0.1)
        [gradient] = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(loss, plain)
        torch.testing.assert_close(gradient, plain_gradient)


def test_the_minimum_predicts_as_if_all_labels_were_equally_frequent():
    """Free logits of two kinds of faces; softmax(f) is proportional to P(y | face) / pi_y."""
    targets = torch.cat([torch.eye(3)[[0] * 8 + [1] * 2], torch.eye(3)[[0] * 2 + [1] * 4 + [2] * 4]])
    kinds = torch.tensor([0] * 10 + [1] * 10)
    offsets = torch.from_numpy(log_priors(targets.numpy()))
    table = torch.zeros(2, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([table], max_iter=200, tolerance_grad=1e-9)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = training_loss(table[kinds], targets, offsets=offsets)
        loss.backward()
        return loss

    optimizer.step(step)
    posterior = torch.tensor([0.2, 0.4, 0.4]) / torch.tensor([0.5, 0.3, 0.2])
    torch.testing.assert_close(table[1].softmax(0).detach(), posterior / posterior.sum(), atol=2e-3, rtol=0)


def test_the_priors_of_soft_targets_are_their_means_and_mixing_keeps_them():
    generator = np.random.default_rng(0)
    teacher = generator.dirichlet((4, 2, 1), 10).astype(np.float32)
    targets = (0.4 * np.eye(3)[LABELS] + 0.6 * teacher).astype(np.float32)
    np.testing.assert_allclose(np.exp(log_priors(targets)), targets.mean(0), rtol=1e-5)
    assert np.abs(targets.mean(0) - [0.6, 0.3, 0.1]).max() > 0.02, "the teacher's frequencies differ from the labels'"
    mixed = 0.3 * targets + 0.7 * np.roll(targets, 1, axis=0)
    np.testing.assert_allclose(log_priors(mixed), log_priors(targets), atol=1e-5)


def test_the_loss_of_soft_targets_is_the_mean_over_their_labels():
    logits, offsets = _logits(2), torch.tensor([-0.5, -1.2, -2.3])
    targets = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    parts = torch.stack(
        [
            torch.stack([training_loss(logits[i : i + 1], torch.tensor([k]), offsets=offsets) for k in range(3)])
            for i in range(2)
        ]
    )
    torch.testing.assert_close(training_loss(logits, targets, offsets=offsets), (targets * parts).sum(1).mean())


def test_a_class_without_targets_cannot_be_adjusted():
    with pytest.raises(
        ConfigError, match=r"loss='logit_adjusted' needs images of every class; label_id \[1\] has none"
    ):
        log_priors(np.eye(3, dtype=np.float32)[[0, 2, 2]])


# the recipe


def test_a_recipe_balances_as_it_says():
    targets = np.eye(3, dtype=np.float32)[LABELS]
    assert balancing(_recipe(), LABELS, targets) == (None, None)
    weights, offsets = balancing(_recipe(class_weights="class_balanced", class_beta=0.9), LABELS, targets)
    assert offsets is None
    np.testing.assert_allclose(weights, class_weights(LABELS, 3, "class_balanced", 0.9))
    weights, offsets = balancing(_recipe(loss="logit_adjusted", tau=1.5, select="macro_f1"), LABELS, targets)
    assert weights is None
    np.testing.assert_allclose(offsets, 1.5 * np.log([0.6, 0.3, 0.1]), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "focal"}, "loss='focal'; choose from cross_entropy, logit_adjusted"),
        ({"class_weights": "balanced"}, "choose from inverse, class_balanced"),
        ({"loss": "logit_adjusted", "tau": 0.0}, "tau"),
        ({"loss": "logit_adjusted", "tau": math.inf}, "tau"),
        ({"class_weights": "class_balanced", "class_beta": 1.0}, "class_beta=1.0"),
        ({"loss": "logit_adjusted", "class_weights": "inverse"}, "balance the labels twice"),
    ],
)
def test_settings_that_cannot_balance_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        _recipe(**settings)
