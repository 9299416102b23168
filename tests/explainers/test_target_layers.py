"""Where class activation maps are read from, for every network; attention rollout; the private copies all of it works on."""

from __future__ import annotations

import copy
import gc
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.explainers import Explanation, explain_face, list_methods, pool
from emotion_hub.explainers.pool import private_copy, shuffled_predictor
from emotion_hub.explainers.target_layers import target_layers, transformer_of
from emotion_hub.labels import FER2013
from emotion_hub.models import create_model, get_entry, list_models
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import PREPROCESSING
from tests.tolerances import assert_same_maps

#: What a name needs besides itself: ensembles are nothing without members, here of maps of different shapes.
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

#: {network: [(target layer, maps it gives: channels, height, width)]}.
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

#: The same for backbones of `timm_224`: tokens with a class token, with a register instead, channels last, channels first.
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
#: Half a gigabyte of weights and a copy of it.
LARGE = ["alexnet_224", "convnext_base_224", "vgg16_224", "vgg19_224", "vit_base_224"]


def network(model: str, seed: int = 0, **options: Any) -> EmotionPredictor:
    torch.manual_seed(seed)
    classifier = EmotionClassifier(ClassifierConfig(model, options=options or OPTIONS.get(model, {})))
    return EmotionPredictor(TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name=model)


def timm_network(backbone: str, seed: int = 0) -> EmotionPredictor:
    return network("timm_224", seed, backbone=backbone, hidden=32)


@pytest.fixture(scope="module")
def face() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


def mapped(
    face: Image.Image, predictor: EmotionPredictor, method: str = "gradcam", target: str | None = None, **options: Any
) -> Explanation:
    return explain_face(face, predictor, method, target, **{"metrics": "none", **options})


def own(predictor: EmotionPredictor) -> nn.Module:
    return predictor.backend.classifier.network


# which layer


def _maps_on_meta(name: str, **options: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The target layers' names and the shapes of their maps, without weights or pixels."""
    config, found = PREPROCESSING[get_entry(name).preprocessing], []
    with torch.device("meta"):
        model = create_model(name, **(options or OPTIONS.get(name, {}))).eval()
        for layer in target_layers(model):
            layer.module.register_forward_hook(
                lambda m, i, output, layer=layer: found.append((layer.name, tuple(layer.maps(output).shape[1:])))
            )
            assert model.get_submodule(layer.name) is layer.module
        model(torch.empty(1, config.channels, config.size, config.size))
    return found


def test_every_network_has_its_layer_here():
    assert sorted(LAYERS) == list_models()


@pytest.mark.parametrize("name", LAYERS)
def test_the_target_layer_is_the_last_that_knows_places(name):
    assert _maps_on_meta(name) == LAYERS[name]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_target_layer_of_timms_networks(backbone):
    assert _maps_on_meta("timm_224", backbone=backbone, hidden=32) == [BACKBONES[backbone]]


def test_a_network_nobody_knows_names_layers_to_choose_from():
    unknown = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(InputError, match=r"no target layer is known for Sequential; name one with layer=, of 0, 1"):
        target_layers(unknown)
    assert [t.module for t in target_layers(unknown, "1")] == [unknown[1]]


# maps


def _assert_is_map(found: Explanation, size: int) -> None:
    assert (found.heatmap.shape, found.heatmap.dtype) == ((size, size), np.float32)
    assert np.isfinite(found.heatmap).all()
    assert found.heatmap.min() >= 0
    assert found.heatmap.max() <= 1
    assert found.signed is None


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in LAYERS]
)
def test_every_network_has_a_map(name, face):
    predictor = network(name)
    for method in ("gradcam", "gradcam++"):
        found = mapped(face, predictor, method)
        _assert_is_map(found, PREPROCESSING[get_entry(name).preprocessing].size)
        assert found.parameters == {"layer": ", ".join(layer for layer, _ in LAYERS[name])}


@pytest.mark.parametrize("backbone", sorted({*BACKBONES, "test_resnet", "test_vit3"}))
def test_timms_networks_have_a_map_that_is_not_flat(backbone, face):
    predictor = timm_network(backbone)
    maps = [mapped(face, predictor, target=target) for target in ("happy", "sad", "fear")]
    for found in maps:
        _assert_is_map(found, 224)
    assert max(found.heatmap.std() for found in maps) > 0.01


