"""The folder of uploads, which is deleted with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotion_hub.ui.uploads import upload_folder


def test_upload_folders_are_deleted_with_their_process_and_those_of_dead_processes_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = tmp_path / f"emotion_hub_uploads_{ended.pid}_x", tmp_path / f"emotion_hub_uploads_{os.getppid()}_x"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "face.png").touch()
    with upload_folder() as mine:
        assert os.environ["GRADIO_TEMP_DIR"] == str(mine)
        assert not dead.exists()
        assert alive.exists()
        (mine / "face.png").touch()
    assert not mine.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ
