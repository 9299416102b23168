"""Head and backbone of networks; frozen backbones do not change."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from emotion_hub.errors import ConfigError
from emotion_hub.models import create_model, get_entry, list_models
from emotion_hub.models.parts import (
    backbone_parameters,
    freeze_backbone,
    head_of,
    head_parameters,
    last_linear,
    unfreeze,
)
from emotion_hub.preprocess import PREPROCESSING

NETWORKS = [name for name in list_models() if not name.startswith("ensemble_")]
#: Small networks with batch norms in the backbone; EnhancedCNN48 has some in its head too.
SMALL = {
    "emotion_cnn": {},
    "enhanced_cnn48": {},
    "mobilenetv2_224": {},
    "timm_224": {"backbone": "test_resnet", "hidden": 32},
}


def _small(name: str) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, **SMALL[name])


def _pixels(name: str, count: int = 4) -> torch.Tensor:
    config = PREPROCESSING[get_entry(name).preprocessing]
    side = min(config.size, 64)
    return torch.randn(count, config.channels, side, side, generator=torch.Generator().manual_seed(1))


def _norms(model: nn.Module, head: bool) -> list[nn.Module]:
    inside = {id(layer) for layer in head_of(model).modules()}
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and (id(m) in inside) == head]


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _changed(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


def _step(model: nn.Module, pixels: torch.Tensor) -> None:
    """One training step with weight decay, which changes every weight that has a gradient."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    nn.functional.cross_entropy(model.train()(pixels), torch.arange(len(pixels))).backward()
    optimizer.step()
    optimizer.zero_grad()


def _head_keys(model: nn.Module) -> set[str]:
    name = next(name for name, child in model.named_children() if child is head_of(model))
    return {key for key in model.state_dict() if key.startswith(f"{name}.")}


# head and backbone


@pytest.mark.parametrize("name", NETWORKS)
def test_head_and_backbone_are_a_partition_of_the_network(name):
    with torch.device("meta"):
        model = create_model(name)
    head, backbone = list(head_parameters(model)), list(backbone_parameters(model))
    assert head
    assert backbone
    assert {id(p) for p in head}.isdisjoint(id(p) for p in backbone)
    assert sorted(map(id, head + backbone)) == sorted(map(id, model.parameters()))
    assert [id(p) for p in backbone] == [id(p) for p in model.parameters() if id(p) in set(map(id, backbone))]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_of_the_last_linear_layer_is_the_logits(name):
    """The tensors are identical, so that no layer follows the linear one."""
    config = PREPROCESSING[get_entry(name).preprocessing]
    given = []
    with torch.device("meta"):
        model = create_model(name, 6).eval()
        layer = last_linear(model)
        layer.register_forward_hook(lambda module, inputs, output: given.append(output))
        logits = model(torch.empty(1, config.channels, config.size, config.size))
    assert layer.out_features == 6
    assert len(given) == 1
    assert given[0] is logits
    assert any(p is layer.weight for p in head_parameters(model))


@pytest.mark.parametrize("name", [*SMALL, "mobilenetv1_224", "resnet18_48", "squeezenet1_1_224", "vgg16_48"])
def test_scaling_the_last_linear_layer_scales_the_logits(name):
    model = (_small(name) if name in SMALL else create_model(name)).eval()
    with torch.inference_mode():
        before = model(_pixels(name))
        for parameter in last_linear(model).parameters():
            parameter.mul_(0.25)
        after = model(_pixels(name))
    assert before.abs().max() > 0
    assert torch.equal(after, before * 0.25)  # a power of two: exact


@pytest.mark.parametrize("preprocessing", ["native48", "rgb48", "upscale224"])
def test_an_ensemble_has_no_head(preprocessing):
    member = {"native48": "emotion_cnn", "rgb48": "vgg16_48", "upscale224": "squeezenet1_1_224"}[preprocessing]
    with torch.device("meta"):
        model = create_model(f"ensemble_{preprocessing}", members=[{"model": member}] * 2)
    for part in (
        head_of,
        last_linear,
        freeze_backbone,
        lambda m: list(head_parameters(m)),
        lambda m: list(backbone_parameters(m)),
    ):
        with pytest.raises(ConfigError, match=r"Ensemble has no classifier.*'classifier' or 'fc'"):
            part(model)
    assert all(p.requires_grad for p in model.parameters())


def test_a_head_that_does_not_end_in_a_linear_layer_is_named():
    model = _small("emotion_cnn")
    model.classifier.append(nn.Softmax(dim=1))
    with pytest.raises(ConfigError, match="EmotionCNN ends in Softmax"):
        last_linear(model)


def test_a_head_can_be_a_single_linear_layer():
    model = create_model("mobilenetv2_224")
    assert last_linear(model) is head_of(model) is model.classifier


# freezing


@pytest.mark.parametrize("name", SMALL)
def test_only_the_head_of_a_frozen_network_requires_gradients(name):
    model = _small(name)
    freeze_backbone(model)
    assert not any(p.requires_grad for p in backbone_parameters(model))
    assert all(p.requires_grad for p in head_parameters(model))


