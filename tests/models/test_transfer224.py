"""Networks for 224-pixel faces: parameter counts, heads, initialisation."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import timm
import torch
import torchvision
from torch import nn

from emotion_hub.errors import ConfigError
from emotion_hub.models import create_model
from emotion_hub.models.transfer224 import timm_image_size

VGG = {
    "vgg16_224": [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)],
    "vgg19_224": [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)],
}
#: The same backbones in torchvision, for an independent count of their parameters.
TORCHVISION = {
    "convnext_base_224": "convnext_base",
    "efficientnet_b3_224": "efficientnet_b3",
    "resnet50_224": "resnet50",
    "vit_base_224": "vit_b_16",
}


def _meta(name: str, **options) -> nn.Module:
    """The network on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return create_model(name, **options).eval()


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return inputs * outputs * kernel * kernel + outputs


def _dense(*widths: int) -> int:
    return sum((a + 1) * b for a, b in pairwise(widths))


# parameter counts


@pytest.mark.parametrize(("name", "total"), [("vgg16_224", 121_938_759), ("vgg19_224", 127_248_455)])
def test_vgg_has_its_convolutions_and_the_four_layer_head(name, total):
    widths = [3, *(width for width, count in VGG[name] for _ in range(count))]
    model = _meta(name)
    assert _count(model.features) == sum(_conv(a, b) for a, b in pairwise(widths))
    assert _count(model.classifier) == _dense(512 * 7 * 7, 4096, 1024, 256, 7)
    assert _count(model) == _count(model.features) + _count(model.classifier) == total


def test_alexnet_has_its_convolutions_and_the_four_layer_head():
    convolutions = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
    assert (
        _count(_meta("alexnet_224"))
        == sum(_conv(*c) for c in convolutions) + _dense(256 * 6 * 6, 4096, 1024, 256, 7)
        == 44_682_055
    )


def test_squeezenet_has_its_fire_modules_and_one_linear_layer():
    fires = [
        (64, 16, 64),
        (128, 16, 64),
        (128, 32, 128),
        (256, 32, 128),
        (256, 48, 192),
        (384, 48, 192),
        (384, 64, 256),
        (512, 64, 256),
    ]
    body = _conv(3, 64) + sum(_conv(i, s, 1) + _conv(s, e, 1) + _conv(s, e, 3) for i, s, e in fires)
    assert _count(_meta("squeezenet1_1_224")) == body + _dense(512, 7) == 726_087


def test_mobilenetv1_has_thirteen_separable_convolutions_and_one_linear_layer():
    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    body = 3 * 32 * 9 + 2 * 32 + sum(9 * a + 2 * a + a * b + 2 * b for a, b in pairwise(widths))
    assert _count(_meta("mobilenetv1_224")) == body + _dense(1024, 7) == 3_214_151


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_reports_networks_have_torchvisions_backbones_and_the_two_layer_head(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, TORCHVISION[name])(weights=None)
    linear = [layer for layer in theirs.modules() if isinstance(layer, nn.Linear)][-1]
    width = linear.in_features
    assert _count(_meta(name)) == _count(theirs) - _count(linear) + _dense(width, 512) + 2 * 512 + _dense(512, 7)


# heads


@pytest.mark.parametrize("name", [*TORCHVISION, "timm_224"])
def test_the_reports_head_has_its_layers_in_order(name):
    head = _meta(name, num_classes=6).classifier
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.LayerNorm, nn.Dropout, nn.Linear]
    assert (head[0].out_features, head[2].normalized_shape, head[3].p, head[4].in_features, head[4].out_features) == (
        512,
        (512,),
        0.3,
        512,
        6,
    )


@pytest.mark.parametrize("name", ["alexnet_224", "vgg16_224", "vgg19_224"])
def test_the_classic_head_has_four_linear_layers_and_takes_dropout(name):
    head = _meta(name, dropout=0.2).classifier
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Dropout] * 3 + [nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)][1:] == [
        (4096, 1024),
        (1024, 256),
        (256, 7),
    ]
    assert {layer.p for layer in head if isinstance(layer, nn.Dropout)} == {0.2}


