"""Explanations: target, versus, superpixels, maps and JSON."""

from __future__ import annotations

import json
import logging
import re

import numpy as np
import pytest
from PIL import Image
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers import METRICS, explain_face
from emotion_hub.explainers.lime import superpixels
from emotion_hub.explainers.shap_torch import background_faces
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from tests.explainers.cases import (
    CASES,
    SIGNED,
    explained,
    face_logits,
    new_predictor,
    noise_face,
    predictor_without_torch,
    with_batch_statistics,
)

# target and versus


@pytest.mark.parametrize("case", ["gradcam", "gradcam++"])
def test_versus_changes_the_map(case):
    predictor, face = new_predictor(), noise_face()
    plain, versus, other = (explained(case, face, predictor, "happy", versus=label) for label in (None, "sad", "fear"))
    assert not np.allclose(plain.heatmap, versus.heatmap, atol=1e-3)
    assert not np.allclose(versus.heatmap, other.heatmap, atol=1e-3)
    assert (versus.target, versus.versus) == ("happy", "sad")
    assert plain.versus is None


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c == "partition" else c for c in SIGNED])
def test_swapping_target_and_versus_swaps_the_signs(case):
    predictor, face = new_predictor(), noise_face()
    forward = explained(case, face, predictor, "happy", versus="sad").signed
    backward = explained(case, face, predictor, "sad", versus="happy").signed
    assert forward.any()
    np.testing.assert_allclose(forward, -backward, rtol=1e-4, atol=1e-5 * np.abs(forward).max())
    plain = [explained(case, face, predictor, label).signed for label in ("happy", "sad")]
    if case in ("deep", "gradient"):  # the samples of the others depend on the classes
        np.testing.assert_allclose(forward, plain[0] - plain[1], rtol=1e-3, atol=1e-4 * np.abs(forward).max())
    assert not np.allclose(forward, plain[0], atol=1e-3 * np.abs(plain[0]).max())


def test_the_default_target_is_the_predicted_label_or_with_versus_the_next_one():
    predictor, face = new_predictor(), noise_face()
    order = np.argsort(face_logits(predictor, face))[::-1]
    best, second = (FER2013.labels[i] for i in order[:2])
    explanation = explained("gradcam", face, predictor)
    assert explanation.target == best
    assert explanation.confidence == pytest.approx(predictor.predict_faces([face])[0].probs[best])
    against = explained("gradcam", face, predictor, versus=best)
    assert (against.target, against.versus) == (second, best)
    assert against.confidence == pytest.approx(predictor.predict_faces([face])[0].probs[second])
    assert explained("gradcam", face, predictor, "anger").target == "angry"


# SHAP's Deep explainer


@pytest.mark.parametrize("model", ["emotion_cnn", "enhanced_cnn48", "vgg16_48", "mobilenetv2_224"])
def test_deep_contributions_sum_to_the_difference_of_the_logits(model):
    predictor, face = with_batch_statistics(new_predictor(model)), noise_face()
    explanation = explained("deep", face, predictor, "happy", background=3)
    background = predictor.backend.logits(predictor.preprocessor.batch(background_faces(3)))
    difference = float(face_logits(predictor, face)[3]) - float(background[:, 3].mean())
    assert abs(difference) > 0.01, "the difference is too small for this test"
    assert float(explanation.signed.sum()) == pytest.approx(difference, rel=0.02, abs=2e-4)
    assert explanation.parameters["difference"] == pytest.approx(difference, rel=1e-3, abs=1e-5)
    assert explanation.scores["additivity"] == pytest.approx(
        abs(difference - float(explanation.signed.sum())), abs=1e-4
    )
    assert explained("deep", face, predictor, "happy", explainer="auto", background=3).parameters["explainer"] == "deep"


def test_auto_uses_gradient_when_deep_does_not_support_a_layer(caplog):
    predictor, face = new_predictor("resnet18_48"), noise_face()
    with caplog.at_level(logging.INFO, "emotion_hub.explainers.shap"):
        explanation = explained("gradient", face, predictor, explainer="auto", background=2, samples=20)
    assert explanation.parameters["explainer"] == "gradient"
    assert explanation.signed.any()
    assert "ReLU layers run more than once per pass" in caplog.text
    with pytest.raises(
        InputError,
        match=r"Deep .* does not support resnet18_48: its ReLU layers run more than once.*use explainer='gradient'",
    ):
        explained("deep", face, predictor)


def test_auto_uses_gradient_when_deep_contributions_miss_the_difference(caplog):
    """An ensemble averages probabilities outside of any layer, so Deep has no rule for that step."""
    predictor, face = new_predictor("ensemble_native48", members=[{"model": "emotion_cnn"}] * 2), noise_face()
    for layer in predictor.backend.classifier.network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)
    with caplog.at_level(logging.INFO, "emotion_hub.explainers.shap"):
        explanation = explained("gradient", face, predictor, explainer="auto", background=2, samples=20)
    assert explanation.parameters["explainer"] == "gradient"
    assert re.search(r"the sum of its contributions misses \d", caplog.text)
    assert explained("deep", face, predictor, background=2).scores["additivity"] > 0.02


