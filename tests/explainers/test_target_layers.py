"""Target layers and class activation maps of every model."""

from __future__ import annotations

import copy
import re
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from emotion_hub.errors import InputError
from emotion_hub.explainers.target_layers import target_layers
from emotion_hub.labels import FER2013
from emotion_hub.models import create_model, get_entry, list_models
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import PREPROCESSING
from tests.explainers.cases import (
    assert_is_map,
    copy_of,
    explained_by,
    network_of,
    new_predictor,
    noise_face,
    run_with_timeout,
    timm_predictor,
)

#: Options of models that need some: ensembles need members, here with maps of different shapes.
OPTIONS: dict[str, dict[str, Any]] = {
    "ensemble_native48": {"members": [{"model": "emotion_cnn"}, {"model": "enhanced_cnn48"}]},
    "ensemble_rgb48": {"members": [{"model": "vgg16_48"}, {"model": "resnet18_48"}]},
    "ensemble_upscale224": {
        "members": [
            {"model": "mobilenetv1_224"},
            {"model": "timm_224", "options": {"backbone": "test_vit", "hidden": 32}},
        ]
    },
}

#: {model: [(target layer, shape of its maps: channels, height, width)]}.
LAYERS = {
    "alexnet_224": [("features.11", (256, 13, 13))],
    "convnext_base_224": [("backbone.stages.3", (1024, 7, 7))],
    "efficientnet_b3_224": [("backbone.bn2", (1536, 7, 7))],
    "emotion_cnn": [("features.14", (256, 6, 6))],
    "enhanced_cnn48": [("features.35", (256, 6, 6))],
    "ensemble_native48": [("members.0.features.14", (256, 6, 6)), ("members.1.features.35", (256, 6, 6))],
    "ensemble_rgb48": [("members.0.features.22", (512, 6, 6)), ("members.1.layer4.1", (512, 6, 6))],
    "ensemble_upscale224": [("members.0.blocks.4", (1024, 7, 7)), ("members.1.backbone.blocks.5.norm1", (64, 14, 14))],
    "mobilenetv1_224": [("blocks.4", (1024, 7, 7))],
    "mobilenetv1_48": [("blocks.3", (512, 6, 6))],
    "mobilenetv2_224": [("bn2", (1280, 7, 7))],
    "resnet18_48": [("layer4.1", (512, 6, 6))],
    "resnet50_224": [("backbone.layer4.2", (2048, 7, 7))],
    "squeezenet1_1_224": [("features.12", (512, 13, 13))],
    "timm_224": [("backbone.layer4.1", (512, 7, 7))],
    "vgg16_224": [("features.29", (512, 14, 14))],
    "vgg16_48": [("features.22", (512, 6, 6))],
    "vgg19_224": [("features.35", (512, 14, 14))],
    "vgg19_48": [("features.26", (512, 6, 6))],
    "vit_base_224": [("backbone.blocks.11.norm1", (768, 14, 14))],
}

#: {backbone of `timm_224`: (target layer, shape of its maps)}: tokens with a class token, tokens with a register
#: token, channels last, channels first.
BACKBONES = {
    "densenet121": ("backbone.features.norm5", (1024, 7, 7)),
    "deit_tiny_distilled_patch16_224": ("backbone.blocks.11.norm1", (192, 14, 14)),
    "mobilenetv3_small_050": ("backbone.blocks.5", (288, 7, 7)),
    "resnet18": ("backbone.layer4.1", (512, 7, 7)),
    "swin_tiny_patch4_window7_224": ("backbone.layers.3", (768, 7, 7)),
    "test_convnext": ("backbone.stages.3", (64, 7, 7)),
    "test_efficientnet": ("backbone.bn2", (256, 7, 7)),
    "test_mambaout": ("backbone.stages.3", (64, 7, 7)),
    "test_vit": ("backbone.blocks.5.norm1", (64, 14, 14)),
    "test_vit2": ("backbone.blocks.7.norm1", (64, 14, 14)),
    "vit_tiny_patch16_224": ("backbone.blocks.11.norm1", (192, 14, 14)),
}
#: Models with half a gigabyte of weights, which are copied once.
LARGE = ["alexnet_224", "convnext_base_224", "vgg16_224", "vgg19_224", "vit_base_224"]


