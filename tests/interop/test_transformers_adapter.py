"""Checkpoints in transformers and timm: equal results without this package."""

from __future__ import annotations

import ast
import copy
import dataclasses
import hashlib
import inspect
import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import emotion_hub
from emotion_hub import models
from emotion_hub.backends import TorchBackend
from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError, ConfigError, ImageError, UnknownModelError
from emotion_hub.images import load_image
from emotion_hub.interop import standalone
from emotion_hub.interop.adapter import EmotionConfig, EmotionForImageClassification, EmotionImageProcessor
from emotion_hub.interop.files import PROCESSOR_FILE, write_timm_files, write_transformers_files
from emotion_hub.interop.standalone import AUTO_MAP, CODE_FILE, standalone_source
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.models.parts import last_linear
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import NATIVE48, UPSCALE224, Preprocessor
from tests.tolerances import PROBS, assert_same_logits, assert_same_probs, assert_same_weights

TWO = [{"model": "emotion_cnn"}, {"model": "enhanced_cnn48", "options": {"dropout": 0.25}}]

#: {folder: checkpoint that is written to it}; embedded checkpoints by name, others with random weights.
WRITTEN: dict[str, str | ClassifierConfig] = {
    "native48": "native48",
    "upscale224": "upscale224",
    "six.labels-v1": ClassifierConfig(
        "emotion_cnn",
        SIX_CLASS.labels,
        dataclasses.replace(NATIVE48, face_size=None, resample="bicubic"),
        {"dropout": 0.1},
    ),
    "rgb48": ClassifierConfig("vgg16_48"),
    "resnet": ClassifierConfig("resnet18_48"),
    "timm": ClassifierConfig(
        "timm_224",
        preprocess=dataclasses.replace(UPSCALE224, upsample="bicubic"),
        options={"backbone": "test_coatnet", "hidden": 16},
    ),
    "ensemble": ClassifierConfig("ensemble_native48", options={"members": TWO}),
}
HALF = ("rgb48", "resnet")  # stored in float16, loaded in float32

#: A program that runs without this package, as for a user who loads the checkpoint from the Hub.
PROBE = """
import json, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "emotion_hub":
            raise ImportError("not here")

sys.meta_path.insert(0, Blocked())
try:
    import emotion_hub
except ImportError:
    pass
else:
    raise SystemExit("emotion_hub can be imported: this would prove nothing")

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, pipeline

sources, pictures, out = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
found = {}
for name, source in sources.items():
    try:
        pipeline("image-classification", model=source, trust_remote_code=False)
        said = "loaded"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    ask = pipeline("image-classification", model=source, trust_remote_code=None if name == "timms own" else True)
    record = {"untrusted": said, "class": type(ask.model).__name__, "dtype": str(ask.model.dtype)}
    record["labels"] = ask.model.config.id2label
    record["files"] = [ask(path, top_k=7) for path in pictures]
    record["five"] = ask(pictures[0])
    record["batch"] = ask([Image.open(path) for path in pictures], top_k=7, batch_size=2)
    if name != "timms own":
        config = AutoConfig.from_pretrained(source, trust_remote_code=True)
        processor = AutoImageProcessor.from_pretrained(source, trust_remote_code=True)
        auto_class = AutoModelForImageClassification
        model, info = auto_class.from_pretrained(source, trust_remote_code=True, output_loading_info=True)
        record["info"] = {key: sorted(map(str, value)) for key, value in info.items()}
        record["autos"] = [config.model, type(processor).__name__, type(model).__name__, model.training]
        np.save(out / f"{name}.npy", processor([Path(path) for path in pictures], return_tensors="np")["pixel_values"])
        model.save_pretrained(out / name)
        processor.save_pretrained(out / name)
        again = pipeline("image-classification", model=str(out / name), trust_remote_code=True)
        record["again"] = again(pictures[0], top_k=7)
    found[name] = record
print(json.dumps(found))
"""