def test_the_timm_head_takes_its_width_and_dropout():
    head = _meta("timm_224", backbone="test_resnet", hidden=96, dropout=0.1).classifier
    assert (head[0].out_features, head[2].normalized_shape, head[3].p, head[4].in_features) == (96, (96,), 0.1, 96)


@pytest.mark.parametrize("hidden", [0, -1, 0.5, "512", None, True])
def test_an_invalid_width_of_the_head_is_named(hidden):
    with pytest.raises(ConfigError, match=rf"hidden={hidden!r}.*whole number"):
        _meta("timm_224", backbone="test_resnet", hidden=hidden)


@pytest.mark.parametrize("name", ["alexnet_224", "squeezenet1_1_224", "vgg16_224", "vgg19_224"])
def test_features_have_torchvisions_layers_and_names(name):
    with torch.device("meta"):
        expected = getattr(torchvision.models, name.removesuffix("_224"))(weights=None).features
    ours = _meta(name).features
    assert str(ours) == str(expected)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in expected.state_dict().items()}


# initialisation


def test_alexnet_starts_with_he_initialisation_and_different_outputs():
    """Its convolutions are allocated without values, so that they must be initialised."""
    torch.manual_seed(0)
    model = create_model("alexnet_224").eval()
    for layer in model.features:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(
                math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size))), rel=0.05
            )
            assert abs(layer.weight.mean().item()) < 5 * layer.weight.std().item() / math.sqrt(layer.weight.numel())
            assert not layer.bias.any()
    assert all(p.device.type == "cpu" and torch.isfinite(p).all() for p in model.parameters())
    with torch.inference_mode():
        first, second = model(torch.randn(2, 3, 224, 224))
    assert torch.isfinite(first).all()
    assert not torch.allclose(first, second)


def test_alexnet_depends_on_the_seed_alone():
    firsts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        firsts.append(create_model("alexnet_224", dropout=0.1).features[0].weight.detach().clone())
    assert torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[0], firsts[2])


# timm backbones


@pytest.mark.parametrize(
    "backbone",
    ["test_resnet", "test_convnext", "test_efficientnet", "test_nfnet", "mobilenetv3_small_050", "resnet18.tv_in1k"],
)
def test_any_timm_backbone_works_with_the_head(backbone):
    with torch.device("meta"):
        model = create_model("timm_224", 6, backbone=backbone).eval()
        features = model.backbone(torch.empty(2, 3, 224, 224))
        logits = model(torch.empty(2, 3, 224, 224))
    assert features.shape == (2, model.classifier[0].in_features)
    assert logits.shape == (2, 6)


@pytest.mark.parametrize(
    "backbone", ["test_vit", "test_coatnet", "vit_small_patch14_dinov2", "swinv2_tiny_window16_256"]
)
def test_a_backbone_with_another_fixed_size_is_built_for_224(backbone):
    side = timm.get_pretrained_cfg(backbone).input_size[-1]
    assert side != 224
    assert timm_image_size(backbone) == 224
    with torch.device("meta"):
        model = create_model("timm_224", backbone=backbone).eval()
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 7)


@pytest.mark.parametrize("backbone", ["resnet18", "vit_base_patch16_224", "test_resnet"])
def test_a_backbone_that_accepts_224_gets_no_image_size(backbone):
    assert timm_image_size(backbone) is None


def test_a_misspelt_backbone_is_named_with_its_near_matches():
    with pytest.raises(ConfigError, match=r"no network 'resnet_18'; did you mean .*\bresnet18\b"):
        create_model("timm_224", backbone="resnet_18")


@pytest.mark.parametrize("backbone", ["zzzzqq", "", None, 18, "hf-hub:timm/resnet18"])
def test_an_unknown_backbone_is_named_with_the_next_step(backbone):
    with pytest.raises(ConfigError, match=r"no network .*timm\.list_models") as caught:
        create_model("timm_224", backbone=backbone)
    assert repr(backbone) in str(caught.value)


def test_a_tag_timm_does_not_have_is_named():
    with pytest.raises(ConfigError, match=r"'resnet18\.nonsense'.*list_pretrained\('resnet18\*'\)"):
        create_model("timm_224", backbone="resnet18.nonsense")