def predictor_for(model: str, **options: Any) -> EmotionPredictor:
    """A predictor with random weights; `options` default to OPTIONS."""
    return new_predictor(model, **(options or OPTIONS.get(model, {})))


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return noise_face()


# target layers


def layers_on_meta(name: str, **options: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The names of the target layers and the shapes of their maps, computed on torch's meta device."""
    config, layers = PREPROCESSING[get_entry(name).preprocessing], []
    with torch.device("meta"):
        model = create_model(name, **(options or OPTIONS.get(name, {}))).eval()
        for layer in target_layers(model):
            layer.module.register_forward_hook(
                lambda m, i, output, layer=layer: layers.append((layer.name, tuple(layer.maps(output).shape[1:])))
            )
            assert model.get_submodule(layer.name) is layer.module
        model(torch.empty(1, config.channels, config.size, config.size))
    return layers


def test_every_model_of_the_registry_is_tested():
    assert sorted(LAYERS) == list_models()


@pytest.mark.parametrize("name", LAYERS)
def test_the_target_layer_of_every_model(name):
    assert layers_on_meta(name) == LAYERS[name]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_target_layer_of_timm_backbones(backbone):
    assert layers_on_meta("timm_224", backbone=backbone, hidden=32) == [BACKBONES[backbone]]


def test_for_an_unknown_network_the_error_lists_layers():
    unknown = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(InputError, match=r"no target layer is known for Sequential; name one with layer=, of 0, 1"):
        target_layers(unknown)
    assert [t.module for t in target_layers(unknown, "1")] == [unknown[1]]


def test_the_docstring_names_layers_that_are_chosen():
    text = re.sub(r"\s+", " ", target_layers.__doc__)
    layers = {
        "`layer4[-1]` of ResNets": BACKBONES["resnet18"][0] == "backbone.layer4.1",
        "the last stage of ConvNeXt": BACKBONES["test_convnext"][0] == "backbone.stages.3",
        "the first norm of a ViT's last block": BACKBONES["test_vit"][0] == "backbone.blocks.5.norm1",
    }
    assert all(chosen and phrase in text for phrase, chosen in layers.items())


# class activation maps


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in LAYERS]
)
def test_every_model_gets_a_map(name, face):
    predictor = predictor_for(name)
    for method in ("gradcam", "gradcam++"):
        explanation = explained_by(method, face, predictor)
        assert_is_map(explanation, PREPROCESSING[get_entry(name).preprocessing].size)
        assert explanation.parameters == {"layer": ", ".join(layer for layer, _ in LAYERS[name])}


@pytest.mark.parametrize("backbone", sorted({*BACKBONES, "test_resnet", "test_vit3"}))
def test_timm_backbones_get_a_map_that_is_not_constant(backbone, face):
    predictor = timm_predictor(backbone)
    maps = [explained_by("gradcam", face, predictor, target=target) for target in ("happy", "sad", "fear")]
    for explanation in maps:
        assert_is_map(explanation, 224)
    assert max(explanation.heatmap.std() for explanation in maps) > 0.01


