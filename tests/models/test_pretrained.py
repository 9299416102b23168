"""Starting weights from published networks and files, and refused sources."""

from __future__ import annotations

import re
import socket
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import timm
import torch
import torchvision
from huggingface_hub import errors as hub_errors
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.models import create_model, list_models
from emotion_hub.models.classifier import ClassifierConfig
from emotion_hub.models.parts import head_parameters
from emotion_hub.models.pretrained import load_pretrained
from emotion_hub.models.weights import adapt_filters, by_layers, by_names, mobilenetv1_from_layers
from tests.tolerances import LOGITS

State = dict[str, torch.Tensor]

#: {network: published weights from which it starts}.
OF_TORCHVISION = {
    "alexnet_224": "alexnet",
    "enhanced_cnn48": "vgg16",
    "resnet18_48": "resnet18",
    "squeezenet1_1_224": "squeezenet1_1",
    "vgg16_224": "vgg16",
    "vgg16_48": "vgg16",
    "vgg19_224": "vgg19",
    "vgg19_48": "vgg19",
}
OF_TIMM = {
    "convnext_base_224": "convnext_base",
    "efficientnet_b3_224": "tf_efficientnet_b3",
    "mobilenetv1_224": "mobilenetv1_100",
    "mobilenetv1_48": "mobilenetv1_100",
    "mobilenetv2_224": "mobilenetv2_100",
    "resnet50_224": "resnet50",
    "timm_224": "resnet18",
    "vit_base_224": "vit_base_patch16_224",
}
TINY = {"backbone": "test_resnet", "hidden": 32}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Makes a test fail when it opens a connection."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))


def _shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with batch norms that are not the identity."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1, generator=generator)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim == 1 and value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=generator) * 0.2)
    return network.eval()


@pytest.fixture(scope="module")
def vgg16() -> State:
    """The keys and shapes of torchvision's VGG16, with one row per layer in its classifier of 123.6 million weights."""
    torch.manual_seed(0)
    state = {f"features.{key}": value for key, value in make_layers(cfgs["D"]).state_dict().items()}
    return {**state, **{f"classifier.{n}.weight": torch.randn(1, 3) for n in (0, 3, 6)}}


@pytest.fixture(scope="module")
def resnet18() -> State:
    torch.manual_seed(0)
    return _shaken(torchvision.models.resnet18(weights=None)).state_dict()


@pytest.fixture(scope="module")
def tiny() -> State:
    """The published state dict of a timm network, including its classifier."""
    torch.manual_seed(0)
    return _shaken(timm.create_model("test_resnet")).state_dict()