def by_hand(
    predictor: EmotionPredictor,
    face: Image.Image,
    plus: bool,
    target: int,
    versus: int | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Grad-CAM from its equations: the whole graph, no library, one map a layer, their mean."""
    model = copy.deepcopy(own(predictor)).requires_grad_(True)
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
def test_a_map_is_what_the_paper_says(name, plus, face):
    """Stopping the gradient at the layer changes nothing, and each member of an ensemble gets its own gradient."""
    predictor = timm_network(name) if name.startswith("test_") else network(name)
    nn.init.normal_([m for m in own(predictor).modules() if isinstance(m, nn.Linear)][-1].weight)
    found = mapped(face, predictor, "gradcam++" if plus else "gradcam", "sad")
    truth = by_hand(predictor, face, plus, FER2013.index("sad"))
    assert truth.std() > 0.01
    np.testing.assert_allclose(found.heatmap, truth, atol=2e-3)


def test_a_map_of_a_difference_is_what_the_paper_says(face):
    predictor = network("emotion_cnn")
    found = mapped(face, predictor, target="fear", versus="angry")
    np.testing.assert_allclose(
        found.heatmap, by_hand(predictor, face, False, FER2013.index("fear"), FER2013.index("angry")), atol=1e-3
    )


def test_members_of_one_shape_are_told_apart(face):
    predictor = network("ensemble_native48", members=[{"model": "emotion_cnn"}] * 3)
    for i, member in enumerate(own(predictor).members):
        nn.init.normal_(member.classifier[4].weight, std=0.1 * (i + 1))
    found = mapped(face, predictor, target="happy")
    np.testing.assert_allclose(found.heatmap, by_hand(predictor, face, False, FER2013.index("happy")), atol=2e-3)


# another layer


@pytest.mark.parametrize("layer", ["features.2", "features.6", "features.12", "features"])
def test_another_layer_may_be_named(layer, face):
    predictor = network("emotion_cnn")
    found = mapped(face, predictor, target="happy", layer=layer)
    assert found.parameters == {"layer": layer}
    assert not np.allclose(found.heatmap, mapped(face, predictor, target="happy").heatmap, atol=0.05)
    np.testing.assert_allclose(
        found.heatmap, by_hand(predictor, face, False, FER2013.index("happy"), layer=layer), atol=2e-3
    )


def test_a_layer_whose_output_is_overwritten_may_be_named(face):
    """A residual block adds its input to the last batch norm's output in place."""
    predictor = network("resnet18_48")
    found = mapped(face, predictor, target="happy", layer="layer4.1.bn2")
    clone = copy.deepcopy(predictor)
    block = own(clone).layer4[1]
    block.bn2 = nn.Sequential(block.bn2, _Copy())
    np.testing.assert_allclose(
        found.heatmap, by_hand(clone, face, False, FER2013.index("happy"), layer="layer4.1.bn2.0"), atol=2e-3
    )


class _Copy(nn.Module):
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
        ("emotion_cnn", "features.x", r"EmotionCNN has no layer 'features.x'; its last are .*features\.14"),
        ("emotion_cnn", 3, r"EmotionCNN has no layer 3"),
        (
            "ensemble_native48",
            "features.14",
            r"Ensemble has no layer 'features.14'; its last are .*members\.1\.features\.43",
        ),
        ("ensemble_native48", "members.0", r"output has shape \(1, 7\)"),
        ("ensemble_native48", "members", r"logit.* does not depend on .*'members'"),
    ],
)
def test_a_layer_without_maps_is_refused(name, layer, message, face):
    predictor = network(name)
    for method in ("gradcam", "gradcam++"):
        with pytest.raises(InputError, match=message):
            mapped(face, predictor, method, layer=layer)
    assert isinstance(_without_waiting(own(predictor)), nn.Module)


# attention


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2", "test_vit3", "vit_tiny_patch16_224"])
def test_rollout_is_a_map_that_asks_for_no_class(backbone, face):
    predictor = timm_network(backbone)
    found, other = (mapped(face, predictor, "rollout", target) for target in ("happy", "sad"))
    _assert_is_map(found, 224)
    assert found.heatmap.std() > 0.01
    assert np.array_equal(found.heatmap, other.heatmap)
    assert found.parameters["blocks"] == len(own(predictor).backbone.blocks)
    assert not np.allclose(found.heatmap, mapped(face, timm_network(backbone, seed=1), "rollout").heatmap, atol=0.01)


