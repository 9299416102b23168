"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with FER2013 and the starting weights; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("EMOTION_HUB_DATA") or Path(__file__).resolve().parents[1].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set EMOTION_HUB_DATA to where it lies")
    return folder


@pytest.fixture(scope="module")
def datasets_cache(tmp_path_factory):
    """`datasets` copies what it reads to its cache: here to a folder of the test."""
    import datasets

    patch = pytest.MonkeyPatch()
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
    patch.undo()


@pytest.fixture
def face_image() -> Image.Image:
    """A drawn pseudo face, RGB, 120x120, the same every time and not mirror-symmetric."""
    ramp = Image.linear_gradient("L").resize((120, 120))
    image = Image.merge("RGB", [ramp, ramp.transpose(Image.Transpose.ROTATE_90), ramp.transpose(Image.Transpose.ROTATE_180)])
    draw = ImageDraw.Draw(image)
    draw.ellipse((22, 10, 98, 112), fill=(224, 182, 150), outline=(90, 60, 40), width=2)
    for left in (40, 68):
        draw.ellipse((left, 42, left + 14, 52), fill="white")
        draw.ellipse((left + 5, 43, left + 12, 51), fill=(30, 40, 60))
    draw.line((60, 55, 57, 72, 63, 73), fill=(160, 110, 90), width=2)
    draw.chord((44, 74, 78, 100), 10, 170, fill=(150, 40, 50))
    return image
