"""ONNX files with weights in a safetensors file; size of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.external_data import copy_self_contained, file_bytes, share_weights
from emotion_hub.onnx.runtime import open_session
from emotion_hub.predictor import EmotionPredictor

ROOT = Path(__file__).parents[2]

#: Largest sizes, in bytes, of a checkpoint in this repository and of the package; a second copy of the weights exceeds
#: them.
LARGEST_FILE, LARGEST_PACKAGE = 16 * 2**20, 40 * 2**20


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder with float16 weights, their ONNX file and the configuration."""
    folder = tmp_path_factory.mktemp("shared")
    EmotionClassifier(ClassifierConfig("emotion_cnn")).half().save_pretrained(folder)
    export_onnx(
        EmotionClassifier.from_pretrained(folder),
        folder / "model.onnx",
        storage="float16",
        weights_file=folder / "model.safetensors",
    )
    return folder


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "checkpoint"))


def _logits(path: Path) -> np.ndarray:
    pixels = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype(np.float32)
    return open_session(path).run(None, {"input": pixels})[0]


def test_a_shared_file_is_small_and_gives_bit_identical_logits(folder):
    path, before = folder / "model.onnx", _logits(folder / "model.onnx")
    size = path.stat().st_size
    assert share_weights(path) == size - path.stat().st_size
    assert path.stat().st_size < 50_000 < size
    assert file_bytes(path) == path.stat().st_size + (folder / "model.safetensors").stat().st_size
    assert np.array_equal(_logits(path), before)
    assert EmotionPredictor.from_pretrained(folder).backend_name == "onnx"


def test_sharing_twice_changes_nothing(folder):
    path = folder / "model.onnx"
    share_weights(path)
    once = path.read_bytes()
    share_weights(path)
    assert path.read_bytes() == once


def test_a_self_contained_copy_needs_no_other_file(folder, tmp_path):
    before = _logits(folder / "model.onnx")
    share_weights(folder / "model.onnx")
    alone = copy_self_contained(folder / "model.onnx", tmp_path / "alone.onnx")
    assert np.array_equal(_logits(alone), before)
    assert file_bytes(alone) == alone.stat().st_size
    again = copy_self_contained(alone, tmp_path / "again.onnx")
    assert again.read_bytes() == alone.read_bytes()


def test_a_shared_file_without_its_weights_names_the_missing_file(folder, tmp_path):
    share_weights(folder / "model.onnx")
    shutil.copyfile(folder / "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(
        CheckpointError, match=r"reads its weights from another file of its folder, which is missing there: copy both"
    ):
        EmotionPredictor.from_onnx(tmp_path / "model.onnx")


def test_other_weights_are_refused(folder, tmp_path):
    EmotionClassifier(ClassifierConfig("emotion_cnn")).half().save_pretrained(tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"tensor '.*' of model.onnx is not in model.safetensors beside it"):
        share_weights(folder / "model.onnx")
    share_weights_of_other = embedded_checkpoints()["emotion_cnn"]
    shutil.copyfile(share_weights_of_other / "model.onnx", folder / "model.onnx")
    with pytest.raises(CheckpointError, match="was made of weights with SHA-256"):
        EmotionPredictor.from_pretrained(folder)


@pytest.mark.parametrize("name", embedded_checkpoints())
def test_embedded_checkpoints_store_their_weights_once(name):
    folder = embedded_checkpoints()[name]
    assert (folder / "model.onnx").stat().st_size < 200_000
    for file in folder.iterdir():
        assert file.stat().st_size <= LARGEST_FILE, file.name
    large = {file.name for file in folder.iterdir() if file.stat().st_size > 2**20}
    assert large == {"model.safetensors", "model_int8.onnx"}


def _tracked() -> dict[str, int]:
    """{path: bytes} of the files in the repository."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-l", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return {
        match[2]: int(match[1])
        for line in listed.splitlines()
        if (match := re.fullmatch(r"\S+ blob \S+ +(\d+)\t(.*)", line))
    }


def test_the_repository_stores_each_checkpoint_once():
    sizes = _tracked()
    assert sum(size for path, size in sizes.items() if path.startswith("emotion_hub/")) <= LARGEST_PACKAGE
    large = {path for path, size in sizes.items() if size > 2**20}
    stored = re.compile(r"emotion_hub/checkpoints/\w+/(model\.safetensors|model_int8\.onnx)")
    assert all(stored.fullmatch(path) for path in large), large
    rest = sum(size for path, size in sizes.items() if path not in large)
    assert rest <= 12 * 2**20, "sources, documents and pictures"