@pytest.fixture
def tiny_file(tiny, tmp_path) -> Path:
    torch.save(tiny, tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def _state(model: nn.Module) -> State:
    return {key: value.clone() for key, value in model.state_dict().items()}


def _head(model: nn.Module) -> set[str]:
    inside = {id(p) for p in head_parameters(model)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in inside}


# filters of an RGB network for a grayscale one


def test_enhanced_cnn48_takes_the_leading_slices_of_twelve_vgg16_convolutions(vgg16):
    model = create_model("enhanced_cnn48")
    done = adapt_filters(vgg16, model)
    source = [key for key, value in vgg16.items() if value.ndim == 4]
    ours = [f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    assert (len(source), len(ours)) == (13, 12)
    assert list(done.tensors) == list(done.copied) == ours
    for number, (name, key) in enumerate(zip(ours, source, strict=False)):
        outputs, inputs = model.state_dict()[name].shape[:2]
        expected = vgg16[key][:outputs].mean(dim=1, keepdim=True) if number == 0 else vgg16[key][:outputs, :inputs]
        assert torch.equal(done.tensors[name], expected), (name, key)
    assert done.unmapped_source == tuple(key for key in vgg16 if key not in source[:12])
    assert set(done.unmapped_target) == set(model.state_dict()) - set(ours)


def test_the_first_filter_is_the_mean_over_rgb(vgg16):
    weight = adapt_filters(vgg16, create_model("enhanced_cnn48")).tensors["features.0.weight"]
    red, green, blue = vgg16["features.0.weight"][:32].unbind(dim=1)
    assert weight.shape == (32, 1, 3, 3)
    torch.testing.assert_close(weight[:, 0], (red + green + blue) / 3)


def test_origins_describe_the_source_of_each_slice(vgg16):
    origins = adapt_filters(vgg16, create_model("enhanced_cnn48")).origins
    assert len(origins) == 12
    assert origins[0] == "features.0.weight (32, 1, 3, 3) from features.0.weight (64, 3, 3, 3), mean over RGB"
    assert origins[1] == "features.3.weight (32, 32, 3, 3) from features.2.weight (64, 64, 3, 3)"
    assert not any("RGB" in origin for origin in origins[1:])


def test_resnet18_filters_are_cut_from_7x7_and_unsuitable_ones_are_skipped(resnet18):
    model = create_model("enhanced_cnn48")
    done = adapt_filters(resnet18, model)
    sources = [origin.split(" from ")[1].split(" ")[0] for origin in done.origins]
    assert sources == [
        "conv1.weight",
        "layer1.0.conv1.weight",
        "layer1.0.conv2.weight",
        "layer1.1.conv1.weight",
        "layer2.0.conv1.weight",  # layer1.1.conv2 has 64 filters, 128 are wanted
        "layer2.0.conv2.weight",
        "layer2.1.conv1.weight",  # after the 1x1 of layer2.0.downsample
        "layer3.0.conv1.weight",
        "layer3.0.conv2.weight",
        "layer3.1.conv1.weight",
        "layer4.0.conv1.weight",
        "layer4.0.conv2.weight",
    ]
    first, *later = done.tensors.items()
    assert torch.equal(first[1], resnet18["conv1.weight"][:32, :, 2:5, 2:5].mean(dim=1, keepdim=True))
    for (name, tensor), key in zip(later, sources[1:], strict=True):
        outputs, inputs = tensor.shape[:2]
        assert torch.equal(tensor, resnet18[key][:outputs, :inputs]), name
    assert done.origins[0].endswith("from conv1.weight (64, 3, 7, 7), mean over RGB")


def test_adapted_filters_are_copies(vgg16):
    kept = vgg16["features.2.weight"].clone()
    done = adapt_filters(vgg16, create_model("enhanced_cnn48"))
    done.tensors["features.3.weight"].zero_()
    assert torch.equal(vgg16["features.2.weight"], kept)


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"fc.weight": torch.zeros(7, 512)},
        {"a.weight": torch.zeros(8, 3, 3, 3)},
        {"a.weight": torch.zeros(1024, 1024, 1, 1)},
    ],
    ids=["nothing", "no convolution", "too few filters", "only 1x1"],
)
def test_filters_that_are_too_small_are_refused(source):
    with pytest.raises(CheckpointError, match=r"no convolution .* large enough.*VGG16"):
        adapt_filters(source, create_model("enhanced_cnn48"))


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (1, 7)])
def test_a_first_filter_smaller_than_3x3_is_skipped(vgg16, kernel):
    done = adapt_filters({"stem.weight": torch.zeros(64, 3, *kernel), **vgg16}, create_model("enhanced_cnn48"))
    assert "from features.0.weight" in done.origins[0]


def test_a_later_filter_that_is_not_3x3_is_skipped(vgg16):
    stem, *rest = vgg16.items()
    source = dict([stem, ("second.weight", torch.zeros(512, 512, 5, 5)), *rest])
    assert "from features.2.weight" in adapt_filters(source, create_model("enhanced_cnn48")).origins[1]


def test_a_first_filter_that_is_not_square_is_cut_to_its_middle(vgg16):
    stem = torch.arange(64 * 3 * 5 * 7, dtype=torch.float32).view(64, 3, 5, 7)
    done = adapt_filters({"stem.weight": stem, **vgg16}, create_model("enhanced_cnn48"))
    assert torch.equal(done.tensors["features.0.weight"], stem[:32, :, 1:4, 2:5].mean(dim=1, keepdim=True))


# names and layers


