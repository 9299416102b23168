"""Fixtures of the tests of models in the demo: a new pool, a face."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.ui.choices import FOLDERS_VARIABLE, MORE_VARIABLE, ROLE_VARIABLES
from emotion_hub.ui.models import shared_pool


@pytest.fixture(autouse=True)
def new_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No operator's models, and a new pool for every test."""
    for variable in (*ROLE_VARIABLES.values(), MORE_VARIABLE, FOLDERS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    shared_pool.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("model"):
            thread.join(30)
    shared_pool.cache_clear()


@pytest.fixture
def face(face_image: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "face.png"
    face_image.convert("L").resize((48, 48)).save(path)
    return str(path)
