"""Fixtures of the tests of models in the demo: a new pool, a face."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def pool_of_its_own(new_pool: None) -> None:
    """Every test here has a new pool."""


@pytest.fixture
def face(face_image: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "face.png"
    face_image.convert("L").resize((48, 48)).save(path)
    return str(path)