class _MobileNetV1(nn.Module):
    """The network in layers features.0 to features.26 (Howard et al. 2017, arXiv:1704.04861, table 1)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
        layers = [self._layer(3, 32, 3, 2)]
        for number, (a, b) in enumerate(pairwise(widths)):
            layers += [self._layer(a, a, 3, 2 if number in (1, 3, 5, 11) else 1, groups=a), self._layer(a, b, 1, 1)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(1024, 1000)

    @staticmethod
    def _layer(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(),
        )


@pytest.fixture(scope="module")
def mobilenetv1() -> _MobileNetV1:
    torch.manual_seed(0)
    return _shaken(_MobileNetV1())


def _features_agree(model: nn.Module, ours, source, transfer) -> None:
    """Before the transfer the two differ, afterwards they compute the same."""
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = source(pixels)
        assert expected.std() > 1e-4, "a network of zeros would agree with anything"
        assert not torch.allclose(ours(pixels), expected, rtol=1e-2, atol=0)
    transfer()
    with torch.inference_mode():
        torch.testing.assert_close(model.eval() and ours(pixels), expected, **LOGITS)


def test_mobilenetv1_computes_the_features_of_its_source(mobilenetv1):
    model = create_model("mobilenetv1_224").eval()

    def transfer():
        done = mobilenetv1_from_layers(mobilenetv1.state_dict(), model)
        assert set(done.unmapped_source) == {"classifier.weight", "classifier.bias"}
        assert set(done.unmapped_target) == {"classifier.weight", "classifier.bias"}
        model.load_state_dict(done.tensors, strict=False)

    _features_agree(model, model.forward_features, mobilenetv1.features, transfer)


def test_the_layout_of_a_mobilenet_is_recognised_by_its_keys(mobilenetv1, tmp_path):
    for name, source in (
        ("mobilenetv1_224", mobilenetv1),
        ("mobilenetv2_224", _shaken(torchvision.models.mobilenet_v2(weights=None))),
    ):
        torch.save(source.state_dict(), tmp_path / "theirs.pt")
        model = create_model(name).eval()
        _features_agree(
            model,
            model.forward_features,
            source.features,
            lambda model=model, name=name: load_pretrained(name, model, tmp_path / "theirs.pt"),
        )


@pytest.mark.parametrize(
    ("name", "source"), [("mobilenetv1_224", "mobilenetv1_100"), ("mobilenetv2_224", "mobilenetv2_100")]
)
def test_mobilenets_in_timms_own_keys_fit_too(name, source, tmp_path):
    source = _shaken(timm.create_model(source))
    save_file(source.state_dict(), tmp_path / "theirs.safetensors")
    model = create_model(name).eval()
    _features_agree(
        model,
        model.forward_features,
        source.forward_features,
        lambda: load_pretrained(name, model, tmp_path / "theirs.safetensors"),
    )


def test_squeezenet_computes_the_features_of_its_source(tmp_path):
    source = _shaken(torchvision.models.squeezenet1_1(weights=None))
    torch.save(source.state_dict(), tmp_path / "theirs.pt")
    model = create_model("squeezenet1_1_224").eval()
    _features_agree(
        model,
        model.features,
        source.features,
        lambda: load_pretrained("squeezenet1_1_224", model, tmp_path / "theirs.pt"),
    )


@pytest.mark.parametrize("key", ["features.0.0.weight", "features.13.1.running_mean", "features.26.1.bias"])
def test_a_layer_mobilenetv1_lacks_is_named(mobilenetv1, key):
    source = {k: v for k, v in mobilenetv1.state_dict().items() if k != key}
    with pytest.raises(CheckpointError, match=rf"lack '{re.escape(key)}'.*features\.0 to features\.26"):
        mobilenetv1_from_layers(source, create_model("mobilenetv1_224"))


def test_by_layers_names_a_shape_that_differs():
    with pytest.raises(CheckpointError, match=r"'a\.weight' has shape \(2, 3\), the network needs \(2, 4\)"):
        by_layers({"a.weight": torch.zeros(2, 3)}, nn.Sequential(nn.Linear(4, 2)), [("a", "0")], "anything")


def test_by_names_copies_tensors_of_equal_name_and_shape_and_lists_the_others():
    model = nn.ModuleDict({"body": nn.Linear(4, 2), "head": nn.Linear(2, 7)})
    source = {"weight": torch.ones(2, 4), "bias": torch.zeros(3), "other": torch.zeros(1)}
    done = by_names(source, model, "body.")
    assert done.copied == ("body.weight",)
    assert torch.equal(done.tensors["body.weight"], source["weight"])
    assert done.unmapped_source == ("bias", "other")
    assert done.unmapped_target == ("body.bias", "head.weight", "head.bias")
    done.tensors["body.weight"].zero_()
    assert source["weight"].all(), "the transfer shares memory with its source"


# local files


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("as_text", [True, False], ids=["str", "Path"])
def test_a_local_file_fills_the_backbone_and_not_the_head(tiny, tmp_path, suffix, as_text):
    path = tmp_path / f"weights{suffix}"
    save_file(tiny, path) if suffix == ".safetensors" else torch.save(tiny, path)
    torch.manual_seed(5)
    fresh = _state(create_model("timm_224", **TINY))
    torch.manual_seed(5)
    model = create_model("timm_224", pretrained=str(path) if as_text else path, **TINY)
    after = model.state_dict()
    body = {key for key in after if key.startswith("backbone.")}
    assert all(torch.equal(after[key], tiny[key.removeprefix("backbone.")]) for key in body)
    assert set(after) - body == _head(model)
    assert all(torch.equal(after[key], fresh[key]) for key in _head(model))
    assert not torch.equal(after["backbone.conv1.0.weight"], fresh["backbone.conv1.0.weight"])


def test_the_transfer_lists_unused_keys_of_both_networks(tiny, tiny_file):
    model = create_model("timm_224", **TINY)
    done = load_pretrained("timm_224", model, tiny_file)
    assert set(done.unmapped_source) == {"fc.weight", "fc.bias"}
    assert set(done.unmapped_target) == _head(model)
    assert set(done.copied) == {f"backbone.{key}" for key in tiny} - {"backbone.fc.weight", "backbone.fc.bias"}


def test_a_head_of_another_network_with_equal_name_and_shape_is_not_copied(tmp_path):
    """The state dict of a ResNet-18 has a layer fc.0 whose shape equals ours by accident.

    In the same way, VGG16's first dense layer is 25088 to 4096 in both networks.
    """
    model = create_model("resnet18_48")
    state = {**torchvision.models.resnet18(weights=None).state_dict(), "fc.0.weight": torch.full((256, 512), 9.0)}
    torch.save(state, tmp_path / "theirs.pt")
    done = load_pretrained("resnet18_48", model, tmp_path / "theirs.pt")
    assert not model.fc[0].weight.eq(9).any()
    assert "fc.0.weight" in done.unmapped_source
    assert set(done.unmapped_target) == {"conv1.weight", *_head(model)}


@pytest.mark.parametrize("name", ["emotion_cnn", "enhanced_cnn48", "timm_224"])
def test_weights_of_the_same_network_fill_the_head_too(name, tmp_path):
    options = TINY if name == "timm_224" else {}
    source = _shaken(create_model(name, **options))
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    model = create_model(name, pretrained=tmp_path / "model.safetensors", **options)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_weights_for_other_classes_do_not_fill_the_last_layer(tmp_path):
    source = _shaken(create_model("emotion_cnn", 6))
    torch.save(source.state_dict(), tmp_path / "six.pt")
    model = create_model("emotion_cnn", 7)
    done = load_pretrained("emotion_cnn", model, tmp_path / "six.pt")
    assert done.unmapped_target == done.unmapped_source == ("classifier.4.weight", "classifier.4.bias")
    assert torch.equal(model.features[0].weight, source.features[0].weight)


def test_an_ensemble_starts_from_a_file_of_the_whole_ensemble(tmp_path):
    members = [{"model": "emotion_cnn"}] * 2
    source = create_model("ensemble_native48", members=members)
    torch.save(source.state_dict(), tmp_path / "pair.pt")
    model = create_model("ensemble_native48", members=members, pretrained=tmp_path / "pair.pt")
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_enhanced_cnn48_starts_from_a_file_of_vgg16(vgg16, tmp_path):
    torch.save(vgg16, tmp_path / "vgg16.pt")
    model = create_model("enhanced_cnn48", pretrained=tmp_path / "vgg16.pt")
    expected = adapt_filters(vgg16, model).tensors
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors", "no/such/folder/a.pt"])
def test_a_missing_file_is_named_with_the_next_step(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"no starting weights at .*{name}.*pretrained=True"):
        create_model("emotion_cnn", pretrained=tmp_path / name)


def test_an_empty_path_does_not_mean_random_weights():
    with pytest.raises(CheckpointError):
        create_model("emotion_cnn", pretrained="")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>not found</html>", b"PK\x03\x04" + bytes(100), bytes(range(256))],
    ids=["empty", "html", "zip", "noise"],
)
def test_a_file_without_weights_is_a_checkpoint_error(tmp_path, suffix, data):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(data)
    with pytest.raises(
        CheckpointError, match=rf"weights\{suffix} (is damaged|cannot be read).*give a (plain )?state dict"
    ):
        create_model("emotion_cnn", pretrained=path)


def test_a_folder_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        create_model("emotion_cnn", pretrained=tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # torch's warning about a damaged protocol byte
@pytest.mark.parametrize("zipped", [True, False])
def test_random_damage_to_a_pickle_raises_only_checkpoint_errors(tmp_path, zipped):
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(3, 2).state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole, random = path.read_bytes(), torch.Generator().manual_seed(0)
    model = create_model("emotion_cnn")
    for _ in range(150):
        data = bytearray(whole)
        for position in torch.randint(0, min(len(data), 700), (3,), generator=random):
            data[position] = torch.randint(0, 256, (1,), generator=random).item()
        path.write_bytes(data)
        with pytest.raises(CheckpointError):  # a file that still loads does not fit
            load_pretrained("emotion_cnn", model, path)


UNPICKLED: list[str] = []


def _spring(word: str) -> None:
    UNPICKLED.append(word)


class _Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return _spring, ("opened",)


@pytest.mark.parametrize(
    "content",
    [lambda: {"a.weight": _Trap()}, _Trap, lambda: nn.Linear(2, 2)],
    ids=["in a state dict", "alone", "a module"],
)
def test_a_pickle_with_an_object_is_refused_and_not_opened(tmp_path, content):
    torch.save(content(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"more than tensors.*refused.*run code"):
        create_model("emotion_cnn", pretrained=tmp_path / "model.pt")
    assert UNPICKLED == []


def test_the_probe_object_leaves_a_trace_when_it_is_unpickled(tmp_path):
    """Without this, the test above could not fail."""
    torch.save(_Trap(), tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert UNPICKLED.pop() == "opened"


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(2)], torch.zeros(2), 3, {"model": {"a.weight": torch.zeros(2)}}, {"epoch": 3}, {0: torch.zeros(2)}],
    ids=["list", "tensor", "number", "nested", "numbers", "keys that are no names"],
)
def test_a_file_without_a_state_dict_is_named(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model\.pt is not a state dict.*model\.state_dict\(\)"):
        create_model("emotion_cnn", pretrained=tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["emotion_cnn", "resnet18_48", "squeezenet1_1_224", "timm_224"])
def test_weights_that_do_not_fit_are_refused_with_the_keys_of_both(tmp_path, name):
    save_file({"strange.weight": torch.zeros(2), "classifier.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with torch.device("meta"):
        model = create_model(name)
    ours = re.escape(next(iter(model.state_dict())))
    with pytest.raises(CheckpointError, match=rf"no tensor .* fits {name}.*'strange\.weight'.*'{ours}'"):
        load_pretrained(name, model, tmp_path / "other.safetensors")


def test_refused_weights_do_not_change_the_network(tmp_path):
    save_file({"strange.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    model = create_model("emotion_cnn")
    before = _state(model)
    with pytest.raises(CheckpointError):
        load_pretrained("emotion_cnn", model, tmp_path / "other.safetensors")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


# downloads


class _Publishers:
    """Replaces downloads of torchvision and timm: random weights with their keys, and a list of the requested names."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.given: State = {}

    def torchvision(self, url: str, **options) -> State:
        name = url.rsplit("/", 1)[1].rsplit("-", 1)[0].removesuffix("-owt")
        assert options == {"progress": False, "check_hash": True}
        return self._give(name, torchvision.models.get_model(name, weights=None))

    def timm(self, repo_id: str, *_, **__) -> State:
        return self._give(repo_id, timm.create_model(repo_id.removeprefix("timm/")))

    def _give(self, name: str, network: nn.Module) -> State:
        self.asked.append(name)
        self.given = (
            _state(_shaken(network)) if next(network.parameters()).device.type == "cpu" else network.state_dict()
        )
        return dict(self.given)


