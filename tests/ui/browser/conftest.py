"""Fixtures of the browser tests: the running apps, Chromium, visitors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageOps

from tests.fakes.demo_browser import (
    CHROMIUM,
    ROOT,
    BlockableDemo,
    astronaut,
    chromium_arguments,
    demo_server,
    face_crops,
)
from tests.fakes.demo_page import Visitor
from tests.fakes.tab_visitor import TabVisitor

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="package")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` in a subprocess, without a Hub."""
    with demo_server(tmp_path_factory.mktemp("app"), os.environ | OFFLINE) as url:
        yield url


@pytest.fixture(scope="package")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MJPEG file of one frame for Chromium's fake camera: the astronaut in a picture of 640x480 pixels."""
    path = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    frame = ImageOps.pad(astronaut(), (640, 480), color="gray")
    frame.save(path, "JPEG", quality=95, subsampling=0)
    return path


@pytest.fixture(scope="package")
def browser(camera_file: Path) -> Iterator[Any]:
    """Chromium, as playwright's Browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=chromium_arguments(camera_file))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_visitor(browser: Any, app_url: str) -> Iterator[Callable[..., Visitor]]:
    """Opens a page of the app; the keyword arguments are those of `Visitor`."""
    opened: list[Visitor] = []

    def open_visitor(url: str = app_url, **options: Any) -> Visitor:
        opened.append(Visitor(browser, url, **options))
        return opened[-1]

    yield open_visitor
    for visitor in opened:
        visitor.close()


@pytest.fixture(scope="module")
def visitor(open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page that the tests of a module share, 1280 pixels wide; each test enters a photo of its own."""
    return open_visitor()


@pytest.fixture(scope="module")
def slow_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockableDemo]:
    """The demo with networks that block while its gate is closed."""
    folder = tmp_path_factory.mktemp("slow")
    gate = folder / "gate"
    gate.touch()
    # one thread: on a busy machine torch's threads wait for each other
    environment = os.environ | OFFLINE | {"OMP_NUM_THREADS": "1"}
    with demo_server(folder, environment, [str(ROOT / "tests" / "fakes" / "slow_demo.py"), str(gate)]) as url:
        yield BlockableDemo(url, gate)


@pytest.fixture
def open_gate(slow_demo: BlockableDemo) -> Iterator[None]:
    """The networks answer before and after the test."""
    slow_demo.open()
    yield
    slow_demo.open()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three different photos of one face."""
    return face_crops(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def visit(browser: Any, slow_demo: BlockableDemo) -> Iterator[Callable[..., TabVisitor]]:
    """The page of a visitor with this tab open and no photo; the tests of a module share it."""
    opened: dict[tuple[str, int], TabVisitor] = {}

    def visit(tab: str, number: int = 0) -> TabVisitor:
        if (tab, number) not in opened:
            slow_demo.open()
            opened[tab, number] = TabVisitor(browser, slow_demo.url, tab)
        visitor = opened[tab, number]
        if visitor.page.locator("#photo").get_by_label("Remove Image").count():
            visitor.clear()
        return visitor

    yield visit
    for visitor in opened.values():
        visitor.close()
