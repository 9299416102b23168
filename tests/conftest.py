"""Shared pytest fixtures: data folder, drawn face, local Hub."""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image, ImageDraw

pytest.register_assert_rewrite("tests.tolerances")  # a failure there shows the values, as in a test

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores, so that more threads per worker would slow them down
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with FER2013 and the starting weights; tests that need it are skipped when it does not exist."""
    folder = Path(os.environ.get("EMOTION_HUB_DATA") or Path(__file__).resolve().parents[1].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set EMOTION_HUB_DATA to its path")
    return folder


@pytest.fixture(scope="module")
def datasets_cache(tmp_path_factory):
    """A temporary cache folder for `datasets`, which copies the data that it reads to its cache."""
    import datasets

    patch = pytest.MonkeyPatch()
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
    patch.undo()


@pytest.fixture
def face_image() -> Image.Image:
    """A drawn face, RGB, 120x120, always the same and not mirror-symmetric."""
    ramp = Image.linear_gradient("L").resize((120, 120))
    image = Image.merge(
        "RGB", [ramp, ramp.transpose(Image.Transpose.ROTATE_90), ramp.transpose(Image.Transpose.ROTATE_180)]
    )
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
    """An empty local Hub that the Hub's libraries in this process use instead of the real one; see hub_server.LocalHub.

    The account is "tester" (`hub_server.TOKEN`), caches are in tmp_path / "home", and waits between retries of the
    client are milliseconds. Subprocesses get these settings from os.environ. Run code from a repository
    (trust_remote_code) in a subprocess, because transformers chooses the folder for it at import.
    """
    import huggingface_hub
    from huggingface_hub import constants, file_download, hf_api
    from huggingface_hub.utils import _cache_manager, _http

    from tests.fakes import hub_server

    with hub_server.serve() as server, warnings.catch_warnings():
        # huggingface_hub's own way of sending large files over plain HTTP
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload raw bytes", DeprecationWarning)
        before, local = dict(os.environ), server.environment(tmp_path / "home")
        for name in before.keys() - local.keys():
            monkeypatch.delenv(name)
        for name, value in local.items():
            monkeypatch.setenv(name, value)
        _reread_environment(constants, monkeypatch)
        datasets_was_imported = "datasets.config" in sys.modules
        if datasets_was_imported:
            _reread_environment(sys.modules["datasets.config"], monkeypatch)
        fast_time = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: time.sleep(min(seconds, 0.02))})
        monkeypatch.setattr(_http, "time", fast_time)
        monkeypatch.setattr(file_download, "time", fast_time)
        monkeypatch.setattr(_cache_manager, "HF_HUB_CACHE", constants.HF_HUB_CACHE)
        monkeypatch.setattr(hf_api.api, "endpoint", constants.ENDPOINT)
        huggingface_hub.close_session()  # an open client can have a proxy of the old environment
        _reset_transformers_client()
        yield server
        huggingface_hub.close_session()
        _reset_transformers_client()
        # when the test imported it, its values are those of the local Hub
        if "datasets.config" in sys.modules and not datasets_was_imported:
            with pytest.MonkeyPatch.context() as patch:
                for name in local.keys() - before.keys():
                    patch.delenv(name, raising=False)
                for name, value in before.items():
                    patch.setenv(name, value)
                importlib.reload(sys.modules["datasets.config"])


def _reread_environment(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the values of a module to those that an import would give now, until the end of the test."""
    before = dict(vars(module))
    now = dict(vars(importlib.reload(module)))
    vars(module).update(before)
    for name, value in now.items():
        if not name.startswith("__") and not callable(value) and value != before.get(name):
            monkeypatch.setattr(module, name, value, raising=False)


def _reset_transformers_client() -> None:
    """Remove the client that transformers caches, which has the address of its first use."""
    if "transformers.utils.hub" in sys.modules:
        sys.modules["transformers.utils.hub"]._hf_api = None
