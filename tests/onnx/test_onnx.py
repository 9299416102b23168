"""ONNX files: logits equal to torch's, metadata, atomic writes, int8."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emotion_hub.backends import OnnxBackend
from emotion_hub.checkpoints import INT8_FILE
from emotion_hub.cli import export_file as export_command
from emotion_hub.cli.export_file import export_file
from emotion_hub.errors import CheckpointError, ConfigError, ImageError, InputError
from emotion_hub.explainers import explain_face, list_methods
from emotion_hub.labels import SIX_CLASS
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.onnx import export as onnx_export
from emotion_hub.onnx.export import METADATA_KEY, drawn_faces, export_onnx, weights_hash
from emotion_hub.onnx.files import CACHE_VARIABLE
from emotion_hub.onnx.quantize import quantize_onnx
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from tests.tolerances import assert_same_logits, assert_same_probs

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tiny() -> EmotionClassifier:
    torch.manual_seed(0)
    return EmotionClassifier(ClassifierConfig("emotion_cnn", SIX_CLASS.labels)).eval()


@pytest.fixture(scope="module")
def exported(tiny: EmotionClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(tiny, tmp_path_factory.mktemp("onnx") / "tiny.onnx").path


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("name", ["native48", "upscale224"])
def test_embedded_checkpoints_give_the_same_probabilities(
    name: str, storage: str, face_image: Image.Image, tmp_path: Path
) -> None:
    predictor = embedded_predictor(name, "torch")
    written = export_onnx(predictor.backend.classifier, tmp_path / f"{name}.onnx", storage=storage, faces=[face_image])
    assert written.difference < 1e-4
    assert written.opset == 17
    assert written.bytes == written.path.stat().st_size < (16 * 2**20 if storage == "float16" else 2**26)
    faces = [*drawn_faces(3), face_image]
    ours, theirs = predictor.predict_faces(faces), EmotionPredictor.from_onnx(written.path).predict_faces(faces)
    for a, b in zip(ours, theirs, strict=True):
        assert list(a.probs) == list(b.probs)
        assert_same_probs(b.probs, a.probs)


def test_the_metadata_describe_labels_preprocessing_and_network(tiny: EmotionClassifier, exported: Path) -> None:
    backend = OnnxBackend(exported)
    assert backend.labels.labels == SIX_CLASS.labels
    assert backend.preprocess == tiny.config.preprocess
    assert (backend.model, backend.num_parameters, backend.weights) == (
        "emotion_cnn",
        tiny.num_parameters,
        weights_hash(tiny),
    )
    model = onnx.load(str(exported))
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.opset_import[0].version == 17


def test_any_batch_size_is_accepted(exported: Path) -> None:
    backend = OnnxBackend(exported)
    pixels = np.random.default_rng(0).normal(size=(5, 1, 48, 48)).astype(np.float32)
    assert_same_logits(backend.logits(pixels)[3:4], backend.logits(pixels[3:4]))


def test_the_older_operator_set_gives_the_same_logits(tiny: EmotionClassifier, exported: Path, tmp_path: Path) -> None:
    older = export_onnx(tiny, tmp_path / "older.onnx", opset=11)
    assert onnx.load(str(older.path)).opset_import[0].version == 11 == older.opset
    pixels = np.random.default_rng(0).normal(size=(2, 1, 48, 48)).astype(np.float32)
    assert_same_logits(OnnxBackend(older.path).logits(pixels), OnnxBackend(exported).logits(pixels))


def test_the_older_operator_set_is_used_when_the_newer_fails(
    tiny: EmotionClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = torch.onnx.export

    def fails_at_17(*args: object, opset_version: int, **kwargs: object) -> object:
        if opset_version == 17:
            raise RuntimeError("no such operator")
        return write(*args, opset_version=opset_version, **kwargs)

    monkeypatch.setattr(torch.onnx, "export", fails_at_17)
    assert export_onnx(tiny, tmp_path / "x.onnx").opset == 11
    with pytest.raises(CheckpointError, match="opset 17: no such operator"):
        export_onnx(tiny, tmp_path / "y.onnx", opset=17)


def test_an_export_with_other_logits_is_refused_and_the_old_file_is_kept(
    tiny: EmotionClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"the old one")
    monkeypatch.setattr("emotion_hub.onnx.export._largest_difference", lambda *args: 3e-4)
    with pytest.raises(CheckpointError, match=r"differ from torch's by 0\.0003"):
        export_onnx(tiny, path)
    monkeypatch.setattr("emotion_hub.onnx.export._largest_difference", lambda *args: float("nan"))
    with pytest.raises(CheckpointError, match="nan"):
        export_onnx(tiny, path)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["x.onnx"]


def test_invalid_arguments_are_named_with_the_choices(tiny: EmotionClassifier, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="storage='int4'; choose from float32, float16"):
        export_onnx(tiny, tmp_path / "x.onnx", storage="int4")
    with pytest.raises(ConfigError, match="opset=9; this export writes 11 to 17"):
        export_onnx(tiny, tmp_path / "x.onnx", opset=9)


def test_an_onnx_file_not_written_by_emotion_hub_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(CheckpointError, match=r"'text\.onnx' cannot be opened as an ONNX file"):
        OnnxBackend(tmp_path / "text.onnx")
    model = onnx.load(str(exported))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    with pytest.raises(CheckpointError, match=METADATA_KEY):
        OnnxBackend(tmp_path / "bare.onnx")
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps({"labels": ["a"], "preprocess": {"mean": 3}})})
    onnx.save(model, str(tmp_path / "odd.onnx"))
    with pytest.raises(CheckpointError, match="metadata that break a rule"):
        OnnxBackend(tmp_path / "odd.onnx")


def test_prediction_through_onnx_imports_no_torch(exported: Path, tmp_path: Path) -> None:
    Image.new("L", (48, 48), 90).save(tmp_path / "face.png")
    code = (
        "import sys; from emotion_hub import EmotionPredictor; "
        f"p = EmotionPredictor.from_onnx({str(exported)!r}).predict({str(tmp_path / 'face.png')!r})[0]; "
        "print(p.label, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    label, loaded = done.stdout.split()
    assert label in SIX_CLASS.labels
    assert loaded == "False"


def test_an_onnx_predictor_is_explained_by_black_box_methods(exported: Path) -> None:
    predictor = EmotionPredictor.from_onnx(exported)
    assert list_methods(predictor) == ["lime", "shap"]
    explanation = explain_face(drawn_faces(1)[0], predictor, "shap", samples=50)
    assert explanation.parameters["explainer"] == "partition"
    assert explanation.scores["additivity"] < 1e-3


# the ONNX file of a checkpoint: its own, or an export in the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnx"


@pytest.fixture
def saved(tiny: EmotionClassifier, tmp_path: Path) -> Path:
    tiny.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def _exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The target of each export during the test."""
    targets = []
    monkeypatch.setattr(
        onnx_export, "export_onnx", lambda model, path, **more: targets.append(path) or export_onnx(model, path, **more)
    )
    return targets


