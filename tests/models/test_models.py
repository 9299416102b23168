"""Networks: parameter counts, layers, and bit-identical starting weights."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import timm
import torch
import torchvision
from torch import nn

from emotion_hub.errors import CheckpointError, ConfigError, UnknownModelError
from emotion_hub.models import create_model, get_entry, list_models
from emotion_hub.models.weights import mobilenetv2_from_torchvision
from emotion_hub.preprocess import PREPROCESSING

NATIVE48 = ["emotion_cnn", "enhanced_cnn48", "ensemble_native48"]
RGB48 = ["ensemble_rgb48", "mobilenetv1_48", "resnet18_48", "vgg16_48", "vgg19_48"]
UPSCALE224 = [
    "alexnet_224",
    "convnext_base_224",
    "efficientnet_b3_224",
    "ensemble_upscale224",
    "mobilenetv1_224",
    "mobilenetv2_224",
    "resnet50_224",
    "squeezenet1_1_224",
    "timm_224",
    "vgg16_224",
    "vgg19_224",
    "vit_base_224",
]
NAMES = sorted(NATIVE48 + RGB48 + UPSCALE224)
#: Required options by network: ensembles need members.
OPTIONS = {
    "ensemble_native48": {"members": [{"model": "emotion_cnn"}, {"model": "enhanced_cnn48"}]},
    "ensemble_rgb48": {"members": [{"model": "vgg16_48"}, {"model": "resnet18_48"}]},
    "ensemble_upscale224": {
        "members": [{"model": "mobilenetv1_224"}, {"model": "timm_224", "options": {"hidden": 64}}]
    },
}
#: Networks that are small enough to be built with weights in every test.
SMALL = [
    "emotion_cnn",
    "enhanced_cnn48",
    "mobilenetv1_224",
    "mobilenetv1_48",
    "mobilenetv2_224",
    "resnet18_48",
    "squeezenet1_1_224",
    "vgg16_48",
    "vgg19_48",
]


def _count(model: nn.Module, kind: type) -> list[nn.Module]:
    return [m for m in model.modules() if type(m) is kind]


@pytest.fixture(scope="module")
def torchvision_weights() -> dict[str, torch.Tensor]:
    """A torchvision MobileNetV2 with random weights and batch norms that are not the identity."""
    torch.manual_seed(0)
    state = torchvision.models.mobilenet_v2(weights=None).state_dict()
    for key, value in state.items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim == 1 and value.is_floating_point():
            value.add_(torch.rand_like(value) * 0.2)
    return state


@pytest.fixture(scope="module")
def mobilenet() -> nn.Module:
    return create_model("mobilenetv2_224").eval()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("alexnet_224", 44_682_055),
        ("convnext_base_224", 88_095_879),
        ("efficientnet_b3_224", 11_487_791),
        ("emotion_cnn", 1_572_551),
        ("enhanced_cnn48", 6_670_759),
        ("mobilenetv1_224", 3_214_151),
        ("mobilenetv1_48", 3_214_151),
        ("mobilenetv2_224", 2_232_839),
        ("resnet18_48", 11_301_959),
        ("resnet50_224", 24_561_735),
        ("squeezenet1_1_224", 726_087),
        ("vgg16_224", 121_938_759),
        ("vgg16_48", 8_424_775),
        ("vgg19_224", 127_248_455),
        ("vgg19_48", 11_374_663),
        ("vit_base_224", 86_196_999),
    ],
)
def test_parameter_counts_with_seven_classes_are_those_of_the_designs(name, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in create_model(name).parameters()) == count


@pytest.mark.parametrize("name", [n for n in NAMES if "parameters" in get_entry(n).summary])
def test_the_summary_rounds_the_parameter_count(name):
    with torch.device("meta"):
        millions = sum(p.numel() for p in create_model(name).parameters()) / 1e6
    rounded = re.search(r"([\d.]+)M parameters", get_entry(name).summary)[1]
    assert rounded == f"{millions:.{len(rounded.partition('.')[2])}f}"


@pytest.mark.parametrize("num_classes", [7, 6])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_builds_and_has_one_logit_per_class(name, num_classes):
    """On the meta device, which allocates no memory: VGG16 would take 500 MB."""
    config = PREPROCESSING[get_entry(name).preprocessing]
    with torch.device("meta"):
        model = create_model(name, num_classes, **OPTIONS.get(name, {})).eval()
        assert model(torch.empty(2, config.channels, config.size, config.size)).shape == (2, num_classes)


@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_has_two_names(name):
    """safetensors refuses to save a network whose layers share a tensor."""
    with torch.device("meta"):
        model = create_model(name, **OPTIONS.get(name, {}))
    for named in (model.named_parameters, model.named_buffers):
        assert len(list(named(remove_duplicate=False))) == len(list(named()))


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_finite_float32(name):
    entry = get_entry(name)
    config = PREPROCESSING[entry.preprocessing]
    model = create_model(name).eval()
    with torch.inference_mode():
        logits = model(
            torch.randn(2, config.channels, config.size, config.size, generator=torch.Generator().manual_seed(0))
        )
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_enhanced_cnn48_has_the_layers_of_its_design():
    model = create_model("enhanced_cnn48")
    convolutions = _count(model, nn.Conv2d)
    assert len(convolutions) == 12
    assert all(c.bias is None and c.kernel_size == (3, 3) for c in convolutions)
    assert Counter(c.out_channels for c in convolutions) == {32: 2, 64: 2, 128: 3, 256: 3, 512: 2}
    assert len(_count(model, nn.BatchNorm2d)) + len(_count(model, nn.BatchNorm1d)) == 16
    assert [(m.in_features, m.out_features) for m in _count(model, nn.Linear)] == [
        (512, 1024),
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 7),
    ]
    assert [m.p for m in _count(model, nn.Dropout2d)] == pytest.approx([0.1, 0.125, 0.15, 0.175, 0.2])
    assert [m.p for m in _count(model, nn.Dropout)] == pytest.approx([0.5, 0.35, 0.25, 0.15, 0.1])


def test_emotion_cnn_has_four_convolutions_and_two_linear_layers():
    model = create_model("emotion_cnn", dropout=0.25)
    assert [c.out_channels for c in _count(model, nn.Conv2d)] == [32, 64, 128, 256]
    assert [(m.in_features, m.out_features) for m in _count(model, nn.Linear)] == [(2304, 512), (512, 7)]
    assert [m.p for m in _count(model, nn.Dropout)] == [0.25]


def test_mobilenetv2_has_the_keys_and_shapes_of_timm(mobilenet):
    theirs = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=7).state_dict()
    ours = mobilenet.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[k].shape == theirs[k].shape for k in theirs)


def test_dropout_reaches_the_network():
    assert {m.p for m in _count(create_model("enhanced_cnn48", dropout=0.0), nn.Dropout)} == {0.0}
    assert (
        create_model("mobilenetv1_224", dropout=0.35).drop_rate
        == create_model("mobilenetv2_224", dropout=0.35).drop_rate
        == 0.35
    )


@pytest.mark.parametrize("dropout", [1.5, -0.1, "high", None])
@pytest.mark.parametrize("name", ["emotion_cnn", "mobilenetv1_224", "mobilenetv2_224", "squeezenet1_1_224", "timm_224"])
def test_an_invalid_dropout_rate_is_a_config_error(name, dropout):
    with torch.device("meta"), pytest.raises(ConfigError, match=rf"{name} cannot be built with.*{dropout}"):
        create_model(name, dropout=dropout)


@pytest.mark.parametrize("name", ["resnet50", "", "Emotion_CNN"])
def test_an_unknown_network_lists_the_valid_names(name):
    with pytest.raises(UnknownModelError) as caught:
        create_model(name)
    assert str(caught.value) == f"no network {name!r}; choose from {', '.join(NAMES)}"
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize("num_classes", [1, 0, -3, 7.0, "7", None, True])
def test_an_invalid_class_count_is_named(num_classes):
    with pytest.raises(ConfigError, match="num_classes=") as caught:
        create_model("emotion_cnn", num_classes=num_classes)
    assert repr(num_classes) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_named_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"'drop_out'.*takes (dropout|members|backbone, dropout, hidden)"):
        create_model(name, drop_out=0.1)


def test_networks_are_listed_sorted_and_by_preprocessing():
    assert list_models() == NAMES == sorted(NAMES)
    assert list_models("native48") == NATIVE48
    assert list_models("rgb48") == RGB48
    assert list_models("upscale224") == UPSCALE224
    assert list_models("native96") == []
    assert all(get_entry(n).preprocessing in PREPROCESSING for n in NAMES)


@pytest.mark.parametrize(
    ("name", "theirs", "left"),
    [("vgg16_48", "vgg16", "classifier"), ("vgg19_48", "vgg19", "classifier"), ("resnet18_48", "resnet18", "fc")],
)
def test_torchvision_weights_fit_the_48_pixel_networks_by_name(name, theirs, left):
    with torch.device("meta"):
        source = {k: v.shape for k, v in getattr(torchvision.models, theirs)(weights=None).state_dict().items()}
        target = {k: v.shape for k, v in create_model(name).state_dict().items()}
    fresh = {k for k, shape in target.items() if source.get(k) != shape}
    assert {k.split(".")[0] for k in fresh} == ({left, "conv1"} if name == "resnet18_48" else {left})


def test_both_mobilenetv1_differ_in_the_stride_of_the_stem_alone():
    torch.manual_seed(0)
    small, large = create_model("mobilenetv1_48").eval(), create_model("mobilenetv1_224").eval()
    large.load_state_dict(small.state_dict())
    with torch.inference_mode():
        faces = torch.randn(2, 3, 48, 48)
        assert not torch.allclose(small(faces), large(faces), atol=1e-3)
        large.conv_stem.stride = (1, 1)
        torch.testing.assert_close(small(faces), large(faces))


def test_activations_of_a_new_vgg_reach_the_head():
    torch.manual_seed(0)
    model = create_model("vgg19_48").eval()
    with torch.inference_mode():
        first, second = (model.pool(model.features(torch.randn(2, 3, 48, 48))) for _ in range(2))
    assert 0.05 < first.std().item() < 20
    assert (first - second).abs().mean() > 0.02 * first.std(), "two pictures look alike after twelve layers"


def test_torchvision_weights_are_copied_bit_for_bit_except_the_classifier(torchvision_weights, mobilenet):
    done = mobilenetv2_from_torchvision(torchvision_weights, mobilenet)
    assert sorted(done.unmapped_source) == ["classifier.1.bias", "classifier.1.weight"]
    assert sorted(done.unmapped_target) == ["classifier.bias", "classifier.weight"]
    assert done.copied == tuple(done.tensors)
    # both state dicts list the layers from the image to the head, so the n-th tensor of each kind must be the same
    backbone = {k: v for k, v in torchvision_weights.items() if not k.startswith("classifier")}
    assert len(done.tensors) == len(backbone)
    for leaf in ("running_mean", "running_var", "num_batches_tracked", "weight", "bias"):
        theirs = [v for k, v in backbone.items() if k.endswith(f".{leaf}")]
        ours = [v for k, v in done.tensors.items() if k.endswith(f".{leaf}")]
        assert len(theirs) == len(ours) > 0
        assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True)), leaf


def test_the_transfer_copies_tensors_and_changes_neither_network(torchvision_weights, mobilenet):
    before = mobilenet.state_dict()["conv_stem.weight"].clone()
    done = mobilenetv2_from_torchvision(torchvision_weights, mobilenet)
    kept = torchvision_weights["features.0.0.weight"].clone()
    done.tensors["conv_stem.weight"].zero_()
    assert torch.equal(torchvision_weights["features.0.0.weight"], kept)
    assert torch.equal(mobilenet.state_dict()["conv_stem.weight"], before)


def test_both_networks_compute_the_same_features_after_the_transfer(torchvision_weights):
    source = torchvision.models.mobilenet_v2(weights=None).eval()
    source.load_state_dict(torchvision_weights)
    model = create_model("mobilenetv2_224").eval()
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = source.features(pixels)
        assert expected.std() > 1e-3  # features of a network of zeros would be equal in any case
        assert not torch.allclose(model.forward_features(pixels), expected, atol=1e-4)
        model.load_state_dict(
            {**model.state_dict(), **mobilenetv2_from_torchvision(torchvision_weights, model).tensors}
        )
        torch.testing.assert_close(model.forward_features(pixels), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("key", ["features.0.0.weight", "features.7.conv.1.1.running_var", "features.18.1.bias"])
def test_a_missing_layer_is_named(torchvision_weights, mobilenet, key):
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        mobilenetv2_from_torchvision({k: v for k, v in torchvision_weights.items() if k != key}, mobilenet)


def test_a_missing_batch_counter_is_allowed(torchvision_weights, mobilenet):
    source = {k: v for k, v in torchvision_weights.items() if not k.endswith("num_batches_tracked")}
    done = mobilenetv2_from_torchvision(source, mobilenet)
    assert "conv_stem.weight" in done.tensors
    assert {k for k in done.unmapped_target if not k.endswith("num_batches_tracked")} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_a_layer_of_another_shape_is_named_with_both_shapes(torchvision_weights, mobilenet):
    wrong = {**torchvision_weights, "features.18.0.weight": torch.zeros(640, 320, 1, 1)}
    with pytest.raises(CheckpointError, match=r"'features\.18\.0\.weight'.*\(640, 320, 1, 1\).*\(1280, 320, 1, 1\)"):
        mobilenetv2_from_torchvision(wrong, mobilenet)


def test_the_available_imagenet_weights_are_used_except_the_classifier(shared_data, mobilenet):
    path = shared_data / "weights" / "mobilenet_v2_imagenet_from_coral_ptq.pt"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    source = torch.load(path, map_location="cpu", weights_only=True)
    done = mobilenetv2_from_torchvision(source, mobilenet)
    assert all(k.startswith("classifier.") for k in done.unmapped_source)
    left = {k for k in done.unmapped_target if not k.endswith("num_batches_tracked")}
    assert left == {"classifier.weight", "classifier.bias"}
    assert torch.equal(done.tensors["conv_head.weight"], source["features.18.0.weight"])