def _spotlight(predictor: EmotionPredictor, row: int, column: int, reader: slice) -> None:
    """Make every token that `reader` names look at one patch alone, and every other token at itself, in the last block."""
    backbone = own(predictor).backbone
    count = backbone.num_prefix_tokens + 14 * 14
    seen = backbone.num_prefix_tokens + 14 * row + column
    attention = torch.eye(count)
    attention[reader] = 0
    attention[reader, seen] = 1
    for i, block in enumerate(backbone.blocks):
        block.attn.attn_drop = _Fixed(attention if i == len(backbone.blocks) - 1 else torch.eye(count))


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2"])
def test_rollout_is_the_product_of_the_blocks_halves(backbone, face):
    """Abnar and Zuidema, equation 1: each block passes on half of what it got and half of what it attended to."""
    predictor = timm_network(backbone)
    vit, rng = own(predictor).backbone, np.random.default_rng(0)
    count = vit.num_prefix_tokens + 14 * 14
    flow = np.eye(count)
    for block in vit.blocks:
        attention = rng.random((count, count)) ** 8
        attention /= attention.sum(axis=1, keepdims=True)
        block.attn.attn_drop = _Fixed(torch.from_numpy(attention.astype(np.float32)))
        flow = (attention / 2 + np.eye(count) / 2) @ flow
    reader = flow[0] if vit.global_pool == "token" else flow[vit.num_prefix_tokens :].mean(axis=0)
    patches = reader[vit.num_prefix_tokens :].reshape(14, 14)
    truth = cv2.resize((patches - patches.min()).astype(np.float32), (224, 224))
    np.testing.assert_allclose(mapped(face, predictor, "rollout").heatmap, truth / truth.max(), atol=1e-4)


class _Fixed(nn.Module):
    """Attention that is always the same; what goes in is what a hook sees, so the matrix is put there."""

    def __init__(self, attention: torch.Tensor) -> None:
        super().__init__()
        self.attention = attention
        self.register_forward_pre_hook(lambda module, inputs: (self.attention.expand_as(inputs[0]),))

    def forward(self, attention: torch.Tensor) -> torch.Tensor:
        return attention


