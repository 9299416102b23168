"""Conversion of folded face weights, on a tiny model of the same layout."""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import training.convert_faces
from emotion_hub.errors import CheckpointError, ConfigError, InputError
from emotion_hub.models import create_model
from emotion_hub.models.weights import mobilenetv1_from_layers
from emotion_hub.preprocess import NATIVE48
from tests.fakes.drawn_data import drawn_folder
from training.convert_faces import RECIPE
from training.fit.face_weights import MODEL, features, folded_layers, state_dict, statistics
from training.fit.graph_model import read_graph_model
from training.fit.recipe import load_recipe

PREPROCESS = load_recipe(RECIPE).preprocess

#: Filters of the 14 pointwise layers, and strides of the 13 blocks, as MobileNetV1's with fewer filters.
WIDTHS = (4, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 10, 12)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def tiny_model(seed: int = 0) -> tuple[dict, bytes]:
    """`faceres.json` and `faceres.bin` as in the package: float16 tensors, one int32, names and nodes alike."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {"age_pred/kernel": rng.normal(0, 1, (12, 5)).astype(np.float16)}
    nodes: list[dict] = [{"name": "input_1", "op": "Placeholder"}]

    def layer(conv: str, op: str, shape: tuple[int, ...], stride: int, count: int) -> None:
        kernel = f"{conv}/depthwise_kernel" if "dw" in conv else f"{conv}/convolution/merged_input"
        fan = math.prod(shape[:2]) * (1 if "dw" in conv else shape[2])
        scale = 57.375 if conv == "conv1" else 1.0
        tensors[kernel] = (rng.normal(0, 1.5 / math.sqrt(fan), shape) / scale).astype(np.float16)
        if "dw" in conv:
            tensors[f"{conv}_bn/batchnorm_1/mul"] = rng.uniform(0.5, 1.5, count).astype(np.float16)
        tensors[f"{conv}_bn/batchnorm_1/sub"] = rng.normal(0.3, 0.3, count).astype(np.float16)
        tensors[f"{conv}_relu/Cast"] = np.array(6, np.float16)
        strides = {"strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}, "padding": {"s": "U0FNRQ=="}}
        nodes.append({"name": f"{conv}/{op}", "op": op, "input": ["before", kernel], "attr": strides})

    layer("conv1", "Conv2D", (3, 3, 3, WIDTHS[0]), 2, WIDTHS[0])
    for block in range(1, 14):
        before, after = WIDTHS[block - 1], WIDTHS[block]
        layer(f"conv_dw_{block}", "DepthwiseConv2dNative", (3, 3, before, 1), STRIDES[block - 1], before)
        layer(f"conv_pw_{block}", "Conv2D", (1, 1, before, after), 1, after)
    tensors["conv1/convolution/merged_input"][..., 2] = 0  # the real file has filters of zeros
    tensors["global_pooling/Mean/reduction_indices"] = np.array([1, 2], np.int32)
    weights = [
        {"name": name, "shape": list(value.shape), "dtype": "int32"}
        if value.dtype == np.int32
        else {
            "name": name,
            "shape": list(value.shape),
            "dtype": "float32",
            "quantization": {"dtype": "float16", "original_dtype": "float32"},
        }
        for name, value in tensors.items()
    ]
    graph = {
        "format": "graph-model",
        "modelTopology": {"node": nodes, "library": {}, "versions": {}},
        "weightsManifest": [{"paths": [f"{MODEL}.bin"], "weights": weights}],
    }
    return graph, b"".join(value.tobytes() for value in tensors.values())


def write_package(folder: Path, graph: dict, data: bytes) -> Path:
    models = folder / "package" / "models"
    models.mkdir(parents=True)
    (models / f"{MODEL}.json").write_text(json.dumps(graph))
    (models / f"{MODEL}.bin").write_bytes(data)
    return folder


def packed(folder: Path, out: Path) -> Path:
    with tarfile.open(out, "w:gz") as archive:
        archive.add(folder / "package", "package")
    return out


@pytest.fixture
def package(tmp_path) -> Path:
    return write_package(tmp_path / "unpacked", *tiny_model())


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 4 - 2


def by_hand(graph: dict, data: bytes, gray_levels: torch.Tensor) -> torch.Tensor:
    """The features of the graph, written out: SAME padding, factor, shift, ReLU6; input gray levels less 117."""
    tensors, start = {}, 0
    for entry in graph["weightsManifest"][0]["weights"]:
        kind = np.dtype(np.int32 if entry["dtype"] == "int32" else np.float16)
        count = math.prod(entry["shape"])
        tensors[entry["name"]] = torch.from_numpy(
            np.frombuffer(data, kind, count, start).reshape(entry["shape"]).astype(np.float32)
        )
        start += kind.itemsize * count

    def same(pixels: torch.Tensor, stride: int) -> torch.Tensor:
        return F.pad(pixels, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))  # even sides, kernel 3

    x = F.conv2d(same(gray_levels, 2), tensors["conv1/convolution/merged_input"].permute(3, 2, 0, 1), stride=2)
    x = (x + tensors["conv1_bn/batchnorm_1/sub"].view(1, -1, 1, 1)).clamp(0, 6)
    for block, stride in enumerate(STRIDES, 1):
        kernel = tensors[f"conv_dw_{block}/depthwise_kernel"].permute(2, 3, 0, 1)
        x = F.conv2d(same(x, stride), kernel, stride=stride, groups=len(kernel))
        x = x * tensors[f"conv_dw_{block}_bn/batchnorm_1/mul"].view(1, -1, 1, 1)
        x = (x + tensors[f"conv_dw_{block}_bn/batchnorm_1/sub"].view(1, -1, 1, 1)).clamp(0, 6)
        x = F.conv2d(x, tensors[f"conv_pw_{block}/convolution/merged_input"].permute(3, 2, 0, 1))
        x = (x + tensors[f"conv_pw_{block}_bn/batchnorm_1/sub"].view(1, -1, 1, 1)).clamp(0, 6)
    return x.mean(dim=(2, 3))


def with_norms(tensors: dict[str, torch.Tensor], pixels: torch.Tensor, *, train: bool = False) -> torch.Tensor:
    """The features of a converted state dict through torch's BatchNorm2d."""
    for number in range(27):
        weight = tensors[f"features.{number}.0.weight"]
        depthwise, stride = number % 2 == 1, 2 if number == 0 else 1
        if depthwise:
            stride = STRIDES[number // 2]
        if weight.shape[-1] == 3:
            pixels = F.pad(pixels, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        pixels = F.conv2d(pixels, weight, stride=stride, groups=len(weight) if depthwise else 1)
        norm = nn.BatchNorm2d(len(weight))
        prefix = f"features.{number}.1."
        norm.load_state_dict({key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)})
        pixels = F.relu6(norm.train(train)(pixels))
    return pixels.mean(dim=(2, 3)).detach()


def test_the_folded_layers_compute_the_graph(package, faces):
    layers = folded_layers(read_graph_model(package, MODEL), PREPROCESS)
    gray_levels = 255 * (faces * PREPROCESS.std[0] + PREPROCESS.mean[0]) - 255 * PREPROCESS.mean[0]
    wanted = by_hand(*tiny_model(), gray_levels)
    assert wanted.std() > 0.1
    torch.testing.assert_close(features(layers, faces), wanted, atol=2e-4, rtol=1e-4)


def test_batch_norms_return_what_the_folded_network_computes(package, faces):
    layers = folded_layers(read_graph_model(package, MODEL), PREPROCESS)
    tensors = state_dict(layers, statistics(layers, faces.split(4)))
    folded = features(layers, faces)
    torch.testing.assert_close(with_norms(tensors, faces), folded, atol=2e-4, rtol=1e-3)
    other = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(with_norms(tensors, other), features(layers, other), atol=2e-4, rtol=1e-3)
    # in training the norms use the statistics of the batch, which are those that were measured
    torch.testing.assert_close(with_norms(tensors, faces, train=True), folded, atol=5e-3, rtol=1e-2)
    plain = {key: v for key, v in tensors.items() if "running" not in key}
    plain |= {
        key: torch.ones_like(v) if "var" in key else torch.zeros_like(v)
        for key, v in tensors.items()
        if "running" in key
    }
    assert (with_norms(plain, faces) - folded).abs().max() > 0.05, "without the statistics the features differ"


def test_statistics_are_those_of_the_convolutions_over_all_faces(package, faces):
    layers = folded_layers(read_graph_model(package, MODEL), PREPROCESS)
    whole, parts = statistics(layers, [faces]), statistics(layers, faces.split(1))
    for (mean, variance), (other_mean, other_variance) in zip(whole, parts, strict=True):
        torch.testing.assert_close(mean, other_mean)
        torch.testing.assert_close(variance, other_variance)
    first = layers[0].convolve(faces)
    torch.testing.assert_close(whole[0][0], first.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
    expected = first.var(dim=(0, 2, 3), correction=0)
    assert expected[2] == 0
    torch.testing.assert_close(whole[0][1], expected.clamp(min=1e-8), atol=1e-5, rtol=1e-4)
    with pytest.raises(CheckpointError, match="need faces"):
        statistics(layers, [])


def test_the_command_writes_safetensors_for_a_folder_and_for_an_archive(package, tmp_path, datasets_cache, capsys):
    data = drawn_folder(tmp_path / "data")
    archive = packed(package, tmp_path / "human.tgz")
    outs = []
    for source in (package, archive):
        out = tmp_path / f"{source.stem}.safetensors"
        arguments = ["--package", str(source), "--data", str(data), "--out", str(out), "--faces", "5"]
        assert training.convert_faces.main(arguments) == out
        outs.append(load_file(out))
    assert "162 tensors" in capsys.readouterr().out
    assert all(torch.equal(outs[0][key], outs[1][key]) for key in outs[0])
    assert set(outs[0]) == {
        f"features.{n}.{part}"
        for n in range(27)
        for part in (
            "0.weight",
            *(f"1.{p}" for p in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        )
    }
    with safe_open(out, "pt") as file:
        assert "HSE_FaceRec_tf" in file.metadata()["source"]


def test_the_converted_layout_is_that_of_the_network():
    """The names and the order that `mobilenetv1_224` reads, with the widths of the real network."""
    network = create_model("mobilenetv1_224")
    widths, blocks = (
        [32],
        ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)),
    )
    shapes = [(32, 3, 3, 3)]
    for width, _ in blocks:
        shapes += [(widths[-1], 1, 3, 3), (width, widths[-1], 1, 1)]
        widths.append(width)
    state: dict[str, torch.Tensor] = {}
    for number, shape in enumerate(shapes):
        state[f"features.{number}.0.weight"] = torch.full(shape, float(number))
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{number}.1.{part}"] = torch.full(shape[:1], float(number))
    transfer = mobilenetv1_from_layers(state, network)
    assert not transfer.unmapped_source
    assert {key.split(".")[0] for key in transfer.unmapped_target if "num_batches" not in key} == {"classifier"}


def _broken(change) -> tuple[dict, bytes]:
    graph, data = tiny_model()
    return change(graph, data)


def _drop(name: str):
    def change(graph: dict, data: bytes) -> tuple[dict, bytes]:
        for entry in graph["weightsManifest"][0]["weights"]:
            if entry["name"] == name:
                entry["name"] = "other"
        return graph, data

    return change


def _quantised(graph: dict, data: bytes) -> tuple[dict, bytes]:
    graph["weightsManifest"][0]["weights"][1]["quantization"]["dtype"] = "uint8"
    return graph, data


def _elsewhere(graph: dict, data: bytes) -> tuple[dict, bytes]:
    graph["weightsManifest"][0]["paths"] = ["../../faceres.bin"]
    return graph, data


def _no_strides(graph: dict, data: bytes) -> tuple[dict, bytes]:
    graph["modelTopology"]["node"] = graph["modelTopology"]["node"][:3]
    return graph, data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph, data: (graph, data[:-2]), "damaged|bytes"),
        (lambda graph, data: (graph, data + b"\0\0"), "bytes"),
        (lambda graph, data: ({"format": "layers-model"}, data), "not a graph model"),
        (_drop("conv_pw_13/convolution/merged_input"), "no tensor 'conv_pw_13/convolution/merged_input'"),
        (_drop("conv_dw_2_bn/batchnorm_1/mul"), "no tensor 'conv_dw_2_bn/batchnorm_1/mul'"),
        (_quantised, "stored as uint8"),
        (_elsewhere, "another folder"),
        (_no_strides, "no convolution of the graph model reads"),
    ],
    ids=["short", "long", "layers", "kernel", "factor", "uint8", "path", "strides"],
)
def test_damaged_and_other_models_are_refused(tmp_path, change, message):
    folder = write_package(tmp_path / "broken", *_broken(change))
    with pytest.raises(CheckpointError, match=message):
        folded_layers(read_graph_model(folder, MODEL), PREPROCESS)


def test_packages_without_the_model_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no file 'faceres\.json'"):
        read_graph_model(tmp_path / "empty", MODEL)
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/readme")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"hi"))
    with pytest.raises(CheckpointError, match=r"archive has no file 'faceres\.json'"):
        read_graph_model(tmp_path / "other.tgz", MODEL)
    (tmp_path / "text.tgz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="damaged"):
        read_graph_model(tmp_path / "text.tgz", MODEL)
    with pytest.raises(CheckpointError, match="neither a folder nor a file"):
        read_graph_model(tmp_path / "gone.tgz", MODEL)


def test_arguments_that_cannot_be_used_are_refused(package, tmp_path):
    arguments = ["--package", str(package), "--data", str(tmp_path), "--out"]
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        training.convert_faces.main([*arguments, str(tmp_path / "weights.pt")])
    with pytest.raises(InputError, match="--faces 0"):
        training.convert_faces.main([*arguments, str(tmp_path / "weights.safetensors"), "--faces", "0"])
    with pytest.raises(ConfigError, match=r"mean=.*three channels with the mean 0\.459"):
        folded_layers(read_graph_model(package, MODEL), NATIVE48)