# inputs of LIME and SHAP


def test_superpixels_are_numbered_without_gaps_on_the_grid():
    for face in (
        noise_face(),
        noise_face().resize((224, 224)),
        noise_face().convert("RGB"),
        Image.new("RGB", (224, 224), "gray"),
    ):
        cells = superpixels(face, 50)
        assert cells.shape == (48, 48)
        assert np.array_equal(np.unique(cells), np.arange(cells.max() + 1))
        assert 40 <= cells.max() + 1 <= 60


def test_lime_explains_with_as_few_as_four_superpixels():
    explanation = explain_face(noise_face(), new_predictor(), "lime", segments=4, samples=8, metrics="none")
    assert explanation.parameters["samples"] == 8
    assert 1 < explanation.parameters["segments"] <= 4


def test_background_faces_are_the_first_faces_of_the_file():
    assert [f.tobytes() for f in background_faces(3)] == [f.tobytes() for f in background_faces(8)[:3]]
    assert {(f.size, f.mode) for f in background_faces(24)} == {((48, 48), "L")}


# results


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_is_a_map_over_the_prepared_face(case):
    predictor, face = new_predictor(), noise_face().resize((90, 80))
    explanation = explained(case, face, predictor, metrics="fast")
    assert (explanation.heatmap.shape, explanation.heatmap.dtype) == ((48, 48), np.float32)
    assert explanation.heatmap.min() >= 0
    assert explanation.heatmap.max() == pytest.approx(1)
    assert explanation.prepared.tobytes() == predictor.preprocessor.prepare(face).tobytes()
    assert (explanation.method, explanation.model) == (CASES[case][0], "emotion_cnn")
    assert (explanation.signed is not None) == (case in SIGNED)
    if explanation.signed is not None:
        assert (explanation.signed.shape, explanation.signed.dtype) == ((48, 48), np.float32)
        positive = np.maximum(explanation.signed, 0)
        np.testing.assert_allclose(explanation.heatmap, positive / positive.max(), atol=1e-6)
        assert (explanation.signed < 0).any()
    assert explanation.milliseconds > 0
    assert set(explanation.scores) - {"fit", "additivity"} == {"deletion", "insertion", "sparseness", "regions"}


class ConstantBackend:
    """A backend without torch that gives every image the same logits, so that no pixel is relevant."""

    num_parameters = 0

    def __init__(self, logit: float = 0.5) -> None:
        self.logit = logit

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([self.logit, 0.0]), (len(pixel_values), 1))


@pytest.mark.parametrize("logit", [-2.0, -0.89, -0.52, 0.22])
def test_rounding_errors_of_limes_regression_are_no_relevance(logit):
    explanation = explained("lime", noise_face(), predictor_without_torch(ConstantBackend(logit)), "happy")
    assert explanation.empty
    assert not explanation.signed.any()
    assert explanation.scores == {"fit": 0.0}


def constant_predictor() -> EmotionPredictor:
    """A predictor on torch whose logits do not depend on the image."""
    predictor = new_predictor()
    nn.init.zeros_(predictor.backend.classifier.network.classifier[4].weight)
    return predictor


@pytest.mark.parametrize("case", CASES)
def test_a_network_that_ignores_the_image_has_an_empty_map_and_finite_metrics(case):
    predictors = [constant_predictor()] + (
        [predictor_without_torch(ConstantBackend())] if case in ("lime", "partition") else []
    )
    for predictor in predictors:
        explanation = explained(case, noise_face(), predictor, metrics="full" if case == "gradcam" else "fast")
        assert explanation.empty
        assert explanation.heatmap.shape == (48, 48)
        assert not explanation.heatmap.any()
        values = json.loads(json.dumps(explanation.to_dict(maps=True), allow_nan=False))
        assert values["empty"] is True
        assert not np.any(values["heatmap"])
        assert values["scores"]["sparseness"] == 0
        assert sum(values["scores"]["regions"].values()) == 0
        assert values["scores"]["deletion"] == pytest.approx(explanation.confidence)


@pytest.mark.parametrize("metrics", METRICS)
@pytest.mark.parametrize("case", ["gradcam", "lime", "deep"])
def test_an_explanation_as_json(case, metrics):
    explanation = explained(
        case, noise_face(), new_predictor(), "happy", versus="sad", metrics=metrics if case != "lime" else "fast"
    )
    values = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert "heatmap" not in values
    assert values["size"] == [48, 48]
    assert (values["target"], values["versus"], values["empty"]) == ("happy", "sad", False)
    assert values["parameters"] == explanation.parameters
    full = json.loads(json.dumps(explanation.to_dict(maps=True), allow_nan=False))
    assert np.array_equal(np.float32(full.pop("heatmap")), explanation.heatmap)
    signed = full.pop("signed")
    if case == "gradcam":
        assert signed is None
    else:
        assert np.array_equal(np.float32(signed), explanation.signed)
    assert full == values