def test_a_checkpoint_without_onnx_is_exported_once_and_again_when_it_changes(
    tiny, saved: Path, cache: Path, monkeypatch
) -> None:
    exports = _exports(monkeypatch)
    faces = drawn_faces(3)
    expected = [face.probs for face in EmotionPredictor.from_pretrained(saved).predict_faces(faces)]
    for _ in range(2):
        predictor = EmotionPredictor.from_pretrained(saved, backend="onnx")
        assert isinstance(predictor.backend, OnnxBackend)
        for prediction, probs in zip(predictor.predict_faces(faces), expected, strict=True):
            assert_same_probs(prediction.probs, probs)
            assert prediction.model == str(saved)
    assert len(exports) == 1
    assert list(cache.iterdir()) == exports
    changed = EmotionClassifier.from_pretrained(saved)
    with torch.no_grad():
        next(changed.parameters()).mul_(0.5)
    changed.save_pretrained(saved)
    assert (
        EmotionPredictor.from_pretrained(saved, backend="onnx").backend.weights
        == weights_hash(changed)
        != weights_hash(tiny)
    )
    config = json.loads((saved / "config.json").read_text())
    config["preprocess"]["mean"] = [0.4]
    (saved / "config.json").write_text(json.dumps(config))
    assert EmotionPredictor.from_pretrained(saved, backend="onnx").preprocessor.config.mean == (0.4,)
    assert len(exports) == 3