@pytest.mark.parametrize(("backbone", "reader"), [("test_vit", slice(0, 1)), ("test_vit2", slice(1, None))])
def test_rollout_follows_what_the_head_reads(backbone, reader, face):
    """The classifying token where there is one, else the mean of the patches, never a register."""
    predictor = timm_network(backbone)
    assert (own(predictor).backbone.global_pool == "token") == (reader.start == 0)
    assert own(predictor).backbone.num_prefix_tokens == 1
    _spotlight(predictor, 3, 10, reader)
    found = mapped(face, predictor, "rollout")
    row, column = np.unravel_index(found.heatmap.argmax(), (224, 224))
    assert (row // 16, column // 16) == (3, 10)
    assert found.heatmap[48:64, 160:176].sum() > 0.3 * found.heatmap.sum()


def test_a_rollout_in_between_does_not_change_a_map(face):
    predictor = timm_network("test_vit")
    before = mapped(face, predictor)
    mapped(face, predictor, "rollout")
    assert np.array_equal(mapped(face, predictor).heatmap, before.heatmap)


def test_rollout_is_refused_where_there_is_no_attention(face):
    for predictor in (network("emotion_cnn"), timm_network("test_resnet")):
        assert transformer_of(own(predictor)) is None
        assert "rollout" not in list_methods(predictor)
        with pytest.raises(
            InputError, match=rf"rollout follows attention and {predictor.name} has none; use method='gradcam'"
        ):
            mapped(face, predictor, "rollout")


def test_a_transformer_of_parallel_blocks_is_refused_by_name(face):
    """timm's VisionTransformer too, but its blocks have several attentions side by side."""
    with torch.device("meta"):
        model = create_model("timm_224", backbone="vit_small_patch16_18x2_224", hidden=32)
    assert transformer_of(model) is None
    [layer] = target_layers(model)
    with pytest.raises(InputError, match=r"\(N, channels, h, w\)"):
        layer.maps(torch.empty(1, 197, 384, device="meta"))


# private copies


def _run(network: nn.Module) -> nn.Module:
    with private_copy(network) as private:
        return private


def _without_waiting(network: nn.Module) -> nn.Module | BaseException | None:
    """The copy, or the error of making it; None where it does not come: a hanging test would say less."""
    answer: list[nn.Module | BaseException] = []

    def run() -> None:
        try:
            answer.append(_run(network))
        except BaseException as error:
            answer.append(error)

    waiting = threading.Thread(target=run, daemon=True)
    waiting.start()
    waiting.join(30)
    return answer[0] if answer else None


def test_a_copy_is_frozen_evaluates_and_does_nothing_in_place():
    model = create_model("resnet18_48").train()
    with private_copy(model) as private:
        assert private is not model
        assert not any(p.requires_grad for p in private.parameters())
        assert not any(m.training for m in private.modules())
        assert not any(getattr(m, "inplace", False) for m in private.modules())
        assert torch.is_grad_enabled()
        assert {p.data_ptr() for p in private.parameters()}.isdisjoint(p.data_ptr() for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())
    assert any(getattr(m, "inplace", False) for m in model.modules())


def test_a_copy_is_kept_for_the_next_caller_unless_something_went_wrong():
    model = create_model("emotion_cnn")
    first = _run(model)
    assert _run(model) is first

    def fail() -> None:
        with private_copy(model) as private:
            assert private is first
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _run(model) is not first


def _traces(model: nn.Module) -> list[Any]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    attributes = ("fused_attn", "inplace", "training")
    seen: list[Any] = [
        (
            name,
            sorted(vars(m)),
            sorted(m._parameters),
            [len(getattr(m, kind)) for kind in kinds],
            [getattr(m, a, None) for a in attributes],
        )
        for name, m in model.named_modules()
    ]
    return seen + [(name, p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()]


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "deep", "gradient", "rollout"])
def test_a_copy_goes_back_as_it_came(method, face):
    predictor = timm_network("test_vit") if method == "rollout" else network("emotion_cnn")
    with private_copy(own(predictor)) as private:
        before = _traces(private)
    options = {"explainer": method, "background": 2, "samples": 20} if method in ("deep", "gradient") else {}
    mapped(face, predictor, "shap" if options else method, **options)
    with private_copy(own(predictor)) as again:
        assert again is private
        assert _traces(again) == before


def _write(model: nn.Module) -> None:
    with torch.no_grad():
        model.classifier[4].weight.mul_(1.5)


def _step(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(2, 1, 48, 48)).sum().backward()
    optimizer.step()


def _load(model: nn.Module) -> None:
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def _assign(model: nn.Module) -> None:
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)


def _statistics(model: nn.Module) -> None:
    with torch.no_grad():
        model.train()(torch.ones(2, 1, 48, 48))


@pytest.mark.parametrize("change", [_write, _step, _load, _assign, _statistics])
def test_a_change_of_the_weights_makes_new_copies(change):
    model = create_model("emotion_cnn")
    first = _run(model)
    change(model)
    second = _run(model)
    assert second is not first
    assert all(
        torch.equal(a, b) for a, b in zip(second.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert _run(model) is second


def test_a_new_head_is_seen_though_it_may_lie_where_the_old_one_lay():
    """An allocator hands the freed weights' address to the new ones, which have been written as often."""
    model = create_model("emotion_cnn")
    for seed in range(12):
        torch.manual_seed(seed)
        model.classifier[4] = None
        model.classifier[4] = nn.Linear(512, 7)
        assert torch.equal(_run(model).classifier[4].weight, model.classifier[4].weight), seed
    versions = []
    for _ in range(12):
        model.classifier[4] = None
        model.classifier[4] = nn.Linear(512, 7)
        versions.append(pool._version(model))
    assert all(a != b for a, b in pairwise(versions))
    assert pool._version(model) == versions[-1]


def test_shuffled_weights_follow_the_network_and_the_seed(face):
    predictor = network("emotion_cnn")
    first = shuffled_predictor(predictor)
    assert shuffled_predictor(predictor) is first
    model, mixed = own(predictor), own(first)
    for a, b in zip(model.parameters(), mixed.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        assert len(a.unique()) == 1 or not torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), mixed.buffers(), strict=True))
    assert first.labels == predictor.labels
    assert first.preprocessor.config == predictor.preprocessor.config
    other = shuffled_predictor(predictor, seed=1)
    assert not torch.equal(own(other).classifier[1].weight, mixed.classifier[1].weight)
    again = shuffled_predictor(predictor)
    assert torch.equal(own(again).classifier[1].weight, mixed.classifier[1].weight)
    _write(model)
    changed = shuffled_predictor(predictor)
    assert torch.equal(own(changed).classifier[4].weight, own(again).classifier[4].weight * 1.5)