@pytest.fixture
def publishers(monkeypatch) -> _Publishers:
    there = _Publishers()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", there.torchvision)
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", there.timm)
    return there


@pytest.mark.parametrize("name", ["mobilenetv1_224", "resnet18_48", "squeezenet1_1_224"])
def test_a_download_fills_the_backbone_bit_for_bit_and_not_the_head(publishers, name):
    torch.manual_seed(5)
    fresh = _state(create_model(name))
    torch.manual_seed(5)
    model = create_model(name)
    done = load_pretrained(name, model, True)
    after, head = model.state_dict(), _head(model)
    assert publishers.asked == ["timm/mobilenetv1_100.ra4_e3600_r224_in1k" if name in OF_TIMM else OF_TORCHVISION[name]]
    assert set(done.unmapped_target) == head | ({"conv1.weight"} if name == "resnet18_48" else set())
    assert all(torch.equal(after[key], publishers.given[key]) for key in done.copied)
    assert all(torch.equal(after[key], fresh[key]) for key in done.unmapped_target)
    assert len(done.copied) == len(after) - len(done.unmapped_target) > 40


def test_pretrained_true_downloads_and_false_does_not(publishers):
    torch.manual_seed(5)
    random = create_model("squeezenet1_1_224")
    assert publishers.asked == []
    torch.manual_seed(5)
    model = create_model("squeezenet1_1_224", pretrained=True)
    assert publishers.asked == ["squeezenet1_1"]
    assert torch.equal(model.features[0].weight, publishers.given["features.0.weight"])
    assert torch.equal(model.classifier[1].weight, random.classifier[1].weight)


