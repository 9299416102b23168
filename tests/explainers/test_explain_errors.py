"""Errors of explain: unknown methods, options, classes and layers."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import ImageError, InputError, LabelError, MissingDependencyError
from emotion_hub.explainers import explain, explain_face
from emotion_hub.predictor import EmotionPredictor
from tests.explainers.cases import new_predictor, noise_face, predictor_without_torch


class NoFaceDetector:
    """A detector that never finds a face."""

    name, framing = "no face", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        return []


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "rollout"])
def test_methods_that_use_layers_need_torch(method):
    with pytest.raises(
        InputError,
        match=r"needs the torch backend.*: it runs BlockBrightness\. Use method='lime' or method='shap'",
    ):
        explain_face(noise_face(), predictor_without_torch(), method)


@pytest.mark.parametrize("explainer", ["deep", "gradient"])
def test_shap_explainers_that_differentiate_need_torch(explainer):
    with pytest.raises(InputError, match=rf"explainer='{explainer}'.*without torch; use explainer='partition'"):
        explain_face(noise_face(), predictor_without_torch(), "shap", explainer=explainer)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad-cam", {}, r"no method 'grad-cam'; choose from gradcam, gradcam\+\+, lime, shap, rollout"),
        ("gradcam", {"samples": 3}, r"Grad-CAM has no option 'samples'; its options: layer"),
        ("lime", {"layers": 3, "a": 1}, r"LIME has no option 'a', 'layers'; its options: samples, segments, seed"),
        ("rollout", {"seed": 3}, r"Attention rollout has no option 'seed'; its options: none"),
        ("gradcam", {"metrics": "slow"}, r"metrics='slow'; choose from none, map, fast, full"),
        (
            "gradcam",
            {"layer": "features.99"},
            r"EmotionCNN has no layer 'features.99'; its last layers are .*features\.14",
        ),
        ("gradcam", {"layer": ""}, r"EmotionCNN has no layer ''"),
        ("gradcam++", {"layer": "classifier.1"}, r"output has shape \(1, 512\).*\(N, channels, h, w\)"),
        ("gradcam", {"versus": "happy", "target": "happy"}, r"target and versus are both 'happy'"),
        ("gradcam", {"versus": "happy", "target": "happiness"}, r"target and versus are both 'happy'"),
        ("lime", {"samples": 99}, r"samples=99: a regression on 50 superpixels needs at least 100 samples"),
        ("lime", {"samples": 150.5}, r"samples=150.5"),
        ("lime", {"segments": 3}, r"segments=3: fewer than 4 superpixels"),
        ("lime", {"segments": None}, r"segments=None"),
        ("lime", {"segments": "many"}, r"segments='many'"),
        ("lime", {"seed": -1}, r"seed=-1: .*0 to 4294967295"),
        ("shap", {"seed": 2**32}, r"seed=4294967296"),
        ("shap", {"seed": None}, r"seed=None"),
        ("shap", {"explainer": "kernel"}, r"explainer='kernel'; choose from auto, deep, gradient, partition"),
        ("shap", {"samples": 19}, r"samples=19: give a whole number of at least 20"),
        ("shap", {"samples": 0}, r"samples=0: give a whole number of at least 20"),
        ("shap", {"samples": "many"}, r"samples='many'"),
        ("shap", {"samples": 50.5}, r"samples=50.5"),
        ("shap", {"background": 0}, r"background=0: there are \d+ average faces"),
        ("shap", {"background": 1000}, r"background=1000: there are \d+ average faces"),
        ("shap", {"background": [3]}, r"background=\[3\]: there are \d+ average faces"),
        ("rollout", {}, r"rollout needs a vision transformer and emotion_cnn has no attention; use method='gradcam'"),
    ],
)
def test_errors_name_the_value_and_the_next_step(method, options, message):
    with pytest.raises(InputError, match=message):
        explain_face(noise_face(), new_predictor(), method, **options)


@pytest.mark.parametrize("options", [{"target": "bored"}, {"versus": "bored"}])
def test_an_unknown_class_is_refused_and_the_known_ones_listed(options):
    with pytest.raises(LabelError, match=r"'bored'.*angry, disgust, fear, happy, sad, surprise, neutral"):
        explain_face(noise_face(), new_predictor(), **options)


def test_a_class_that_the_network_does_not_have_is_refused():
    predictor = new_predictor(labels=("happy", "sad"))
    with pytest.raises(LabelError, match=r"label 'fear' is not in custom; it has happy, sad"):
        explain_face(noise_face(), predictor, target="fear")


def test_a_picture_without_a_face_is_refused_unless_it_is_taken_whole():
    predictor, photo = new_predictor(), Image.new("RGB", (120, 90), (90, 120, 60))
    with pytest.raises(InputError, match=r"no face was found in the 120x90 picture; pass whole=True"):
        explain(photo, "gradcam", predictor, detector=NoFaceDetector())
    with pytest.raises(InputError, match="no face was found in the 120x90"):
        explain(
            photo,
            "gradcam",
            EmotionPredictor(predictor.backend, predictor.labels, predictor.preprocessor, detector=NoFaceDetector()),
        )
    assert explain(photo, "gradcam", predictor, whole=True, metrics="none").heatmap.shape == (48, 48)


def test_options_are_checked_before_detection():
    class FailingDetector(NoFaceDetector):
        def detect(self, image: Image.Image) -> list[Detection]:
            raise AssertionError("the detector ran")

    photo = Image.new("RGB", (120, 90))
    for invalid in ({"method": "saliency"}, {"metrics": "slow"}, {"layers": 1}):
        with pytest.raises(InputError):
            explain(photo, model=new_predictor(), detector=FailingDetector(), **invalid)
    with pytest.raises(ImageError):
        explain(b"no picture", model=new_predictor())


def test_a_missing_package_is_reported_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(
        MissingDependencyError,
        match=r"Grad-CAM needs the extra 'cam' \(pytorch_grad_cam is not installed\).*pip install \"\.\[cam\]\"",
    ):
        explain_face(noise_face(), new_predictor(), "gradcam")


def test_a_missing_package_of_lime_is_reported_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "lime.lime_image", None)
    with pytest.raises(
        MissingDependencyError,
        match=r"LIME needs the extra 'explain' \(lime.lime_image is not installed\): pip install",
    ):
        explain_face(noise_face(), new_predictor(), "lime")