def test_never_more_than_the_limit_of_copies_and_who_comes_later_waits(monkeypatch):
    model, made = create_model("emotion_cnn"), []
    prepared = pool._prepared
    monkeypatch.setattr(pool, "_prepared", lambda network: made.append(1) or prepared(network))
    inside, highest, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(8)

    def use(_: int) -> nn.Module:
        nonlocal inside, highest
        barrier.wait()
        with private_copy(model) as private:
            with lock:
                inside += 1
                highest = max(highest, inside)
            threading.Event().wait(0.02)
            with lock:
                inside -= 1
            return private

    with ThreadPoolExecutor(8) as threads:
        copies = {id(private) for private in threads.map(use, range(8))}
    assert len(made) == len(copies) == highest == pool.LIMIT


def test_eight_explanations_at_once_share_the_copies(monkeypatch, face):
    predictor, made = network("emotion_cnn"), []
    prepared = pool._prepared
    monkeypatch.setattr(pool, "_prepared", lambda network: made.append(1) or prepared(network))
    with ThreadPoolExecutor(8) as threads:
        maps = list(threads.map(lambda _: mapped(face, predictor).heatmap, range(16)))
    assert 1 <= len(made) <= pool.LIMIT
    for other in maps:
        assert_same_maps(other, maps[0])


def test_a_copy_that_cannot_be_made_is_no_copy_less(monkeypatch):
    model = create_model("emotion_cnn")
    prepared = pool._prepared

    def fails(network: nn.Module) -> nn.Module:
        raise MemoryError

    monkeypatch.setattr(pool, "_prepared", fails)
    for _ in range(pool.LIMIT + 1):
        assert isinstance(_without_waiting(model), MemoryError)
    monkeypatch.setattr(pool, "_prepared", prepared)
    assert isinstance(_without_waiting(model), nn.Module)


def test_who_waits_while_the_weights_change_gets_the_new_ones():
    model = create_model("emotion_cnn")
    held = [private_copy(model) for _ in range(pool.LIMIT)]
    for one in held:
        one.__enter__()
    answer: list[torch.Tensor] = []
    waiting = threading.Thread(target=lambda: answer.append(_run(model).classifier[4].weight), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    _write(model)
    for one in held:
        one.__exit__(None, None, None)
    waiting.join(30)
    assert torch.equal(answer[0], model.classifier[4].weight)


def test_a_network_that_is_gone_takes_its_copies_along(face):
    predictor = network("emotion_cnn")
    mapped(face, predictor)
    mapped(face, predictor, "shap", explainer="deep", background=2)
    mixed = weakref.ref(own(shuffled_predictor(predictor)))
    mapped(face, shuffled_predictor(predictor))
    with private_copy(own(predictor)) as private:
        kept = weakref.ref(private)
    gone = weakref.ref(own(predictor))
    del predictor, private
    gc.collect()
    assert gone() is None
    assert kept() is None
    assert mixed() is None


def test_weights_made_in_inference_mode_are_explained(face):
    with torch.inference_mode():
        predictor = network("emotion_cnn")
    assert next(own(predictor).parameters()).is_inference()
    reference = network("emotion_cnn")
    for method, options in (("gradcam", {}), ("shap", {"explainer": "deep", "background": 2})):
        assert_same_maps(
            mapped(face, predictor, method, **options).heatmap, mapped(face, reference, method, **options).heatmap
        )


def test_the_documentation_of_the_layers_is_what_happens():
    said = re.sub(r"\s+", " ", target_layers.__doc__)
    for phrase in (
        "VGG and AlexNet after its ReLU",
        "`layer4[-1]` of ResNets",
        "the last stage of ConvNeXt",
        "the first norm of a ViT's last block",
    ):
        assert phrase in said