def test_a_timm_backbone_is_filled_under_its_prefix(publishers):
    model = create_model("timm_224", pretrained=True, **TINY)
    assert publishers.asked == ["timm/test_resnet.r160_in1k"]
    body = {key for key in publishers.given if not key.startswith("fc.")}
    assert all(torch.equal(model.state_dict()[f"backbone.{key}"], publishers.given[key]) for key in body)


def test_a_tag_selects_the_downloaded_weights(publishers):
    with torch.device("meta"):
        create_model("timm_224", backbone="resnet18.tv_in1k", pretrained=True)
    assert publishers.asked == ["timm/resnet18.tv_in1k"]


def test_timm_resamples_position_embeddings_of_another_size(publishers):
    """`test_vit` is published for 160 pixels: 100 patches and a class token become 196 and one."""
    model = create_model("timm_224", backbone="test_vit", hidden=32, pretrained=True)
    assert publishers.given["pos_embed"].shape[1] == 101
    pos = model.backbone.pos_embed
    assert pos.shape[1] == 197
    torch.testing.assert_close(
        pos[:, 1:].mean(dim=1), publishers.given["pos_embed"][:, 1:].mean(dim=1), atol=5e-3, rtol=0
    )
    assert torch.equal(model.backbone.patch_embed.proj.weight, publishers.given["patch_embed.proj.weight"])


