"""Fixtures that several test files share."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub on this machine, empty, that the Hub's libraries in this process take for the real one; see hub_server.LocalHub.

    Signed in as "tester" (`hub_server.TOKEN`). Caches lie in tmp_path / "home". Subprocesses get all this from os.environ.
    Waits between the client's retries are cut to milliseconds. Code from a repository (trust_remote_code) belongs in a
    subprocess: transformers decides at import where it keeps such code.
    """
    import hub_server
    import huggingface_hub

    with hub_server.serve() as server, _hub_libraries(server.environment(tmp_path / "home"), monkeypatch):
        yield server
        huggingface_hub.close_session()


@contextmanager
def _hub_libraries(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment for this process too: the libraries read it at import, so what they read is read again, and put back."""
    import huggingface_hub
    from huggingface_hub import constants, file_download, hf_api
    from huggingface_hub.utils import _cache_manager, _http

    loaded = {name: dict(vars(sys.modules[name])) for name in ("huggingface_hub.constants", "datasets.config") if name in sys.modules}
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    for name in loaded:
        importlib.reload(sys.modules[name])
    huggingface_hub.close_session()  # an open client may hold a proxy of the old environment
    brief = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: time.sleep(min(seconds, 0.02))})
    monkeypatch.setattr(_http, "time", brief)
    monkeypatch.setattr(file_download, "time", brief)
    monkeypatch.setattr(_cache_manager, "HF_HUB_CACHE", constants.HF_HUB_CACHE)
    monkeypatch.setattr(hf_api.api, "endpoint", constants.ENDPOINT)
    _forget_transformers_client()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        for name, values in loaded.items():
            vars(sys.modules[name]).update(values)
        if "datasets.config" in sys.modules and "datasets.config" not in loaded:
            importlib.reload(sys.modules["datasets.config"])
        _forget_transformers_client()


def _forget_transformers_client() -> None:
    """transformers keeps one client, with the address of its first use."""
    if "transformers.utils.hub" in sys.modules:
        sys.modules["transformers.utils.hub"]._hf_api = None