def test_a_checkpoints_own_onnx_file_is_used_and_must_match_the_weights(
    tiny, saved: Path, cache: Path, monkeypatch
) -> None:
    export_onnx(tiny, saved / "model.onnx", weights_file=saved / "model.safetensors")
    exports = _exports(monkeypatch)
    assert EmotionPredictor.from_pretrained(saved, backend="onnx").backend.weights == weights_hash(tiny)
    assert exports == []
    changed = EmotionClassifier.from_pretrained(saved)
    with torch.no_grad():
        next(changed.parameters()).mul_(0.5)
    changed.save_pretrained(saved)
    with pytest.raises(
        CheckpointError, match=r"model.onnx of .* was made of weights with SHA-256 .*python -m emotion_hub export"
    ):
        EmotionPredictor.from_pretrained(saved, backend="onnx")


@pytest.mark.parametrize(
    ("key", "change", "pattern"),
    [
        (
            "labels",
            lambda c: c["labels"].reverse(),
            r"was made with labels \[.*\], config.json beside it has \[.*; write it again: python",
        ),
        (
            "preprocess",
            lambda c: c["preprocess"].update(resample="bilinear"),
            "was made with resample 'lanczos', config.json beside it has 'bilinear'",
        ),
        (
            "broken",
            lambda c: c.pop("labels"),
            r"config.json of .* has no valid labels and preprocessing \('labels'\)",
        ),
    ],
)
def test_an_onnx_file_beside_another_configuration_is_refused(
    tiny, saved: Path, key: str, change, pattern: str
) -> None:
    export_onnx(tiny, saved / "model.onnx", weights_file=saved / "model.safetensors")
    config = json.loads((saved / "config.json").read_text())
    change(config)
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=pattern):
        EmotionPredictor.from_pretrained(saved, backend="onnx")


def test_threads_that_load_one_checkpoint_share_one_export(saved: Path, cache: Path, monkeypatch) -> None:
    exports = _exports(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: EmotionPredictor.from_pretrained(saved, backend="onnx"), range(4)))
    assert len(exports) == 1
    first, *others = [p.predict_faces(drawn_faces(1))[0].probs for p in loaded]
    for probs in others:
        assert_same_probs(probs, first)


