"""Demo server and Chromium, for screenshots, measurements and browser tests."""

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

__all__ = ["CHROMIUM", "ROOT", "chromium_arguments", "demo_server", "open_page"]

#: Debian's package chromium.
CHROMIUM = "/usr/bin/chromium"
ROOT = Path(__file__).resolve().parents[1]

#: Seconds to wait for the server's first page.
START_TIMEOUT = 120


def chromium_arguments(camera_file: Path | None = None) -> list[str]:
    """Command-line arguments of Chromium; with a file, its fake camera shows that picture (MJPEG)."""
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    if camera_file is not None:
        arguments += [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={camera_file}",
        ]
    return arguments


@contextmanager
def demo_server(
    folder: Path, environment: Mapping[str, str] | None = None, command: Sequence[str] = ("app.py",)
) -> Iterator[str]:
    """The address of `python app.py`, or of another command, while the context is open.

    The log and the uploads lie in `folder`. Raises RuntimeError, with the end of the log, for a server that ends or
    does not answer within two minutes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        **(os.environ if environment is None else environment),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
    }
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
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the demo ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"the demo did not answer within {START_TIMEOUT} seconds: {log.read_text()[-2000:]}")


def open_page(page: object, url: str, theme: str = "light") -> None:
    """Open the demo in a page of playwright's and wait until it shows the comparison of its example."""
    page.goto(f"{url}/?__theme={theme}")  # type: ignore[attr-defined]  # playwright is not installed with the package
    page.locator("#compare-answer .eh-compare").first.wait_for()  # type: ignore[attr-defined]
