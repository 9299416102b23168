"""Where `emotion-hub export` writes without --out."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotion_hub.checkpoints import CONFIG_FILE
from emotion_hub.cli.export_file import _default


@pytest.mark.parametrize(
    ("storage", "name"), [("float32", "model.onnx"), ("int8", "model_int8.onnx"), ("float16", "../mine-float16.onnx")]
)
def test_a_checkpoint_folder_gets_the_files_that_are_loaded_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text("{}")
    assert _default(str(folder), storage).resolve() == (folder / name).resolve()


@pytest.mark.parametrize("checkpoint", ["native48", "someone/native48", "empty"])
def test_other_checkpoints_are_written_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert _default(checkpoint, "float32") == Path(f"{checkpoint.rpartition('/')[2]}.onnx")
    assert _default(checkpoint, "int8") == Path(f"{checkpoint.rpartition('/')[2]}-int8.onnx")
