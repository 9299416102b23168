"""Demo's page in Chromium: bytes it transfers, seconds to an answer.

python -m benchmarks.page
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.demo_browser import CHROMIUM, chromium_arguments, demo_server, open_page

__all__ = ["example_seconds", "main", "page_weight"]

#: Milliseconds after which a page has finished loading.
SETTLE = 6_000

#: Examples with one face, which are clicked one after another. The page arrives with another one.
CLICKED = ("astronaut", "grace_hopper", "einstein", "profile")

_LAUNCH = "from emotion_hub.ui import build_demo, launch_options\n"
_EMPTY = (
    _LAUNCH
    + "import gradio as gr\nwith gr.Blocks(analytics_enabled=False) as page: pass\npage.launch(**launch_options())"
)
_WITHOUT_EXAMPLES = (
    "import emotion_hub.ui.demo as demo\ndemo.example_photos = lambda photo: None\n"
    + _LAUNCH
    + "build_demo().launch(**launch_options())"
)
_DEMO = _LAUNCH + "build_demo().launch(**launch_options())"
PAGES = {"empty": _EMPTY, "without_examples": _WITHOUT_EXAMPLES, "demo": _DEMO}

#: Clicks the example with this index; milliseconds until the page shows its comparison.
_CLICK = """(index) => new Promise((done) => {
    const before = window.emotion_hub ? window.emotion_hub.count : 0, start = performance.now();
    const look = () => {
        const number = window.emotion_hub ? window.emotion_hub.count : 0;
        const answer = (window.emotion_hub_answers || {})["compare-answer"];
        if (number > before && answer && answer.photo === number) done(performance.now() - start);
        else requestAnimationFrame(look);
    };
    document.querySelectorAll("#photo-examples .gallery-item")[index].click();
    look();
})"""


def page_weight() -> dict[str, int]:
    """{page: bytes transferred} of an empty page, the demo without its example photos, and the demo.

    No tab is opened. Raises RuntimeError without Chromium.
    """
    with _chromium() as browser:
        return {name: _transferred(browser, code) for name, code in PAGES.items()}


def example_seconds(rounds: int = 3) -> float:
    """Median seconds from a click on an example with one face to its comparison, in Chromium.

    A round clicks four examples; a first round is not counted. Raises RuntimeError without Chromium.
    """
    from emotion_hub.examples import EXAMPLES

    indices = [list(EXAMPLES).index(name) for name in CLICKED]
    with _chromium() as browser, _served(_DEMO) as url:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        open_page(page, url)
        times = [page.evaluate(_CLICK, index) for _ in range(rounds + 1) for index in indices]
    return round(statistics.median(times[len(indices) :]) / 1000, 3)


@contextmanager
def _chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).is_file():
        raise RuntimeError(f"measuring pages needs {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=chromium_arguments())
        try:
            yield browser
        finally:
            browser.close()


def _transferred(browser: Any, code: str) -> int:
    with _served(code) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(120_000)
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        sizes: list[int] = []
        network.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        page.goto(url)
        page.wait_for_timeout(SETTLE)
        context.close()
    return sum(sizes)


@contextmanager
def _served(code: str) -> Iterator[str]:
    """The address of the page that this code serves."""
    with (
        tempfile.TemporaryDirectory() as folder,
        demo_server(Path(folder), os.environ | {"HF_HUB_OFFLINE": "1"}, ["-c", code]) as url,
    ):
        yield url


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure both and print them as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of clicks (default: 3)")
    args = parser.parse_args(argv)
    weight = page_weight()
    measured = {
        "bytes": weight,
        "bytes_above_empty": weight["demo"] - weight["empty"],
        "example_seconds": example_seconds(args.rounds),
    }
    print(json.dumps(measured, indent=1))
    return measured


if __name__ == "__main__":
    main()
