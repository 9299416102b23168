"""Fixtures of the explainers' tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def bright_block_face() -> Image.Image:
    """Gray noise with a bright block where BlockBrightnessBackend measures, and two other blocks elsewhere."""
    gray = 100 + np.random.default_rng(1).normal(0, 6, (48, 48))
    gray[30:42, 8:20] = 230
    gray[8:20, 8:20] = 30
    gray[8:20, 30:42] = 230
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8))


@pytest.fixture
def face_file(face_image: Image.Image, tmp_path: Path) -> str:
    """The path of a drawn face as a 48x48 gray PNG file."""
    path = tmp_path / "face.png"
    face_image.convert("L").resize((48, 48)).save(path)
    return str(path)
