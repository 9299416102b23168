"""Study of the rules of prediction sets: halves, rules, the written page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, file_hash
from emotion_hub.predictor import softmax
from training.studies import prediction_sets
from training.studies.prediction_sets import RULES, SHIPPED, STUDIES, study, table

ABC = ("a", "b", "c")


@pytest.fixture(scope="module")
def results() -> dict:
    """Figures of three labels, of which the third is rare and hard."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 1200, p=[0.6, 0.3, 0.1])
    logits = rng.normal(0, 1.2, (1200, 3))
    logits[np.arange(1200), labels] += np.array([2.5, 1.5, -0.5])[labels]
    return study(labels, softmax(logits), ABC, repeats=8)


def test_every_rule_covers_the_mean_and_only_thresholds_per_label_the_rare_label(results):
    assert list(results) == list(RULES)
    for rule, row in results.items():
        assert 0.88 < row["coverage"] < 0.96, rule
        assert row["lowest_label"] == min(row["per_class"].values())
    assert results[SHIPPED]["lowest_label"] > 0.87
    assert results["LAC, one threshold"]["per_class"]["c"] < 0.75
    assert results["LAC, one threshold"]["mean_size"] < results[SHIPPED]["mean_size"]


def test_the_scores_of_aps_are_cumulative_and_a_random_share_of_the_last():
    probs = np.array([[0.2, 0.5, 0.3]] * 2000)
    scores = prediction_sets._aps(probs, np.random.default_rng(0))
    for label, low, high in ((1, 0.0, 0.5), (2, 0.5, 0.8), (0, 0.8, 1.0)):
        assert scores[:, label].min() >= low
        assert scores[:, label].max() <= high
        assert scores[:, label].mean() == pytest.approx((low + high) / 2, abs=0.01)
    penalised = prediction_sets._aps(probs, np.random.default_rng(0), 0.25)
    assert (penalised - scores) == pytest.approx(np.tile([0.25, 0, 0], (2000, 1)))


def test_the_page_is_that_of_the_figures_and_of_the_shipped_weights():
    report = json.loads((STUDIES / "prediction_sets.json").read_text())
    assert (STUDIES / "prediction_sets.md").read_text(encoding="utf-8") == table(report)
    assert {name: row["sha256"] for name, row in report["checkpoints"].items()} == {
        name: file_hash(folder / WEIGHTS_FILE) for name, folder in embedded_checkpoints().items()
    }
    for row in report["checkpoints"].values():
        rules = row["rules"]
        assert rules[SHIPPED]["lowest_label"] > max(r["lowest_label"] for name, r in rules.items() if name != SHIPPED)
