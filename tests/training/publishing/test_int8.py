"""The 8-bit file of a checkpoint: calibration faces and measured accuracy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import training.publishing.int8
import training.quantize
import training.studies.onnx
from emotion_hub.checkpoints import INT8_FILE, embedded_checkpoints, file_hash
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.external_data import file_bytes
from emotion_hub.predictor import EmotionPredictor
from tests.fakes.drawn_data import drawn_folder
from training.data.faces import load_splits

pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("datasets_cache")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces; one validation face is in train as well."""
    root = drawn_folder(tmp_path_factory.mktemp("int8") / "data")
    shutil.copyfile(root / "validation" / "happy" / "0.png", root / "train" / "happy" / "leak.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    EmotionClassifier("emotion_cnn").save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_int8_is_calibrated_on_clean_training_faces(
    data: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize, used = training.publishing.int8.quantize_onnx, []
    monkeypatch.setattr(
        training.publishing.int8,
        "quantize_onnx",
        lambda source, path, faces: used.extend(faces) or quantize(source, path, faces),
    )
    made = training.quantize.main(["--checkpoint", str(checkpoint), "--data", str(data)])
    assert made.path == checkpoint / INT8_FILE
    assert made.faces == len(used) == 35, "the 36 training images except one that validation has"
    train = {np.asarray(load_splits(str(data))["train"].faces[i]).tobytes() for i in range(36)}
    validation = load_splits(str(data))["validation"].faces
    assert {np.asarray(face).tobytes() for face in used} < train
    assert not {np.asarray(face).tobytes() for face in used} & {np.asarray(face).tobytes() for face in validation}
    with pytest.raises(InputError, match=r"has no config.json; give the folder of a checkpoint"):
        training.quantize.main(["--checkpoint", str(data), "--data", str(data)])


@pytest.mark.slow
def test_the_study_measures_the_files_that_ship(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    training.publishing.int8.write_int8(checkpoint, data)
    report = training.studies.onnx.main(
        ["--data", str(data), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "onnx.json")]
    )
    assert report == json.loads((tmp_path / "onnx.json").read_text())
    found = report["checkpoints"]["tiny"]
    assert found["sha256"] == file_hash(checkpoint / "model.safetensors")
    small = found["files"]["int8"]
    assert small["bytes"] == (checkpoint / INT8_FILE).stat().st_size
    assert small["share_of_float16"] <= 0.55
    faces = load_splits(str(data))["test"]
    answers = EmotionPredictor.from_pretrained(checkpoint, backend="onnx-int8").predict_faces(faces.faces)
    assert small["accuracy"] == pytest.approx(
        np.mean([a.label_id == label for a, label in zip(answers, faces.labels, strict=True)])
    )
    page = (tmp_path / "onnx.md").read_text()
    assert f"| `tiny` | int8 | {small['bytes'] / 2**20:.2f} |" in page
    (checkpoint / INT8_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"has no model_int8.onnx"):
        training.studies.onnx.main(
            ["--data", str(data), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "again.json")]
        )


def test_data_without_all_three_splits_is_rejected(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train", tmp_path / "train")
    with pytest.raises(InputError, match=r"no split 'validation' in .* it has train\. python -m training\.prepare"):
        training.publishing.int8.write_int8(checkpoint, tmp_path)


@pytest.mark.parametrize("name", embedded_checkpoints())
def test_embedded_checkpoints_have_their_8_bit_file(name: str) -> None:
    folder = embedded_checkpoints()[name]
    predictor = EmotionPredictor.from_pretrained(name, backend="onnx-int8")
    assert predictor.backend_name == "onnx-int8"
    assert predictor.backend.file == file_hash(folder / "model.safetensors")
    assert (folder / INT8_FILE).stat().st_size <= 0.55 * file_bytes(folder / "model.onnx")
