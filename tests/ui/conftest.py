"""Fixtures of the demo's browser tests: the running app, Chromium and a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageOps

from tests.fakes.demo_browser import CHROMIUM, astronaut, chromium_arguments, demo_server


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` in a subprocess, without a Hub."""
    with demo_server(tmp_path_factory.mktemp("app"), os.environ | {"HF_HUB_OFFLINE": "1"}) as url:
        yield url


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MJPEG file of one frame for Chromium's fake camera: the astronaut in a picture of 640x480 pixels."""
    path = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    frame = ImageOps.pad(astronaut(), (640, 480), color="gray")
    frame.save(path, "JPEG", quality=95, subsampling=0)
    return path


@pytest.fixture(scope="module")
def browser(camera_file: Path) -> Iterator[Any]:
    """Chromium, as playwright's Browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=chromium_arguments(camera_file))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, app_url: str) -> Iterator[Any]:
    """A page of the running app, as playwright's Page."""
    context = browser.new_context(permissions=["camera"], viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(app_url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    yield page
    context.close()
