"""Starting weights: completely filled backbones, order of adapted filters."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.vgg import cfgs, make_layers

from emotion_hub.errors import CheckpointError
from emotion_hub.models import create_model
from emotion_hub.models.pretrained import load_pretrained
from emotion_hub.models.weights import WeightTransfer, adapt_filters

State = dict[str, torch.Tensor]
TINY = {"backbone": "test_resnet", "hidden": 32}


def _vgg(letter: str) -> State:
    torch.manual_seed(0)
    return {f"features.{key}": value for key, value in make_layers(cfgs[letter]).state_dict().items()}


@pytest.fixture(scope="module")
def vgg16() -> State:
    return _vgg("D")


@pytest.fixture
def tiny() -> State:
    torch.manual_seed(0)
    return {
        key.removeprefix("backbone."): value
        for key, value in create_model("timm_224", **TINY).state_dict().items()
        if key.startswith("backbone.")
    }


# order


@pytest.mark.parametrize("source", ["vgg16", "resnet18"])
def test_adapted_filters_are_the_same_from_safetensors_and_from_pt(source, vgg16, tmp_path):
    """A safetensors file lists its tensors by name, features.10 before features.2."""
    state = vgg16 if source == "vgg16" else torchvision.models.resnet18(weights=None).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pt")
    done = [
        load_pretrained("enhanced_cnn48", create_model("enhanced_cnn48"), tmp_path / f"weights.{suffix}")
        for suffix in ("safetensors", "pt")
    ]
    assert all(isinstance(transfer, WeightTransfer) for transfer in done)
    assert done[0].origins == done[1].origins == adapt_filters(state, create_model("enhanced_cnn48")).origins
    assert len(done[0].origins) == 12
    assert all(torch.equal(done[0].tensors[key], value) for key, value in done[1].tensors.items())


# partly filled backbones


def test_the_weights_of_another_depth_are_refused_although_their_first_layers_fit(vgg16, tmp_path):
    torch.save(vgg16, tmp_path / "vgg16.pt")
    with pytest.raises(
        CheckpointError,
        match=r"leave \d+ of the 24 backbone tensors of vgg19_48 random \('features\.16\.weight' is missing\)",
    ):
        create_model("vgg19_48", pretrained=tmp_path / "vgg16.pt")
    assert torch.equal(
        create_model("vgg16_48", pretrained=tmp_path / "vgg16.pt").features[0].weight, vgg16["features.0.weight"]
    )


def test_a_backbone_tensor_of_another_shape_is_named_with_both_shapes(tiny, tmp_path):
    torch.save({**tiny, "conv1.0.weight": torch.zeros(5, 3, 3, 3)}, tmp_path / "tiny.pt")
    with pytest.raises(
        CheckpointError,
        match=r"leave 1 of .*'backbone\.conv1\.0\.weight' has shape \(5, 3, 3, 3\), the network needs \(",
    ):
        create_model("timm_224", pretrained=tmp_path / "tiny.pt", **TINY)


@pytest.mark.parametrize("leaf", ["weight", "running_var"])
def test_a_missing_backbone_tensor_does_not_change_the_network(tiny, tmp_path, leaf):
    key = next(key for key in tiny if key.endswith(leaf))
    torch.save({k: v + 1 for k, v in tiny.items() if k != key}, tmp_path / "tiny.pt")
    model = create_model("timm_224", **TINY)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"'backbone\.{key}' is missing.*the same network"):
        load_pretrained("timm_224", model, tmp_path / "tiny.pt")
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_missing_batch_counters_are_allowed(tiny, tmp_path):
    torch.save({k: v for k, v in tiny.items() if not k.endswith("num_batches_tracked")}, tmp_path / "tiny.pt")
    model = create_model("timm_224", pretrained=tmp_path / "tiny.pt", **TINY)
    assert torch.equal(model.state_dict()["backbone.conv1.0.weight"], tiny["conv1.0.weight"])


def test_only_the_stem_and_the_head_of_resnet18_48_stay_random(tmp_path):
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet18.pt")
    done = load_pretrained("resnet18_48", create_model("resnet18_48"), tmp_path / "resnet18.pt")
    assert {key.split(".")[0] for key in done.unmapped_target} == {"conv1", "fc"}
    torch.save({key: value for key, value in state.items() if not key.startswith("layer4.1.")}, tmp_path / "shorter.pt")
    with pytest.raises(CheckpointError, match=r"'layer4\.1\.conv1\.weight' is missing"):
        create_model("resnet18_48", pretrained=tmp_path / "shorter.pt")


def test_an_ensemble_is_filled_completely_or_not_at_all(tmp_path):
    members = [{"model": "emotion_cnn"}] * 2
    state = create_model("ensemble_native48", members=members).state_dict()
    torch.save(
        {key: value for key, value in state.items() if key != "members.1.classifier.4.bias"}, tmp_path / "pair.pt"
    )
    with pytest.raises(CheckpointError, match=r"'members\.1\.classifier\.4\.bias' is missing"):
        create_model("ensemble_native48", members=members, pretrained=tmp_path / "pair.pt")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["enhanced_cnn48", "vgg16_48"])
def test_weights_that_are_not_finite_are_refused(vgg16, tmp_path, name, value):
    damaged = vgg16["features.5.weight"].clone()
    damaged[0, 0, 0, 0] = value
    torch.save({**vgg16, "features.5.weight": damaged}, tmp_path / "broken.pt")
    with pytest.raises(CheckpointError, match=r"'features\.\d+\.weight' of the starting weights .* not finite"):
        create_model(name, pretrained=tmp_path / "broken.pt")


# available weight files


@pytest.mark.parametrize(
    ("name", "file", "copied"),
    [  # weight of a convolution and five tensors of its norm; weight and bias of a convolution
        ("mobilenetv1_224", "mobilenet_v1_1.0_imagenet_from_coral_qat.pt", 27 * 6),
        ("mobilenetv1_48", "mobilenetv1_1.0_vggface2_faces.pt", 27 * 6),
        ("mobilenetv2_224", "mobilenet_v2_imagenet_from_coral_ptq.pt", 52 * 6),
        ("squeezenet1_1_224", "squeezenet1_1_imagenet_features.pt", 25 * 2),
    ],
)
def test_the_available_starting_weights_fill_the_backbone(shared_data, name, file, copied):
    path = shared_data / "weights" / file
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    done = load_pretrained(name, create_model(name), path)
    assert len(done.copied) == copied
    assert {key.split(".")[0] for key in done.unmapped_target} == {"classifier"}