@pytest.mark.parametrize("name", SMALL)
def test_batch_norms_of_a_frozen_backbone_stay_in_evaluation_mode(name):
    model = _small(name).train()
    freeze_backbone(model)
    assert _norms(model, head=False)
    for mode in (True, False, True):
        model.train(mode)
        assert not any(norm.training for norm in _norms(model, head=False))
        assert all(norm.training == mode for norm in _norms(model, head=True))
        assert model.training == mode
        assert head_of(model).training == mode


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_a_frozen_network_changes_only_its_head(name):
    model, pixels = _small(name), _pixels(name)
    before = _state(model)
    freeze_backbone(model)
    _step(model, pixels)
    assert _changed(before, model) == _head_keys(model)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_an_unfrozen_network_changes_statistics_and_backbone(name):
    """Without this, the test above would pass for a network in which nothing ever changes."""
    model = _small(name)
    before = _state(model)
    _step(model, _pixels(name))
    changed = _changed(before, model)
    assert {k for k in before if k.endswith("running_mean")} <= changed
    assert len(changed - _head_keys(model)) > 5


def test_batch_norms_of_the_head_still_update_their_statistics():
    model = _small("enhanced_cnn48")
    freeze_backbone(model)
    before = _state(model)
    model.train()(_pixels("enhanced_cnn48"))
    changed = _changed(before, model)
    assert {k for k in before if k.startswith("classifier.") and k.endswith("running_var")} <= changed
    assert not any(k.startswith("features.") for k in changed)


# unfreezing


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_unfreezing_restores_the_previous_state(name, training):
    model = _small(name).train(training)
    before = _state(model)
    modes = [m.training for m in model.modules()]
    attributes = [sorted(vars(m)) for m in model.modules()]
    freeze_backbone(model)
    freeze_backbone(model)  # twice is once
    unfreeze(model)
    assert all(p.requires_grad for p in model.parameters())
    assert [m.training for m in model.modules()] == modes
    assert [sorted(vars(m)) for m in model.modules()] == attributes
    assert _changed(before, model) == set()
    for mode in (False, True):
        assert {m.training for m in model.train(mode).modules()} == {mode}


@pytest.mark.parametrize("name", SMALL)
def test_an_unfrozen_network_trains_like_one_that_was_never_frozen(name):
    model, pixels = _small(name), _pixels(name)
    other = copy.deepcopy(model)
    freeze_backbone(model)
    unfreeze(model)
    for network in (model, other):
        torch.manual_seed(0)  # dropout
        _step(network, pixels)
    assert _changed(_state(other), model) == set()


def test_unfreezing_applies_the_current_mode_of_the_network():
    model = _small("emotion_cnn").train()
    freeze_backbone(model)
    model.eval()
    unfreeze(model)
    assert not any(m.training for m in model.modules())


def test_an_ensemble_can_be_unfrozen():
    model = create_model("ensemble_native48", members=[{"model": "emotion_cnn"}] * 2)
    unfreeze(model.requires_grad_(False))
    assert all(p.requires_grad for p in model.parameters())


# copies and files


def test_a_copy_of_a_frozen_network_is_frozen_independently():
    model = _small("emotion_cnn")
    freeze_backbone(model)
    twin = copy.deepcopy(model)
    assert not any(norm.training for norm in _norms(twin.train(), head=False))
    unfreeze(twin)
    assert all(norm.training for norm in _norms(twin.train(), head=False))
    assert all(p.requires_grad for p in twin.parameters())
    assert not any(norm.training for norm in _norms(model.train(), head=False)), "the copy freed the original"
    assert not any(p.requires_grad for p in backbone_parameters(model))


def test_the_original_has_no_reference_to_its_copy():
    model = _small("emotion_cnn")
    freeze_backbone(model)
    twin = copy.deepcopy(model)
    unfreeze(model)
    assert all(norm.training for norm in _norms(model.train(), head=False))
    assert not any(norm.training for norm in _norms(twin.train(), head=False))


def test_a_pickled_frozen_network_stays_frozen():
    model = _small("emotion_cnn")
    freeze_backbone(model)
    twin = pickle.loads(pickle.dumps(model))
    assert not any(norm.training for norm in _norms(twin.train(), head=False))
    unfreeze(twin)
    assert all(norm.training for norm in _norms(twin.train(), head=False))
    assert not any(norm.training for norm in _norms(model.train(), head=False))


@pytest.mark.parametrize("name", SMALL)
def test_freezing_does_not_change_the_state_dict(name):
    model, fresh = _small(name), create_model(name, **SMALL[name])
    before = _state(model)
    freeze_backbone(model)
    assert list(model.state_dict()) == list(before)
    assert _changed(before, model) == set()
    fresh.load_state_dict(model.state_dict())
    assert _changed(before, fresh) == set()
    model.load_state_dict(fresh.state_dict())
    assert not any(norm.training for norm in _norms(model.train(), head=False))