def reference_cam(
    predictor: EmotionPredictor,
    face: Image.Image,
    plus: bool,
    target: int,
    versus: int | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Grad-CAM or, with `plus`, Grad-CAM++ from the equations: one map per layer, then the mean over the layers."""
    model = copy.deepcopy(network_of(predictor)).requires_grad_(True)
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    seen: dict[str, torch.Tensor] = {}
    layers = target_layers(model, layer)
    for t in layers:

        def keep(module: nn.Module, inputs: Any, output: torch.Tensor, t: Any = t) -> None:
            output.retain_grad()
            seen[t.name] = output

        t.module.register_forward_hook(keep)
    logits = model(torch.from_numpy(predictor.preprocessor.batch([face])))[0]
    (logits[target] - (0 if versus is None else logits[versus])).backward()
    maps = []
    for t in layers:
        a, g = (t.maps(x.detach()).numpy()[0].astype(np.float64) for x in (seen[t.name], seen[t.name].grad))
        if plus:
            alpha = g**2 / (2 * g**2 + a.sum(axis=(1, 2), keepdims=True) * g**3 + 1e-6)
            weights = (np.where(g != 0, alpha, 0) * np.maximum(g, 0)).sum(axis=(1, 2))
        else:
            weights = g.mean(axis=(1, 2))
        one = np.maximum((weights[:, None, None] * a).sum(axis=0), 0)
        maps.append(cv2.resize((one - one.min()) / (1e-7 + np.ptp(one)), (predictor.preprocessor.config.size,) * 2))
    mean = np.mean(maps, axis=0)
    return (mean - mean.min()) / np.ptp(mean)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "emotion_cnn",
        "resnet18_48",
        "ensemble_native48",
        "ensemble_upscale224",
        "mobilenetv1_224",
        "test_vit",
        "test_mambaout",
    ],
)
def test_maps_equal_the_equations(name, plus, face):
    """Also where the gradient stops at the layer, and for ensembles, whose members have gradients of their own."""
    predictor = timm_predictor(name) if name.startswith("test_") else predictor_for(name)
    nn.init.normal_([m for m in network_of(predictor).modules() if isinstance(m, nn.Linear)][-1].weight)
    explanation = explained_by("gradcam++" if plus else "gradcam", face, predictor, "sad")
    expected = reference_cam(predictor, face, plus, FER2013.index("sad"))
    assert expected.std() > 0.01
    np.testing.assert_allclose(explanation.heatmap, expected, atol=2e-3)


def test_maps_of_a_difference_equal_the_equations(face):
    predictor = predictor_for("emotion_cnn")
    explanation = explained_by("gradcam", face, predictor, target="fear", versus="angry")
    np.testing.assert_allclose(
        explanation.heatmap,
        reference_cam(predictor, face, False, FER2013.index("fear"), FER2013.index("angry")),
        atol=1e-3,
    )


def test_ensemble_members_of_one_shape_are_not_confused(face):
    predictor = predictor_for("ensemble_native48", members=[{"model": "emotion_cnn"}] * 3)
    for i, member in enumerate(network_of(predictor).members):
        nn.init.normal_(member.classifier[4].weight, std=0.1 * (i + 1))
    explanation = explained_by("gradcam", face, predictor, target="happy")
    np.testing.assert_allclose(
        explanation.heatmap, reference_cam(predictor, face, False, FER2013.index("happy")), atol=2e-3
    )


# the option layer


@pytest.mark.parametrize("layer", ["features.2", "features.6", "features.12", "features"])
def test_layer_selects_another_module(layer, face):
    predictor = predictor_for("emotion_cnn")
    explanation = explained_by("gradcam", face, predictor, target="happy", layer=layer)
    assert explanation.parameters == {"layer": layer}
    assert not np.allclose(
        explanation.heatmap, explained_by("gradcam", face, predictor, target="happy").heatmap, atol=0.05
    )
    np.testing.assert_allclose(
        explanation.heatmap, reference_cam(predictor, face, False, FER2013.index("happy"), layer=layer), atol=2e-3
    )


def test_layer_may_be_a_module_whose_output_is_changed_in_place(face):
    """A residual block adds its input to the output of its last batch norm in place."""
    predictor = predictor_for("resnet18_48")
    explanation = explained_by("gradcam", face, predictor, target="happy", layer="layer4.1.bn2")
    clone = copy.deepcopy(predictor)
    block = network_of(clone).layer4[1]
    block.bn2 = nn.Sequential(block.bn2, CopyLayer())
    np.testing.assert_allclose(
        explanation.heatmap,
        reference_cam(clone, face, False, FER2013.index("happy"), layer="layer4.1.bn2.0"),
        atol=2e-3,
    )


class CopyLayer(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        (
            "emotion_cnn",
            "classifier.4",
            r"output has shape \(1, 7\); a class activation map needs \(N, channels, h, w\)",
        ),
        ("emotion_cnn", "features.x", r"EmotionCNN has no layer 'features.x'; its last layers are .*features\.14"),
        ("emotion_cnn", 3, r"EmotionCNN has no layer 3"),
        (
            "ensemble_native48",
            "features.14",
            r"Ensemble has no layer 'features.14'; its last layers are .*members\.1\.features\.43",
        ),
        ("ensemble_native48", "members.0", r"output has shape \(1, 7\)"),
        ("ensemble_native48", "members", r"logit.* does not depend on .*'members'"),
    ],
)
def test_a_layer_without_maps_is_refused(name, layer, message, face):
    predictor = predictor_for(name)
    for method in ("gradcam", "gradcam++"):
        with pytest.raises(InputError, match=message):
            explained_by(method, face, predictor, layer=layer)
    assert isinstance(run_with_timeout(30, lambda: copy_of(network_of(predictor))), nn.Module)
