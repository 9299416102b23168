"""Saving and loading classifiers, and refusal of every other checkpoint."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub import errors as hub_errors
from safetensors.torch import load_file, save_file

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, embedded_checkpoints, resolve_file
from emotion_hub.errors import CheckpointError, ConfigError, UnknownModelError
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models import classifier as classifier_module
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import NATIVE48, RGB48, UPSCALE224
from tests.tolerances import LOGITS, assert_same_logits, assert_same_weights

HEAD = "classifier.4.weight"


def _classifier(config: ClassifierConfig | str = "emotion_cnn", seed: int = 0) -> EmotionClassifier:
    """A classifier with random weights and batch-norm statistics other than the initial ones."""
    torch.manual_seed(seed)
    model = EmotionClassifier(config)
    for name, buffer in model.network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
        else:
            buffer.fill_(3)
    return model.eval()


def _pixels(model: EmotionClassifier, count: int = 2) -> torch.Tensor:
    side = min(model.config.preprocess.size, 64)  # MobileNetV2 pools globally, so a small input is enough
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, model.config.preprocess.channels, side, side, generator=generator)


@torch.inference_mode()
def _logits(model: EmotionClassifier) -> torch.Tensor:
    return model(_pixels(model))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A checkpoint of `_classifier()`, read only; `folder` is a copy that tests may change."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    _classifier().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def _edit_config(folder: Path, **changes) -> None:
    """Set keys of config.json; `...` removes a key."""
    values = json.loads((folder / CONFIG_FILE).read_text()) | changes
    (folder / CONFIG_FILE).write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def _edit_weights(folder: Path, edit) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)


# saving and loading


#: One network of each class; the others differ in depth and width and take up to 500 MB. Ensembles: test_ensemble.py.
ONE_OF_EACH = [
    "emotion_cnn",
    "enhanced_cnn48",
    "mobilenetv1_224",
    "mobilenetv1_48",
    "mobilenetv2_224",
    "resnet18_48",
    "squeezenet1_1_224",
    ClassifierConfig("timm_224", options={"backbone": "test_resnet", "hidden": 32}),
    "vgg16_48",
    "vgg19_48",
]


@pytest.mark.parametrize("config", ONE_OF_EACH, ids=lambda c: c if isinstance(c, str) else c.model)
def test_a_saved_classifier_is_loaded_with_equal_logits(config, tmp_path):
    model = _classifier(config)
    model.save_pretrained(tmp_path / "checkpoint")
    loaded = EmotionClassifier.from_pretrained(tmp_path / "checkpoint")
    assert loaded.config == model.config
    assert_same_logits(_logits(loaded), _logits(model))
    assert not torch.allclose(_logits(model), _logits(_classifier(config, seed=1)), **LOGITS), (
        "another seed gives the same logits: this test could not fail"
    )
    assert_same_weights(loaded, model)


def test_a_path_as_text_loads_in_evaluation_mode_on_the_cpu(saved):
    loaded = EmotionClassifier.from_pretrained(str(saved))
    assert not any(module.training for module in loaded.modules())
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}


def test_forward_is_the_network(saved):
    model = EmotionClassifier.from_pretrained(saved)
    pixels = _pixels(model, 3)
    with torch.inference_mode():
        logits = model(pixels)
        assert logits.shape == (3, 7)
        assert torch.equal(logits, model.network(pixels))
    assert model.num_parameters == sum(p.numel() for p in model.network.parameters()) == 1_572_551


def test_weights_saved_in_half_precision_load_as_float32(tmp_path):
    model = _classifier()
    expected = {k: v.half().float() if v.is_floating_point() else v for k, v in model.network.state_dict().items()}
    model.half().save_pretrained(tmp_path)
    assert load_file(tmp_path / WEIGHTS_FILE)[HEAD].dtype == torch.float16
    loaded = EmotionClassifier.from_pretrained(tmp_path).network.state_dict()
    assert loaded[HEAD].dtype == torch.float32
    assert all(torch.equal(loaded[k], v) and loaded[k].dtype == v.dtype for k, v in expected.items())


def test_labels_preprocessing_and_options_are_restored(tmp_path):
    preprocess = dataclasses.replace(NATIVE48, mean=(0.25,), resample="bicubic", face_size=None)
    config = ClassifierConfig("emotion_cnn", SIX_CLASS.labels, preprocess, {"dropout": 0.125})
    _classifier(config).save_pretrained(tmp_path)
    loaded = EmotionClassifier.from_pretrained(tmp_path)
    assert loaded.labels == SIX_CLASS
    assert loaded.preprocessor.config == preprocess
    assert _logits(loaded).shape == (2, 6)
    assert {m.p for m in loaded.modules() if isinstance(m, torch.nn.Dropout)} == {0.125}


def test_a_classifier_can_be_built_from_a_name():
    model = EmotionClassifier("mobilenetv2_224")
    assert (model.labels, model.preprocessor.config) == (FER2013, UPSCALE224)


def test_saving_twice_gives_the_same_bytes(saved, tmp_path):
    _classifier().save_pretrained(tmp_path)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


# the mixin


def test_the_classifier_can_be_pushed_to_the_hub():
    assert issubclass(EmotionClassifier, PyTorchModelHubMixin)
    assert callable(EmotionClassifier.push_to_hub)
    card = EmotionClassifier("emotion_cnn").generate_model_card().content
    assert "pipeline_tag: image-classification" in card
    assert "library_name: emotion_hub" in card


def test_a_push_uploads_the_two_files_that_loading_reads(monkeypatch, tmp_path):
    def upload(self, *, repo_id, folder_path, **_):
        shutil.copytree(folder_path, tmp_path / repo_id)

    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.HfApi.create_repo", lambda self, repo_id, **_: SimpleNamespace(repo_id=repo_id)
    )
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi.upload_folder", upload)
    model = _classifier()
    model.push_to_hub("someone/faces", token="hf_x")
    loaded = EmotionClassifier.from_pretrained(tmp_path / "someone/faces")
    assert_same_weights(loaded, model)
    assert_same_logits(_logits(loaded), _logits(model))


def test_the_module_keeps_its_annotations_evaluated():
    """With `from __future__ import annotations` they are strings, and the mixin does not decode the configuration."""
    assert "annotations" in globals(), "the import leaves this name: this test could not fail"
    assert "annotations" not in vars(classifier_module)


def test_a_readme_is_written_unless_one_exists(saved, folder):
    assert "library_name: emotion_hub" in (saved / "README.md").read_text()
    (folder / "README.md").write_text("mine")
    _classifier().save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize("key", ["strict", "num_classes", "config", "proxies", "model"])
def test_an_argument_that_the_mixin_would_ignore_is_refused(saved, key):
    with pytest.raises(TypeError, match=key):
        EmotionClassifier.from_pretrained(saved, **{key: False})


# the configuration


@pytest.mark.parametrize(
    "config",
    [
        ClassifierConfig("emotion_cnn"),
        ClassifierConfig("enhanced_cnn48", SIX_CLASS.labels, options={"dropout": 0.25}),
        ClassifierConfig(
            "mobilenetv2_224", ["yes", "no"], dataclasses.replace(UPSCALE224, mean=[0.5] * 3, upsample="bicubic")
        ),
    ],
    ids=lambda c: c.model,
)
def test_a_configuration_round_trips_through_json_with_tuples_and_preprocessing(config):
    back = ClassifierConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert back == config
    assert (type(back.labels), type(back.preprocess), type(back.preprocess.mean)) == (tuple, type(NATIVE48), tuple)


def test_a_configuration_has_id2label_for_other_libraries(saved):
    values = json.loads((saved / CONFIG_FILE).read_text())
    assert values["id2label"] == {str(i): label for i, label in enumerate(FER2013.labels)}
    assert values["label2id"] == FER2013.label2id
    assert values["model_type"] == "emotion_hub"


def test_keys_of_transformers_are_accepted(saved, folder):
    _edit_config(
        folder,
        architectures=["EmotionForImageClassification"],
        auto_map={"AutoConfig": "modeling.EmotionConfig"},
        dtype="float32",
        torch_dtype="float16",
        transformers_version="5.1.0",
        num_labels=7,
        problem_type="single_label_classification",
    )
    edited, plain = EmotionClassifier.from_pretrained(folder), EmotionClassifier.from_pretrained(saved)
    assert_same_weights(edited, plain)
    assert_same_logits(_logits(edited), _logits(plain))


@pytest.mark.parametrize("key", ["lables", "preprocessing", "dropout", "num_classes", "Model"])
def test_a_misspelt_key_is_named_with_the_known_keys(folder, key):
    _edit_config(folder, **{key: 1})
    with pytest.raises(ConfigError, match=rf"'{key}'.*model, labels, preprocess, options"):
        EmotionClassifier.from_pretrained(folder)


def test_a_misspelt_key_of_the_nested_preprocessing_is_named(folder):
    values = NATIVE48.to_dict()
    _edit_config(folder, preprocess={**values, "interpolation": "area"})
    with pytest.raises(ConfigError, match="'interpolation'"):
        EmotionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("key", ["model", "labels", "preprocess"])
def test_a_missing_key_is_named(folder, key):
    _edit_config(folder, **{key: ...})
    with pytest.raises(ConfigError, match=f"lacks '{key}'"):
        EmotionClassifier.from_pretrained(folder)


def test_options_are_optional(folder):
    _edit_config(folder, options=...)
    assert EmotionClassifier.from_pretrained(folder).config.options == {}


SHUFFLED = dict(enumerate(("disgust", "angry", *FER2013.labels[2:])))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id2label", SHUFFLED),
        ("id2label", {i: label for i, label in enumerate(FER2013.labels) if i < 6}),
        ("id2label", {f"LABEL_{i}": label for i, label in enumerate(FER2013.labels)}),
        ("id2label", list(FER2013.labels)),
        ("label2id", {label: i for i, label in SHUFFLED.items()}),
        ("label2id", {}),
        ("num_labels", 6),
    ],
)
def test_a_key_that_contradicts_the_labels_is_named(folder, key, value):
    _edit_config(folder, **{key: value})
    with pytest.raises(ConfigError, match=rf"{key}.*contradicts"):
        EmotionClassifier.from_pretrained(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", None),
        ("labels", "abcdefg"),
        ("labels", 7),
        ("labels", {"angry": 0, "sad": 1}),
        ("labels", [["angry"], "sad"]),
        ("labels", ["angry", "angry"]),
        ("labels", ["angry", ""]),
        ("labels", ["angry"]),
        ("model", None),
        ("model", ["emotion_cnn"]),
        ("model", "resnet50"),
        ("preprocess", None),
        ("preprocess", "native48"),
        ("preprocess", ["size"]),
        ("options", None),
        ("options", [0.5]),
        ("options", {"dropuot": 0.5}),
        ("options", {"num_classes": 6}),
        ("options", {"name": "mobilenetv2_224"}),
        ("options", {"dropout": "high"}),
        ("options", {"dropout": 2.0}),
    ],
)
def test_a_value_of_the_wrong_type_is_a_config_error(folder, key, value):
    _edit_config(folder, **{key: value, "id2label": ..., "label2id": ...})
    with pytest.raises(ConfigError):
        EmotionClassifier.from_pretrained(folder)


@pytest.mark.parametrize(
    ("model", "preprocess"), [("emotion_cnn", RGB48), ("emotion_cnn", UPSCALE224), ("mobilenetv2_224", NATIVE48)]
)
def test_preprocessing_with_other_channels_than_the_network_is_refused(model, preprocess):
    with pytest.raises(
        ConfigError, match=rf"{model} takes {4 - preprocess.channels} channel.*gives {preprocess.channels}"
    ):
        ClassifierConfig(model, preprocess=preprocess)


@pytest.mark.parametrize("text", ["", "{", "not json", "\ufeff{}", '{"model": "emotion_cnn"', "[" * 200_000])
def test_a_configuration_that_is_not_json_is_a_checkpoint_error(folder, text):
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json.*not JSON"):
        EmotionClassifier.from_pretrained(folder)


def test_a_configuration_that_is_not_text_is_a_checkpoint_error(folder):
    (folder / CONFIG_FILE).write_bytes(b"\xff\xfe\x80")
    with pytest.raises(CheckpointError, match=r"config\.json.*not JSON"):
        EmotionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"emotion_cnn"'])
def test_json_that_is_not_an_object_is_a_config_error(folder, text):
    (folder / CONFIG_FILE).write_text(text)
    with pytest.raises(ConfigError, match="JSON object"):
        EmotionClassifier.from_pretrained(folder)


# the weights


def _rename_head(tensors):
    tensors["head.weight"] = tensors.pop(HEAD)


def _drop_statistics(tensors):
    del tensors["features.1.running_var"]


def _add(tensors):
    tensors["features.99.weight"] = torch.zeros(2)


def _transpose_head(tensors):
    tensors[HEAD] = tensors[HEAD].T.contiguous()


def _round_head(tensors):
    tensors[HEAD] = tensors[HEAD].to(torch.int32)


def _float_counter(tensors):
    tensors["features.1.num_batches_tracked"] = tensors["features.1.num_batches_tracked"].float()


def _nan(tensors):
    tensors[HEAD][0, 0] = torch.nan


def _infinite_statistics(tensors):
    tensors["features.1.running_var"][0] = torch.inf


def _too_large_for_float32(tensors):
    tensors[HEAD] = tensors[HEAD].double()
    tensors[HEAD][0, 0] = 1e300


@pytest.mark.parametrize(
    ("edit", "pattern"),
    [
        (_rename_head, rf"lacks '{HEAD}'.*renamed"),
        (_drop_statistics, r"lacks 'features\.1\.running_var'"),
        (_add, r"has 'features\.99\.weight'.*network does not"),
        (_transpose_head, rf"'{HEAD}'.*shape.*needs"),
        (_round_head, rf"'{HEAD}'.*int32.*float32"),
        (_float_counter, r"num_batches_tracked'.*float32.*int64"),
        (_nan, rf"'{HEAD}'.*not finite"),
        (_infinite_statistics, r"'features\.1\.running_var'.*not finite"),
        (_too_large_for_float32, rf"'{HEAD}'.*not finite"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(folder, edit, pattern):
    _edit_weights(folder, edit)
    with pytest.raises(CheckpointError, match=pattern):
        EmotionClassifier.from_pretrained(folder)


def test_the_weights_of_another_network_are_refused(folder):
    _edit_config(folder, model="enhanced_cnn48")
    with pytest.raises(CheckpointError, match="another network"):
        EmotionClassifier.from_pretrained(folder)


def test_fewer_labels_than_outputs_of_the_head_are_refused(folder):
    _edit_config(folder, labels=list(SIX_CLASS.labels), id2label=..., label2id=...)
    with pytest.raises(CheckpointError, match=r"'classifier\.4\..*shape \(7,.*needs \(6,"):
        EmotionClassifier.from_pretrained(folder)


UNPICKLED: list[str] = []


def _spring(word: str) -> None:
    UNPICKLED.append(word)


class _Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return _spring, ("opened",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "weights.ckpt", "model.pkl"])
def test_a_pickle_is_named_and_not_opened(folder, name):
    (folder / WEIGHTS_FILE).unlink()
    torch.save({HEAD: _Trap()}, folder / name)
    with pytest.raises(CheckpointError, match=rf"{name} is a pickle.*safetensors"):
        EmotionClassifier.from_pretrained(folder)
    assert UNPICKLED == []


def test_a_pickle_under_the_name_of_the_weights_is_not_opened(folder):
    torch.save({HEAD: _Trap()}, folder / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*damaged"):
        EmotionClassifier.from_pretrained(folder)
    assert UNPICKLED == []
    torch.load((folder / WEIGHTS_FILE).rename(folder / "weights.pt"), weights_only=False)
    assert UNPICKLED.pop() == "opened", "the trap does not spring: this test could not fail"


def _header(data: bytes) -> tuple[dict, bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _file(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def _with_dtype(dtype: str):
    def edit(data: bytes) -> bytes:
        header, body = _header(data)
        header[HEAD]["dtype"] = dtype
        return _file(json.dumps(header).encode(), body)

    return edit


def _with_offsets(begin: int, end: int):
    def edit(data: bytes) -> bytes:
        header, body = _header(data)
        header[HEAD]["data_offsets"] = [begin, end]
        return _file(json.dumps(header).encode(), body)

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"",
        lambda d: d[:7],
        lambda d: d[:8],
        lambda d: d[:100],
        lambda d: d[:-1],
        lambda d: d + b"\0",
        lambda d: struct.pack("<Q", 2**63) + d[8:],
        lambda d: struct.pack("<Q", len(d)) + d[8:],
        lambda d: b"<!DOCTYPE html><html>not found</html>",
        lambda d: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        lambda d: _file(b"[]", b""),
        lambda d: _file(b"{}", b""),
        lambda d: _file(b"\xff" * 16, d),
        _with_dtype("F64"),
        _with_dtype("BF17"),
        _with_offsets(0, 2**62),
        _with_offsets(8, 4),
        _with_offsets(-4, 4),
    ],
)
def test_a_damaged_file_is_a_checkpoint_error(folder, damage):
    path = folder / WEIGHTS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError):
        EmotionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float4_e2m1fn_x2, torch.complex64, torch.bool])
def test_a_tensor_of_a_type_that_no_checkpoint_has_is_a_checkpoint_error(folder, dtype):
    def edit(tensors):
        rows, columns = tensors[HEAD].shape
        tensors[HEAD] = torch.zeros(rows, columns * dtype.itemsize, dtype=torch.uint8).view(dtype)

    _edit_weights(folder, edit)
    with pytest.raises(CheckpointError, match=HEAD):
        EmotionClassifier.from_pretrained(folder)


def test_random_damage_to_the_header_raises_only_checkpoint_errors(folder):
    """Bytes of the header are replaced at random; a file that still loads must give the same network."""
    path = folder / WEIGHTS_FILE
    whole = path.read_bytes()
    size = 8 + struct.unpack("<Q", whole[:8])[0]
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        data = bytearray(whole)
        for position in random.integers(0, size, random.integers(1, 4)):
            data[position] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            EmotionClassifier.from_pretrained(folder)
        except CheckpointError:
            refused += 1
    assert refused > 50


# local files


@pytest.mark.parametrize("missing", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_folder_without_one_of_the_files_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=rf"has no {missing}"):
        EmotionClassifier.from_pretrained(folder)


def test_an_empty_folder_is_not_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="holds nothing"):
        EmotionClassifier.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "name", ["native84", "", "a/b/c", "x" * 300, "./nowhere", "../nowhere", "/nowhere/at-all", "~/nowhere"]
)
def test_an_unknown_name_lists_the_embedded_ones(name, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked the Hub"))
    with pytest.raises(UnknownModelError, match=", ".join(embedded_checkpoints())) as caught:
        EmotionClassifier.from_pretrained(name)
    assert repr(name) in str(caught.value)


def test_the_embedded_checkpoints_are_folders_with_a_configuration():
    assert list(embedded_checkpoints()) == ["emotion_cnn", "native48", "upscale224"]
    for name, folder in embedded_checkpoints().items():
        assert resolve_file(name, CONFIG_FILE) == folder / CONFIG_FILE


def test_a_revision_is_allowed_only_for_a_hub_id(saved):
    for source in (saved, "native48"):
        with pytest.raises(CheckpointError, match=r"revision='v1'.*leave it out"):
            EmotionClassifier.from_pretrained(source, revision="v1")


# the Hub


def test_both_files_are_downloaded_with_the_callers_arguments(saved, monkeypatch):
    calls = []

    def download(repo_id, filename, **how):
        calls.append((repo_id, filename, how))
        return str(saved / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    how = {"revision": "v1", "token": "hf_x", "cache_dir": "/cache", "force_download": True, "local_files_only": True}
    loaded = EmotionClassifier.from_pretrained("someone/faces", **how)
    assert calls == [("someone/faces", CONFIG_FILE, how), ("someone/faces", WEIGHTS_FILE, how)]
    assert_same_weights(loaded, _classifier())
    assert_same_logits(_logits(loaded), _logits(_classifier()))


def _answer(status: int = 404) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "pattern"),
    [
        (hub_errors.RepositoryNotFoundError("404", response=_answer()), r"no model 'someone/faces'.*private.*token"),
        (hub_errors.GatedRepoError("403", response=_answer(403)), "gated.*terms"),
        (hub_errors.RevisionNotFoundError("404", response=_answer()), "revision 'v1'.*branch"),
        (hub_errors.RemoteEntryNotFoundError("404", response=_answer()), r"has no config\.json.*pickle"),
        (hub_errors.EntryNotFoundError("none"), r"has no config\.json"),
        (hub_errors.LocalEntryNotFoundError("none"), "not in the cache.*embedded"),
        (hub_errors.OfflineModeIsEnabled("offline"), "cannot be reached"),
        (hub_errors.HFValidationError("bad id"), "no Hub id: bad id"),
        (hub_errors.DisabledRepoError("403", response=_answer(403)), "could not be downloaded"),
        (OSError(28, "No space left on device"), "No space left"),
        (ConnectionError("reset by peer"), "reset by peer"),
        (TimeoutError("timed out"), "timed out"),
        (hub_errors.HTTPError("peer closed connection"), "peer closed connection"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_of_the_hub_are_reported_with_the_next_step(monkeypatch, error, pattern):
    def download(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: None)
    with pytest.raises(CheckpointError, match=pattern) as caught:
        EmotionClassifier.from_pretrained("someone/faces", revision="v1")
    assert caught.value.__cause__ is error
    assert "someone/faces" in str(caught.value)


def test_an_unreachable_hub_gets_one_request(monkeypatch):
    requests = []

    def no_connection(url, **_):
        requests.append(url)
        raise hub_errors.HTTPError("Name or service not known")

    def cache_alone(*_, local_files_only, **__):
        assert local_files_only, "the library would try six times"
        raise hub_errors.LocalEntryNotFoundError("none")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", no_connection)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cache_alone)
    for load in (EmotionClassifier, EmotionPredictor):
        requests.clear()
        with pytest.raises(
            CheckpointError,
            match=r"of 'someone/faces' is not in the cache and the Hub cannot be reached \(Name or service not known\)",
        ):
            load.from_pretrained("someone/faces")
        assert len(requests) == 1


def test_a_repository_with_a_configuration_and_no_safetensors_is_refused(saved, monkeypatch):
    def download(repo_id, filename, **_):
        if filename != CONFIG_FILE:
            raise hub_errors.RemoteEntryNotFoundError("404", response=_answer())
        return str(saved / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: None)
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors.*pickled weights are refused"):
        EmotionClassifier.from_pretrained("someone/faces")


def test_the_weights_file_is_readable_by_all_users(tmp_path):
    EmotionClassifier("emotion_cnn").save_pretrained(tmp_path)
    assert (tmp_path / WEIGHTS_FILE).stat().st_mode & 0o777 == (tmp_path / CONFIG_FILE).stat().st_mode & 0o777


def test_the_generated_card_has_no_placeholders(tmp_path):
    EmotionClassifier("emotion_cnn").save_pretrained(tmp_path)
    card = huggingface_hub.ModelCard((tmp_path / "README.md").read_text())
    assert "More Information Needed" not in card.text
    assert "angry, disgust, fear, happy, sad, surprise, neutral" in card.text
    assert card.data.library_name == "emotion_hub"


def test_preprocessing_as_a_plain_dict_is_refused_by_the_constructor():
    with pytest.raises(ConfigError, match="preprocess is a dict"):
        ClassifierConfig("emotion_cnn", preprocess=NATIVE48.to_dict())