def test_enhanced_cnn48_starts_from_vgg16s_download(vgg16, monkeypatch):
    requested = []
    monkeypatch.setattr(
        torchvision.models._api, "load_state_dict_from_url", lambda url, **_: requested.append(url) or vgg16
    )
    model = create_model("enhanced_cnn48", pretrained=True)
    assert requested == [torchvision.models.VGG16_Weights.DEFAULT.url]
    assert torch.equal(model.features[0].weight, vgg16["features.0.weight"][:32].mean(dim=1, keepdim=True))


@pytest.mark.parametrize("name", [*OF_TORCHVISION, *OF_TIMM])
def test_published_weights_fill_the_backbone_of_every_network(publishers, name):
    with torch.device("meta"):  # only keys and shapes are compared
        model = create_model(name)
        done = load_pretrained(name, model, True)
    assert [requested.partition(".")[0] for requested in publishers.asked] == [
        f"timm/{OF_TIMM[name]}" if name in OF_TIMM else OF_TORCHVISION[name]
    ]
    fresh = set(done.unmapped_target)
    if name == "enhanced_cnn48":  # its convolutions alone; batch norms have no counterpart
        assert len(done.copied) == len(done.origins) == 12
    else:
        assert fresh == _head(model) | ({"conv1.weight"} if name == "resnet18_48" else set())
        assert set(done.copied) == set(model.state_dict()) - fresh