def test_threads_can_export_concurrently(tiny: EmotionClassifier, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        written = list(pool.map(lambda i: export_onnx(tiny, tmp_path / f"{i % 2}.onnx"), range(6)))
    assert all(export.difference < 1e-4 for export in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.onnx", "1.onnx"], "nothing half made is left"


def test_a_killed_export_leaves_no_onnx_file(saved: Path, cache: Path) -> None:
    code = (
        "import os, signal, sys\nfrom emotion_hub import EmotionPredictor\nfrom emotion_hub.onnx import export\n"
        "export._largest_difference = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "EmotionPredictor.from_pretrained(sys.argv[1], backend='onnx')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, check=False)
    assert killed.returncode == -9
    assert not list(cache.glob("*.onnx"))
    assert EmotionPredictor.from_pretrained(saved, backend="onnx").predict_faces(drawn_faces(1))


def test_an_unwritable_cache_is_logged_and_prediction_works(saved: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    assert EmotionPredictor.from_pretrained(saved, backend="onnx").predict_faces(drawn_faces(1))
    assert "cannot be written to" in caplog.text
    assert CACHE_VARIABLE in caplog.text


def test_invalid_backends_and_devices_are_named(saved: Path) -> None:
    with pytest.raises(InputError, match=r"backend='tensorflow'; choose from auto, torch, onnx, onnx-int8"):
        EmotionPredictor.from_pretrained(saved, backend="tensorflow")
    with pytest.raises(InputError, match=r"device='cuda': ONNX Runtime predicts on the CPU"):
        EmotionPredictor.from_pretrained(saved, device="cuda", backend="onnx")


def test_the_second_prediction_of_a_checkpoint_imports_no_torch(saved: Path, cache: Path) -> None:
    code = (
        "import sys\nfrom emotion_hub import EmotionPredictor\nfrom emotion_hub.onnx.export import drawn_faces\n"
        "EmotionPredictor.from_pretrained(sys.argv[1], backend='onnx').predict_faces(drawn_faces(1))\n"
        "print(sorted({'torch', 'timm', 'onnx', 'huggingface_hub'} & set(sys.modules)))"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert "torch" in outputs[0]
    assert outputs[1] == "[]\n"


# int8


def test_int8_keeps_the_predictions_in_half_the_bytes_of_float16(face_image: Image.Image, tmp_path: Path) -> None:
    classifier = embedded_predictor("native48", "torch").backend.classifier
    full, half = (export_onnx(classifier, tmp_path / f"{kind}.onnx", storage=kind) for kind in ("float32", "float16"))
    written = quantize_onnx(full.path, tmp_path / "int8.onnx", drawn_faces(64))
    assert written.bytes == written.path.stat().st_size < 0.55 * half.bytes
    assert written.faces == 64
    faces = [*drawn_faces(100)[64:], face_image]
    ours, theirs = (EmotionPredictor.from_onnx(path).predict_faces(faces) for path in (full.path, written.path))
    assert np.mean([abs(a.probs[k] - b.probs[k]) for a, b in zip(ours, theirs, strict=True) for k in a.probs]) < 0.03
    assert sum(a.label == b.label for a, b in zip(ours, theirs, strict=True)) >= 0.85 * len(faces)
    record = json.loads(OnnxBackend(written.path).session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert (record["storage"], record["calibration_faces"]) == ("int8", 64)
    kinds = {
        onnx.TensorProto.DataType.Name(t.data_type)
        for t in onnx.load(str(written.path)).graph.initializer
        if len(t.dims) > 1
    }
    assert kinds == {"INT8"}


def test_the_int8_file_of_a_checkpoint_is_a_backend(
    tiny: EmotionClassifier, saved: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"model_int8.onnx.*--dtype int8 --faces"):
        EmotionPredictor.from_pretrained(saved, backend="onnx-int8")
    pictures = tmp_path / "faces"
    pictures.mkdir()
    for i, face in enumerate(drawn_faces(40)):
        face.save(pictures / f"{i:02d}.png")
    path, _ = export_file(str(saved), None, opset=None, storage="int8", faces=str(pictures))
    assert path == saved / INT8_FILE
    small, full = (EmotionPredictor.from_pretrained(saved, backend=backend) for backend in ("onnx-int8", "torch"))
    assert (small.backend_name, small.backend.storage) == ("onnx-int8", "int8")
    faces = drawn_faces(50)[40:]
    apart = [
        abs(a.probs[k] - b.probs[k])
        for a, b in zip(small.predict_faces(faces), full.predict_faces(faces), strict=True)
        for k in a.probs
    ]
    assert 0 < max(apart) < 0.1, "its own file and not the float one, with nearly its answers"
    torch.manual_seed(9)
    EmotionClassifier(tiny.config).save_pretrained(saved)
    with pytest.raises(CheckpointError, match=r"model_int8.onnx of .* was made of weights"):
        EmotionPredictor.from_pretrained(saved, backend="onnx-int8")
    assert not cache.exists(), "nothing was exported for it"


def test_a_calibration_reads_only_the_chosen_faces_in_order(exported: Path, tmp_path: Path) -> None:
    indices: list[int] = []

    class Faces(Sequence):
        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> Image.Image:
            indices.append(index)
            return few[index % 8]

    few = drawn_faces(8)
    assert quantize_onnx(exported, tmp_path / "int8.onnx", Faces()).faces == len(indices) == 512
    assert (indices[0], indices[-1]) == (0, 4999)
    assert indices == sorted(indices)


def test_images_of_a_folder_are_decoded_when_they_are_used(tmp_path: Path, monkeypatch) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    pictures = export_command._pictures(tmp_path)
    assert len(pictures) == 3
    with pytest.raises(ImageError, match=r"1\.png"):
        pictures[1]


def test_a_calibration_needs_enough_faces_and_an_exported_file(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="31 faces to calibrate on: give at least 32"):
        quantize_onnx(exported, tmp_path / "int8.onnx", drawn_faces(31))
    bare = onnx.load(str(exported))
    del bare.metadata_props[:]
    onnx.save(bare, str(tmp_path / "bare.onnx"))
    with pytest.raises(CheckpointError, match="was not written by emotion_hub"):
        quantize_onnx(tmp_path / "bare.onnx", tmp_path / "int8.onnx", drawn_faces(32))
    assert [p.name for p in tmp_path.iterdir()] == ["bare.onnx"]
