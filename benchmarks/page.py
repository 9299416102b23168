"""Bytes that the demo's page transfers in Chromium, and an empty Gradio page."""

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

#: Seconds after which a page has finished loading.
SETTLE_SECONDS = 6.0

_LAUNCH = "from emotion_hub.ui import build_demo, launch_options\n"
_EMPTY = (
    _LAUNCH
    + "import gradio as gr\nwith gr.Blocks(analytics_enabled=False) as page: pass\npage.launch(**launch_options())"
)
_WITHOUT_EXAMPLES = (
    "from emotion_hub.ui import compare, explain_tab, predict\n"
    "for tab in (compare, explain_tab, predict): tab.example_photos = lambda photo: None\n"
    + _LAUNCH
    + "build_demo().launch(**launch_options())"
)
PAGES = {
    "empty": _EMPTY,
    "without_examples": _WITHOUT_EXAMPLES,
    "demo": _LAUNCH + "build_demo().launch(**launch_options())",
}


def page_weight() -> dict[str, int]:
    """{page: bytes transferred} of an empty page, the demo without its example photos, and the demo.

    Raises RuntimeError without Chromium.
    """
    if not Path(CHROMIUM).is_file():
        raise RuntimeError(f"measuring pages needs {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            return {name: _transferred(browser, code) for name, code in PAGES.items()}
        finally:
            browser.close()


def _transferred(browser: Any, code: str) -> int:
    with _served(code) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        sizes: list[int] = []
        network.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        page.goto(url)
        page.wait_for_timeout(SETTLE_SECONDS * 1000)
        context.close()
    return sum(sizes)


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
                raise RuntimeError("the page was not served within a minute; run its code in Python to see why")
            yield url
        finally:
            server.terminate()
            server.wait()
