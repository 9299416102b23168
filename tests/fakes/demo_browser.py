"""Demo server and Chromium for the browser tests of the demo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.examples import example_path
from emotion_hub.images import load_image

__all__ = ["CHROMIUM", "ROOT", "astronaut", "chromium_arguments", "chromium_marks", "demo_server"]

CHROMIUM = "/usr/bin/chromium"
ROOT = Path(__file__).resolve().parents[2]

#: `pytestmark` of a module that needs Chromium.
chromium_marks = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not os.access(CHROMIUM, os.X_OK), reason=f"{CHROMIUM} is not installed (Debian package chromium)"
    ),
]


def astronaut() -> Image.Image:
    """A packaged example photo: Eileen Collins, NASA, public domain."""
    return load_image(example_path("astronaut"))


def chromium_arguments(camera_file: Path) -> list[str]:
    """Command-line arguments of Chromium, with a fake camera that shows a file."""
    return [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_file}",
    ]


@contextmanager
def demo_server(folder: Path, environment: Mapping[str, str], command: Sequence[str] = ("app.py",)) -> Iterator[str]:
    """The address of `python app.py`, or of another command, while the context is open; logs go to `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {**environment, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "gradio")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for_page(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for_page(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait up to two minutes for the server's first page."""
    for _ in range(240):
        if process.poll() is not None:
            pytest.fail(f"the demo ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the demo did not answer within two minutes: {log.read_text()[-2000:]}")
