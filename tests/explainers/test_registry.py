"""Registry of explanation methods: options, predicates, new entries."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from emotion_hub.explainers import METHODS, explain_face, list_methods, registry
from emotion_hub.explainers.registry import Method, Option, public_options
from emotion_hub.predictor import embedded_predictor
from tests.explainers.cases import new_predictor, noise_face, predictor_without_torch


def test_list_methods_names_the_methods_that_apply():
    assert list_methods() == list(METHODS) == ["gradcam", "gradcam++", "lime", "shap", "rollout"]
    assert list_methods(predictor_without_torch()) == ["lime", "shap"]
    assert list_methods(new_predictor()) == ["gradcam", "gradcam++", "lime", "shap"]
    assert list_methods(new_predictor("timm_224", backbone="test_vit", hidden=32)) == list(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_declared_options_are_the_keyword_parameters_of_the_function(name):
    method = METHODS[name]
    function = method.run.func  # `run` is a partial with the keywords of `fixed`
    subject, progress, *keywords = inspect.signature(function).parameters.values()
    assert (subject.name, progress.name, progress.default) == ("subject", "progress", None)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in keywords)
    defaults = {parameter.name: parameter.default for parameter in keywords if parameter.name not in method.fixed}
    assert {option: declared.default for option, declared in method.options.items()} == defaults
    assert set(method.fixed) <= {parameter.name for parameter in keywords}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_and_option_has_a_text(name):
    method = METHODS[name]
    assert method.title
    assert method.summary
    assert all(option.summary for option in method.options.values())
    assert method.torch in ("needed", "better", "unused")


def test_public_options_have_bounds_and_defaults_within_them():
    options = public_options()
    assert list(options) == ["samples", "seed"]
    for name, option in options.items():
        assert option.low is not None, name
        assert option.high is not None, name
        assert option.low <= option.default <= option.high, name


def test_methods_that_share_a_public_option_have_the_same_bounds():
    for method in METHODS.values():
        for name in method.public_options:
            shared = public_options()[name]
            assert (method.options[name].low, method.options[name].high) == (shared.low, shared.high), method.title


def test_options_that_are_not_public_are_not_offered(monkeypatch):
    option = Option(3, "not offered")
    monkeypatch.setitem(METHODS, "other", Method("Other", "cam:f", None, "torch", "needed", "-", {"other": option}))
    assert METHODS["other"].public_options == ()
    assert "other" not in public_options()


def test_a_new_class_activation_map_is_one_line(monkeypatch):
    monkeypatch.setitem(METHODS, "layercam", registry._cam("Layer-CAM", "LayerCAM", "positions weighted one by one"))
    predictor = embedded_predictor("native48", "torch")
    assert "layercam" in list_methods(predictor)
    explanation = explain_face(noise_face(), predictor, "layercam", "happy", metrics="none", layer="features.12")
    assert (explanation.method, explanation.parameters) == ("layercam", {"layer": "features.12"})
    assert explanation.heatmap.shape == (48, 48)
    assert not explanation.empty
    gradcam = explain_face(noise_face(), predictor, "gradcam", "happy", metrics="none", layer="features.12")
    assert not np.allclose(explanation.heatmap, gradcam.heatmap, atol=0.01)


@pytest.mark.parametrize(
    ("model", "options", "applies"),
    [
        ("emotion_cnn", {}, False),
        ("resnet18_48", {}, False),
        ("timm_224", {"backbone": "test_resnet", "hidden": 32}, False),
        ("timm_224", {"backbone": "test_vit", "hidden": 32}, True),
    ],
    ids=["emotion_cnn", "resnet18_48", "timm_resnet", "timm_vit"],
)
def test_rollout_applies_to_vision_transformers_alone(model, options, applies):
    network = new_predictor(model, **options).backend.classifier.network
    assert METHODS["rollout"].applies_to(network) is applies
    assert all(METHODS[name].applies_to(network) for name in METHODS if name != "rollout")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("gradcam", {}, False),
        ("rollout", {}, False),
        ("lime", {}, True),
        ("lime", {"samples": 100}, True),
        ("shap", {}, False),
        ("shap", {"explainer": "deep"}, False),
        ("shap", {"explainer": "partition"}, True),
    ],
)
def test_methods_that_only_run_the_network(name, options, expected):
    assert METHODS[name].only_runs_network(options) is expected
    assert METHODS[name].without_torch.keys() <= METHODS[name].options.keys()