def test_every_network_has_starting_weights_or_is_listed_without():
    without = {"emotion_cnn", "ensemble_native48", "ensemble_rgb48", "ensemble_upscale224"}
    assert set(list_models()) == without | set(OF_TORCHVISION) | set(OF_TIMM)


@pytest.mark.parametrize(
    ("name", "options"), [("emotion_cnn", {}), ("ensemble_native48", {"members": [{"model": "emotion_cnn"}] * 2})]
)
def test_a_network_without_published_weights_is_named(publishers, name, options):
    with pytest.raises(ConfigError, match=rf"no starting weights are published for {name}; give a local file"):
        create_model(name, pretrained=True, **options)
    assert publishers.asked == []


def test_a_timm_name_without_weights_is_named():
    with (
        pytest.raises(
            CheckpointError,
            match=r"timm_224 could not be downloaded through timm \(No pretrained weights exist.*give the file",
        ),
        torch.device("meta"),
    ):
        create_model("timm_224", backbone="nf_resnet26", pretrained=True)


@pytest.mark.parametrize(
    "error",
    [
        URLError("[Errno -3] Temporary failure in name resolution"),
        HTTPError("https://download.pytorch.org/a.pth", 403, "Forbidden", None, None),
        ConnectionResetError("reset by peer"),
        TimeoutError("timed out"),
        OSError(28, "No space left on device"),
        RuntimeError("invalid hash value"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_failed_download_from_torchvision_says_what_to_do(monkeypatch, error):
    def download(*_, **__):
        raise error

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
    with pytest.raises(
        CheckpointError,
        match=r"squeezenet1_1_224 could not .* through torchvision .*; download them elsewhere and give the file",
    ) as caught:
        create_model("squeezenet1_1_224", pretrained=True)
    assert caught.value.__cause__ is error
    assert str(error) in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        hub_errors.LocalEntryNotFoundError("cannot find the file in the cache"),
        hub_errors.OfflineModeIsEnabled("offline"),
        hub_errors.HTTPError("peer closed connection"),
        ConnectionError("reset by peer"),
        TimeoutError("timed out"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_failed_download_from_timm_says_what_to_do(monkeypatch, error):
    def download(*_, **__):
        raise error

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    with pytest.raises(
        CheckpointError, match=r"timm_224 could not .* through timm .*; download them elsewhere and give the file"
    ) as caught:
        create_model("timm_224", pretrained=True, **TINY)
    assert caught.value.__cause__ is error
    assert str(error) in str(caught.value)


# saved configurations


@pytest.mark.parametrize("value", [True, False, "weights.pt"])
def test_pretrained_is_not_an_option_of_a_saved_configuration(value):
    """Otherwise, loading a checkpoint could download, or read a file that its configuration names."""
    with pytest.raises(ConfigError, match="'pretrained' is not an option"):
        ClassifierConfig("mobilenetv2_224", options={"pretrained": value})
    saved = ClassifierConfig("mobilenetv2_224").to_dict() | {"options": {"pretrained": value}}
    with pytest.raises(ConfigError, match="'pretrained' is not an option"):
        ClassifierConfig.from_dict(saved)