def _classifier(config: ClassifierConfig | str, seed: int = 0) -> EmotionClassifier:
    """A classifier with random weights whose predictions differ between images.

    Its batch-norm statistics are those of random shapes, and its head is scaled.
    """
    torch.manual_seed(seed)
    model = EmotionClassifier(config)
    prep = model.config.preprocess
    blobs = nn.functional.interpolate(torch.randn(12, 1, 5, 5), size=prep.size, mode="bilinear").repeat(
        1, prep.channels, 1, 1
    )
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in norms:
            layer.momentum = 1.0
        model.train()(blobs)
        for network in getattr(model.eval().network, "members", [model.network]):
            layer = last_linear(network)
            layer.weight.mul_(0.7 / network(blobs).std(dim=0, keepdim=True).T)
            layer.bias.sub_(network(blobs).mean(dim=0))
    return model


def _pixels(config: ClassifierConfig, count: int = 2) -> torch.Tensor:
    prep = config.preprocess
    return torch.randn(count, prep.channels, prep.size, prep.size, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def _logits(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    answer = model(pixels)
    return getattr(answer, "logits", answer)


def _probs(model: EmotionClassifier, pictures: list[Path]) -> np.ndarray:
    """Probabilities of EmotionPredictor when the whole image is the face, (N, num_classes)."""
    predictor = EmotionPredictor(TorchBackend(model, "cpu"), model.labels, model.preprocessor)
    return np.array([list(prediction.probs.values()) for [prediction] in predictor.predict_batch(pictures, whole=True)])


def _environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON"))}
    return {
        **kept,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _probe(sources: dict[str, str], pictures: list[Path], out: Path, environment: dict[str, str]) -> dict[str, Any]:
    out.mkdir()
    command = [
        sys.executable,
        "-I",
        "-W",
        "ignore",
        "-c",
        PROBE,
        json.dumps(sources),
        json.dumps([str(p) for p in pictures]),
        str(out),
    ]
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def _ordered(answer: list[dict[str, Any]], labels: tuple[str, ...]) -> list[float]:
    scores = {entry["label"]: entry["score"] for entry in answer}
    assert set(scores) == set(labels)
    return [scores[label] for label in labels]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Images: gray 48x48, colour of another size, wide, tall, and a JPEG with an EXIF orientation."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    smooth = {
        name: Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        for name in ("gray", "colour", "wide", "tall")
    }
    gray = smooth["gray"].resize((48, 48)).convert("L")
    images = [
        gray,
        smooth["colour"].resize((120, 120)),
        smooth["wide"].resize((150, 70)),
        smooth["tall"].resize((61, 100)),
    ]
    paths = [folder / f"{i}.png" for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    images[2].save(folder / "turned.jpg", exif=exif, quality=90)
    return [*paths, folder / "turned.jpg"]


@pytest.fixture(scope="module")
def made() -> dict[str, EmotionClassifier]:
    """The classifiers of WRITTEN before they are written; read only."""
    return {
        name: EmotionClassifier.from_pretrained(source) if isinstance(source, str) else _classifier(source)
        for name, source in WRITTEN.items()
    }


@pytest.fixture(scope="module")
def written(made, tmp_path_factory) -> dict[str, Path]:
    """The folders of WRITTEN, and upscale224 in timm's layout as "timms own"; read only."""
    base = tmp_path_factory.mktemp("written")
    for name, source in WRITTEN.items():
        write_transformers_files(
            source if isinstance(source, str) else copy.deepcopy(made[name]).half() if name in HALF else made[name],
            base / name,
        )
    write_timm_files("upscale224", base / "timms own")
    return {path.name: path for path in base.iterdir()}


@pytest.fixture(scope="module")
def ours(written) -> Callable[[str], EmotionClassifier]:
    """The EmotionClassifier of a folder, loaded once; read only."""
    return cache(lambda name: EmotionClassifier.from_pretrained(written[name]))


@pytest.fixture(scope="module")
def probed(written, pictures, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """The output of PROBE for every folder, and the folder to which it saved models."""
    base = tmp_path_factory.mktemp("probed")
    return _probe(
        {name: str(path) for name, path in written.items()}, pictures, base / "out", _environment(base / "home")
    ), base / "out"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the embedded emotion_cnn that tests may change."""
    write_transformers_files("emotion_cnn", tmp_path / "copy")
    return tmp_path / "copy"


each_folder = pytest.mark.parametrize("name", WRITTEN)


# without this package


@pytest.mark.slow
@each_folder
def test_the_pipeline_gives_the_probabilities_of_emotion_hub(name, ours, probed, pictures):
    expected = _probs(ours(name), pictures)
    assert np.ptp(expected, axis=0).max() > 0.05, "every picture gets the same answer: this test could not fail"
    for theirs in ("files", "batch"):
        found = [_ordered(answer, ours(name).labels.labels) for answer in probed[0][name][theirs]]
        assert_same_probs(found, expected)


@pytest.mark.slow
@each_folder
def test_the_image_processor_gives_the_pixel_values_of_emotion_hub_bit_for_bit(name, ours, probed, pictures):
    expected = ours(name).preprocessor.batch(map(load_image, pictures))
    theirs = np.load(probed[1] / f"{name}.npy")
    assert theirs.dtype == expected.dtype == np.float32
    assert np.array_equal(theirs, expected)


@pytest.mark.slow
@each_folder
def test_every_auto_class_loads_our_class_and_all_tensors(name, ours, probed):
    record, config = probed[0][name], ours(name).config
    assert record["autos"] == [config.model, "EmotionImageProcessor", "EmotionForImageClassification", False]
    assert record["info"] == {key: [] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")}
    assert record["labels"] == {str(i): label for i, label in enumerate(config.labels)}
    assert record["dtype"] == "torch.float32"
    assert len(record["five"]) == 5, "transformers' own default; the files say so at their top"


@pytest.mark.slow
@each_folder
def test_code_from_a_folder_is_not_run_unless_it_is_trusted(name, probed):
    assert probed[0][name]["untrusted"].startswith("ValueError")
    assert "trust_remote_code=True" in probed[0][name]["untrusted"]


@pytest.mark.slow
@each_folder
def test_a_folder_saved_by_the_remote_class_loads_everywhere(name, written, ours, probed):
    saved = probed[1] / name
    assert {path.name for path in saved.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE, PROCESSOR_FILE, CODE_FILE}
    assert (saved / CODE_FILE).read_bytes() == (written[name] / CODE_FILE).read_bytes()
    before, after = ours(name), EmotionClassifier.from_pretrained(saved)
    assert after.config == before.config
    assert_same_weights(after, before)
    assert_same_logits(_logits(after, _pixels(after.config)), _logits(before, _pixels(before.config)))
    again, first = (
        _ordered(answer, after.labels.labels) for answer in (probed[0][name]["again"], probed[0][name]["files"][0])
    )
    assert_same_probs(again, first)


@pytest.mark.slow
def test_a_hub_repository_gives_the_results_of_its_folder(hub, written, pictures, tmp_path):
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("tester/faces")
    api.upload_folder(repo_id="tester/faces", folder_path=written["native48"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = _probe({"hub": "tester/faces"}, pictures[1:2], tmp_path / "out", environment)
    model = EmotionClassifier.from_pretrained("tester/faces")
    assert_same_probs(_ordered(found["hub"]["files"][0], model.labels.labels), _probs(model, pictures[1:2])[0])


@pytest.mark.slow
def test_files_are_written_without_transformers_and_its_classes_name_the_missing_extra(tmp_path):
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from emotion_hub.interop.files import write_transformers_files\n"
        f"print(len(write_transformers_files('native48', {str(tmp_path / 'files')!r})))\n"
        "from emotion_hub.errors import MissingDependencyError\n"
        "try: import emotion_hub.interop.adapter\n"
        "except MissingDependencyError as error: print(error)"
    )
    root = Path(emotion_hub.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    count, message = done.stdout.splitlines()
    assert count == "4"
    assert 'pip install ".[train]"' in message


# the folder


@each_folder
def test_emotion_hub_loads_the_same_folder(name, made, ours):
    before, after = made[name], ours(name)
    assert after.config == before.config
    if name in HALF:
        before = copy.deepcopy(before).half().float()
    assert_same_weights(after, before)
    assert_same_logits(_logits(after, _pixels(after.config)), _logits(before, _pixels(before.config)))


def test_the_weights_of_a_checkpoint_are_copied_unchanged(written, folder):
    stored = hashlib.sha256((embedded_checkpoints()["native48"] / WEIGHTS_FILE).read_bytes()).digest()
    assert hashlib.sha256((written["native48"] / WEIGHTS_FILE).read_bytes()).digest() == stored
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    paths = write_transformers_files(folder, folder)
    assert {path.name: path.read_bytes() for path in paths} == before, "writing to the same folder changes nothing"
    assert load_file(written["rgb48"] / WEIGHTS_FILE)["features.0.weight"].dtype == torch.float16


def test_one_configuration_serves_both_libraries(written):
    values = json.loads((written["six.labels-v1"] / CONFIG_FILE).read_text())
    assert values["labels"] == list(SIX_CLASS.labels)
    assert values["id2label"] == {str(i): label for i, label in enumerate(SIX_CLASS.labels)}
    assert values["model_type"] == EmotionConfig.model_type
    assert values["auto_map"] == AUTO_MAP
    assert values["architectures"] == ["EmotionForImageClassification"]
    config = EmotionConfig.from_pretrained(written["six.labels-v1"])
    assert config.classifier == EmotionClassifier.from_pretrained(written["six.labels-v1"]).config
    assert json.loads((written["six.labels-v1"] / PROCESSOR_FILE).read_text())["preprocess"] == values["preprocess"]


def test_a_checkpoint_that_emotion_hub_refuses_is_not_written(folder, tmp_path):
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file({f"x.{key}": value for key, value in tensors.items()}, folder / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match="renamed"):
        write_transformers_files(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UnknownModelError):
        write_transformers_files("nothing", tmp_path / "new")


# the generated file


NETWORKS = [(name,) for name in models.list_models() if not name.startswith("ensemble")] + [
    ("emotion_cnn", "ensemble_native48", "enhanced_cnn48")
]


@pytest.mark.parametrize("names", NETWORKS, ids="+".join)
def test_the_file_of_every_network_imports_only_what_it_uses(names, tmp_path):
    source = standalone_source(names)
    (tmp_path / CODE_FILE).write_text(source)
    py_compile.compile(str(tmp_path / CODE_FILE), str(tmp_path / "compiled"), doraise=True)
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    outside = imported - set(sys.stdlib_module_names)
    libraries = {"mobilenetv1_48": {"timm"}, "resnet18_48": {"torchvision"}}
    extra = set().union(
        *({"timm", "torchvision"} if name.endswith("224") else libraries.get(name, set()) for name in names)
    )
    assert {"torch", "numpy", "PIL", "transformers"} <= outside <= {"torch", "numpy", "PIL", "transformers"} | extra


def test_the_file_is_reproducible_and_has_a_header(written):
    text = (written["ensemble"] / CODE_FILE).read_text()
    standalone_source.cache_clear()
    for names in (
        ("emotion_cnn", "enhanced_cnn48", "ensemble_native48"),
        ("ensemble_native48", "enhanced_cnn48", "emotion_cnn"),
    ):
        assert standalone_source(names) == text
    first, copyright_line, licence, networks = text.splitlines()[:4]
    assert (
        first
        == f"# Generated by emotion_hub {emotion_hub.__version__} from its own modules; change those, not this file."
    )
    assert copyright_line.endswith(
        Path(emotion_hub.__file__)
        .parents[1]
        .joinpath("LICENSE")
        .read_text()
        .splitlines()[2]
        .removeprefix("Copyright (c) ")
    )
    assert licence == "# SPDX-License-Identifier: MIT"
    assert networks == "# Networks: emotion_cnn, enhanced_cnn48, ensemble_native48."


def test_definitions_in_the_file_are_copied_verbatim():
    """Every function and class has the text of one in this package, except the three replacements."""
    source = standalone_source(("mobilenetv2_224",))
    ours = "\n".join(
        path.read_text()
        for path in Path(emotion_hub.__file__).parent.rglob("*.py")
        if path != Path(inspect.getfile(standalone))
    )
    definitions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    new = {node.name for node in definitions if ast.get_source_segment(source, node) not in ours}
    assert new == {"load_function", "load_pretrained", "write_code"}
    names = {node.name for node in definitions}
    assert {
        "Preprocessor",
        "PreprocessConfig",
        "LabelSet",
        "load_image",
        "create_model",
        "mobilenetv2_224",
        "EmotionForImageClassification",
    } <= names
    assert not {"EmotionCNN", "TimmAt224", "ClassicAt224", "Ensemble", "EmotionClassifier"} & names


@pytest.mark.parametrize("name", ["vgg16_224", "resnet50_224"])
def test_a_large_network_of_the_file_has_the_same_tensors(name, monkeypatch):
    module = ModuleType("modeling")
    monkeypatch.setitem(sys.modules, "modeling", module)  # dataclasses look up the module there
    scope = vars(module)
    exec(compile(standalone_source((name,)), CODE_FILE, "exec"), scope)
    with torch.device("meta"):
        theirs, ours = scope["create_model"](name), models.create_model(name)
    assert {k: v.shape for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}
    assert type(theirs).__module__ == "modeling"
    with pytest.raises(scope["ConfigError"], match="starting weights"), torch.device("meta"):
        scope["create_model"](name, pretrained=True)
    with pytest.raises(scope["UnknownModelError"], match=name if name == "vgg16_224" else "resnet50_224"):
        scope["create_model"]("emotion_cnn")


def test_a_missing_definition_raises_an_error(monkeypatch):
    monkeypatch.setitem(standalone._REPLACEMENTS, "write_code", "\n\ndef write_code(*_):\n    return somewhere_else")
    standalone_source.cache_clear()
    with pytest.raises(ConfigError, match="would lack somewhere_else"):
        standalone_source(("emotion_cnn",))


# the classes with this package installed


@each_folder
def test_the_classes_of_the_package_give_equal_logits_and_labels(name, written, ours):
    model = EmotionForImageClassification.from_pretrained(written[name])
    pixels = _pixels(ours(name).config)
    assert_same_weights(model.network, ours(name).network)
    assert_same_logits(_logits(model, pixels), _logits(ours(name), pixels))
    assert model.config.labels == list(ours(name).labels.labels)
    assert model.config.id2label == ours(name).labels.id2label


def _rename(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"] = tensors.pop("classifier.4.weight")


def _drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["classifier.4.bias"]


def _add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["extra"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("edit", "key"), [(_rename, "classifier.4.weight"), (_drop, "classifier.4.bias"), (_add, "extra")]
)
@pytest.mark.parametrize("options", [{}, {"ignore_mismatched_sizes": True}], ids=["plain", "ignoring sizes"])
def test_a_renamed_head_is_refused(folder, edit, key, options):
    tensors = load_file(folder / WEIGHTS_FILE)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"(missing|unexpected).*{key}"):
        EmotionForImageClassification.from_pretrained(folder, **options)


def test_a_pickle_is_not_opened(folder):
    torch.save(load_file(folder / WEIGHTS_FILE), folder / "pytorch_model.bin")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(OSError, match="safetensors"):
        EmotionForImageClassification.from_pretrained(folder)


def test_half_precision_is_loaded_only_on_request(written):
    stored = load_file(written["rgb48"] / WEIGHTS_FILE)["features.0.weight"]
    for options in ({}, {"dtype": "auto"}, {"dtype": torch.float32}):
        weight = EmotionForImageClassification.from_pretrained(written["rgb48"], **options).network.features[0].weight
        assert weight.dtype == torch.float32
        assert torch.equal(weight, stored.float())
    assert EmotionForImageClassification.from_pretrained(written["rgb48"], dtype="float16").dtype == torch.float16
    assert (
        EmotionForImageClassification.from_pretrained(written["rgb48"], torch_dtype=torch.bfloat16).dtype
        == torch.bfloat16
    )


def test_a_half_precision_model_saved_by_transformers_loads_as_float32(written, tmp_path):
    EmotionForImageClassification.from_pretrained(written["native48"]).half().save_pretrained(tmp_path / "half")
    assert load_file(tmp_path / "half" / WEIGHTS_FILE)["features.0.weight"].dtype == torch.float16
    assert EmotionForImageClassification.from_pretrained(tmp_path / "half").dtype == torch.float32
    assert EmotionClassifier.from_pretrained(tmp_path / "half").network.features[0].weight.dtype == torch.float32


def test_a_folder_saved_by_the_class_of_the_package_loads_everywhere(written, tmp_path):
    EmotionForImageClassification.from_pretrained(written["ensemble"]).save_pretrained(tmp_path / "saved")
    EmotionImageProcessor.from_pretrained(written["ensemble"]).save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / CODE_FILE).read_bytes() == (written["ensemble"] / CODE_FILE).read_bytes()
    assert json.loads((tmp_path / "saved" / PROCESSOR_FILE).read_text()) == json.loads(
        (written["ensemble"] / PROCESSOR_FILE).read_text()
    )
    before, after = (json.loads((path / CONFIG_FILE).read_text()) for path in (written["ensemble"], tmp_path / "saved"))
    assert {key: value for key, value in after.items() if key != "transformers_version"} == before
    old, new = (
        EmotionClassifier.from_pretrained(written["ensemble"]),
        EmotionClassifier.from_pretrained(tmp_path / "saved"),
    )
    assert_same_weights(new, old)
    assert_same_logits(_logits(new, _pixels(new.config)), _logits(old, _pixels(old.config)))


def test_a_new_model_is_initialised_by_the_network_and_not_by_transformers():
    config = EmotionConfig(model="emotion_cnn", labels=FER2013.labels, preprocess=NATIVE48.to_dict())
    torch.manual_seed(3)
    model = EmotionForImageClassification(config)
    torch.manual_seed(3)
    assert torch.equal(model.network.classifier[4].weight, models.create_model("emotion_cnn").classifier[4].weight)


def test_another_number_of_classes_gets_a_new_head_on_request(folder, tmp_path):
    names = {0: "calm", 1: "cross", 2: "neither"}
    options = {"num_labels": 3, "id2label": names, "label2id": {label: i for i, label in names.items()}}
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        EmotionForImageClassification.from_pretrained(folder, **options)
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = EmotionForImageClassification.from_pretrained(folder, ignore_mismatched_sizes=True, **options)
        heads.append(model.network.classifier[4].weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert 0 < heads[0].abs().max() <= 512**-0.5, "torch's own start of a linear layer"
    assert torch.equal(
        model.network.features[0].weight, EmotionClassifier.from_pretrained("emotion_cnn").network.features[0].weight
    )
    model.save_pretrained(tmp_path / "three")
    loaded = EmotionClassifier.from_pretrained(tmp_path / "three")
    assert loaded.labels.labels == tuple(names.values())
    assert_same_weights(loaded.network, model.network)
    assert_same_logits(_logits(loaded, _pixels(loaded.config)), _logits(model, _pixels(loaded.config)))


def test_loss_and_outputs_follow_the_conventions_of_transformers(written):
    model = EmotionForImageClassification.from_pretrained(written["native48"])
    pixels, labels = _pixels(model.config.classifier, 3), torch.tensor([0, 3, 6])
    out = model(pixels, labels=labels)
    assert torch.allclose(out.loss, nn.functional.cross_entropy(out.logits, labels))
    assert model(pixels).loss is None
    shares = nn.functional.one_hot(labels, 7).float()
    assert torch.allclose(model(pixels, labels=shares).loss, out.loss)
    loss, logits = model(pixels, labels=labels, return_dict=False)
    assert torch.equal(loss, out.loss)
    assert torch.equal(logits, out.logits)
    assert [len(model(pixels, return_dict=False)), len(model(pixels, labels=labels).to_tuple())] == [1, 2]
    loss.backward()
    assert model.network.features[0].weight.grad.abs().sum() > 0


def test_trainer_trains_saves_and_resumes(written, pictures, tmp_path):
    from transformers import Trainer, TrainingArguments

    processor = EmotionImageProcessor.from_pretrained(written["native48"])
    planes = processor(pictures, return_tensors="pt")["pixel_values"]
    data = [{"pixel_values": plane, "labels": i} for i, plane in enumerate(planes)]

    def trainer(steps: int) -> Trainer:
        arguments = TrainingArguments(
            str(tmp_path / "run"),
            max_steps=steps,
            save_steps=2,
            per_device_train_batch_size=5,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        torch.manual_seed(0)
        return Trainer(
            EmotionForImageClassification.from_pretrained(written["native48"]),
            arguments,
            train_dataset=data,
            processing_class=processor,
        )

    first = trainer(2)
    first.train()
    saved = tmp_path / "run" / "checkpoint-2"
    assert {CONFIG_FILE, WEIGHTS_FILE, PROCESSOR_FILE, CODE_FILE} <= {path.name for path in saved.iterdir()}
    ours, pixels = EmotionClassifier.from_pretrained(saved), _pixels(EmotionClassifier.from_pretrained(saved).config)
    assert_same_weights(ours.network, first.model.network)
    assert_same_logits(_logits(ours, pixels), _logits(first.model.eval(), pixels))
    assert not torch.equal(
        ours.network.features[0].weight, EmotionClassifier.from_pretrained("native48").network.features[0].weight
    )
    second = trainer(2)
    second.train(resume_from_checkpoint=str(saved))
    assert second.state.global_step == 2
    assert_same_weights(second.model.network, ours.network)  # resumed from the saved weights


# the configuration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["angry", "sad"]}, "contradicts"),
        ({"model": "mobilenetv3"}, "no network"),
        ({"preprocess": None}, "lacks 'preprocess'"),
        ({"preprocess": {**NATIVE48.to_dict(), "interpolation": "area"}}, "'interpolation'"),
        ({"options": {"dropuot": 0.5}}, "'dropuot'"),
    ],
)
def test_an_invalid_configuration_is_refused_by_transformers_too(folder, change, message):
    values = json.loads((folder / CONFIG_FILE).read_text()) | change
    (folder / CONFIG_FILE).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    with pytest.raises(ConfigError, match=message):
        EmotionForImageClassification.from_pretrained(folder)


def test_labels_follow_id2label():
    config = EmotionConfig(model="emotion_cnn", labels=["no", "yes"], preprocess=NATIVE48.to_dict())
    assert (config.num_labels, config.labels, config.label2id) == (2, ["no", "yes"], {"no": 0, "yes": 1})
    config.id2label = {1: "b", 0: "a"}
    assert config.labels == ["a", "b"]
    assert ClassifierConfig.from_dict(config.to_diff_dict()).labels == ("a", "b")
    assert EmotionConfig().model is None, "transformers compares with an empty one"


# the image processor


def _odd_pictures() -> dict[str, Any]:
    """Images that transformers' own loader decodes differently, and the other types of input."""
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (50, 64, 3), dtype=np.uint8)
    rgba = np.dstack([rgb, rng.integers(0, 256, rgb.shape[:2], dtype=np.uint8)])
    turned = Image.fromarray(rgb)
    turned.getexif()[0x0112] = 6
    return {
        "transparent": Image.fromarray(rgba),
        "16-bit": Image.fromarray(rng.integers(0, 65536, (50, 64), dtype=np.uint16)),
        "turned": turned,
        "palette": Image.fromarray(rgb).quantize(16),
        "array": rgb,
        "floats": rgb.astype(np.float32) / 255,
    }


@pytest.mark.parametrize("prep", [NATIVE48, UPSCALE224], ids=lambda p: p.name)
def test_the_processor_decodes_and_preprocesses_as_emotion_hub(prep, pictures):
    processor, ours = EmotionImageProcessor(prep.to_dict()), Preprocessor(prep)
    unusual = _odd_pictures()
    for picture in [*unusual.values(), pictures[0], str(pictures[1]), pictures[4].read_bytes()]:
        assert np.array_equal(processor(picture)["pixel_values"], ours.batch([load_image(picture)]))
    batch = processor(list(unusual.values()), return_tensors="pt")["pixel_values"]
    assert isinstance(batch, torch.Tensor)
    assert np.array_equal(batch.numpy(), ours.batch(map(load_image, unusual.values())))


def test_torch_tensors_have_their_channels_first():
    processor, array = EmotionImageProcessor(NATIVE48.to_dict()), _odd_pictures()["array"]
    tensor, expected = torch.from_numpy(array).permute(2, 0, 1), processor(array)["pixel_values"]
    for same in (tensor, tensor[None], tensor / 255, [tensor], array[None]):
        assert np.array_equal(processor(same)["pixel_values"], expected)
    assert np.array_equal(
        processor(torch.stack([tensor, tensor]))["pixel_values"], np.concatenate([expected, expected])
    )
    assert np.array_equal(processor(tensor[0])["pixel_values"], processor(array[..., 0])["pixel_values"])


def test_the_processor_refuses_arguments_that_it_would_ignore(written):
    with pytest.raises(ConfigError, match="'do_resize', 'size'"):
        EmotionImageProcessor(NATIVE48.to_dict(), size=224, do_resize=False)
    with pytest.raises(ConfigError, match="'size'"):
        EmotionImageProcessor.from_pretrained(written["native48"], size=224)
    with pytest.raises(TypeError, match="do_resize"):
        EmotionImageProcessor(NATIVE48.to_dict())(Image.new("L", (48, 48)), do_resize=False)
    with pytest.raises(ImageError, match="not a picture"):
        EmotionImageProcessor(NATIVE48.to_dict())([None])


def test_preprocessing_that_contradicts_the_models_is_refused(folder, tmp_path):
    processor = EmotionImageProcessor.from_pretrained(folder)
    processor.save_pretrained(tmp_path / "alone")
    assert EmotionImageProcessor.from_pretrained(tmp_path / "alone").to_dict() == processor.to_dict()
    values = json.loads((folder / PROCESSOR_FILE).read_text())
    values["preprocess"]["resample"] = "bilinear"
    (folder / PROCESSOR_FILE).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="differ in 'preprocess'"):
        EmotionImageProcessor.from_pretrained(folder)


# timm's layout


def test_timm_gives_equal_logits_for_equal_pixel_values(written, pictures):
    ours = EmotionClassifier.from_pretrained("upscale224")
    theirs = timm.create_model(f"local-dir:{written['timms own']}", pretrained=True).eval()
    pixels = torch.from_numpy(ours.preprocessor.batch(load_image(path) for path in pictures))
    assert_same_logits(_logits(theirs, pixels), _logits(ours, pixels))
    assert (written["timms own"] / WEIGHTS_FILE).read_bytes() == (
        embedded_checkpoints()["upscale224"] / WEIGHTS_FILE
    ).read_bytes()
    data = timm.data.resolve_model_data_config(theirs)
    assert [list(data["mean"]), list(data["std"]), list(data["input_size"])] == [[0.5] * 3, [0.5] * 3, [3, 224, 224]]
    assert (data["interpolation"], data["crop_pct"]) == ("lanczos", 1.0)
    assert theirs.pretrained_cfg["label_names"] == list(FER2013.labels)
    same = EmotionClassifier.from_pretrained(written["timms own"])
    assert same.config == ours.config, "our reader reads the same folder"
    assert_same_weights(same, ours)
    assert_same_logits(_logits(same, pixels), _logits(ours, pixels))


@pytest.mark.slow
def test_transformers_reads_timms_layout_and_agrees_on_gray_48_pixel_faces(ours, probed, pictures):
    record = probed[0]["timms own"]
    assert record["class"] == "TimmWrapperForImageClassification"
    assert record["dtype"] == "torch.float32"
    theirs = [_ordered(answer, ours("upscale224").labels.labels) for answer in record["files"]]
    difference = np.abs(_probs(ours("upscale224"), pictures) - theirs).max(axis=1)
    assert difference[0] < PROBS
    assert difference[1:].min() > 1e-3, (
        "the detour through 48 gray pixels and the padding: write_timm_files says that timm lacks them"
    )


@pytest.mark.parametrize(
    "config", ["emotion_cnn", ClassifierConfig("timm_224", options={"backbone": "test_resnet", "hidden": 16})], ids=str
)
def test_a_network_that_timm_does_not_build_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="write_transformers_files"):
        write_timm_files(EmotionClassifier(config), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_timms_files_do_not_replace_those_for_remote_code(folder, tmp_path):
    before = (folder / CONFIG_FILE).read_bytes()
    with pytest.raises(ConfigError, match="folder of their own"):
        write_timm_files("upscale224", folder)
    assert (folder / CONFIG_FILE).read_bytes() == before
    write_timm_files(EmotionClassifier("mobilenetv1_224"), tmp_path / "v1")
    write_timm_files(EmotionClassifier("mobilenetv1_224"), tmp_path / "v1")
    assert timm.create_model(f"local-dir:{tmp_path / 'v1'}", pretrained=True).num_classes == 7
