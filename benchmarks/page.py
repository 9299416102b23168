"""What the demo's page weighs in Chromium beside an empty Gradio page: bytes transferred until it is still."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["page_weight"]

ROOT = Path(__file__).parent.parent
CHROMIUM = "/usr/bin/chromium"

#: Seconds after which a page has loaded what it loads by itself.
STILL = 6.0

_LAUNCH = "from emotion_hub.ui import build_demo, launch_options\n"
_EMPTY = (
    _LAUNCH
    + "import gradio as gr\nwith gr.Blocks(analytics_enabled=False) as page: pass\npage.launch(**launch_options())"
)
_BARE = (
    "from emotion_hub.ui import compare, explain, predict\n"
    "for tab in (compare, explain, predict): tab.example_photos = lambda photo: None\n"
    + _LAUNCH
    + "build_demo().launch(**launch_options())"
)
PAGES = {"empty": _EMPTY, "without_examples": _BARE, "demo": _LAUNCH + "build_demo().launch(**launch_options())"}


def page_weight() -> dict[str, int]:
    """{page: bytes as transferred}: of an empty page, of the demo without its example photos, and of the demo. Raises RuntimeError without Chromium."""
    if not Path(CHROMIUM).is_file():
        raise RuntimeError(f"weighing pages needs {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            return {name: _weigh(browser, code) for name, code in PAGES.items()}
        finally:
            browser.close()


def _weigh(browser: Any, code: str) -> int:
    with _served(code) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        taken: list[int] = []
        network.on("Network.loadingFinished", lambda event: taken.append(int(event["encodedDataLength"])))
        page.goto(url)
        page.wait_for_timeout(STILL * 1000)
        context.close()
    return sum(taken)


@contextmanager
def _served(code: str) -> Iterator[str]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        environment = os.environ | {
            "GRADIO_SERVER_PORT": url.rpartition(":")[2],
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_OFFLINE": "1",
        }
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise RuntimeError("the page was not served within a minute; run it by hand and look")
            yield url
        finally:
            server.terminate()
            server.wait()
