"""Times of the demo in Chromium: answer after an example click, maps, LIME.

    python -m benchmarks.demo --json benchmarks/results/demo.json

The app is started as a visitor would find it. Server and browser share this machine's cores. Each figure is the median
of several rounds, in seconds from the click to the complete answer on the page; layout shift is the browser's sum over
a visit, without shifts just after an input.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.demo_browser import CHROMIUM, chromium_arguments, demo_server, open_page
from benchmarks.page import SETTLE, example_seconds
from benchmarks.timing import machine
from training.data.files import write_json

__all__ = ["main", "measure"]

#: The time in seconds after which the app has imported torch and run every method once.
WARM = 60.0

_SHIFT = """() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({type: "layout-shift", buffered: true});
}"""

_MAPS = """() => document.querySelectorAll('#explain-answer figure[data-method]').length === $count
    && !document.querySelector('#explain-progress progress')"""


def _maps_seconds(page: Any, button: str, count: int) -> float:
    """Seconds from a click on `button`, on a page with four maps, to `count` new ones."""
    started = time.perf_counter()
    page.locator(button).click()
    if count == 4:  # the old maps are cleared first
        page.wait_for_function(_MAPS.replace("$count", "0").partition("&&")[0])
    page.wait_for_function(_MAPS.replace("$count", str(count)), polling=50)
    return time.perf_counter() - started


def measure(rounds: int, warm: float = WARM) -> dict[str, Any]:
    """The figures as JSON types."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, demo_server(Path(folder)) as url, sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=chromium_arguments())
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(300_000)
        time.sleep(warm)
        page.add_init_script(f"({_SHIFT})()")
        started = time.perf_counter()
        open_page(page, url)
        shown = time.perf_counter() - started
        page.locator("#photo-examples .gallery-item").first.click()
        page.wait_for_function("() => document.querySelector('#compare-ladder .eh-strip')")
        page.wait_for_timeout(SETTLE)
        shift = page.evaluate("window.shift")
        page.locator("#tab-explain-button").click()
        page.wait_for_function(_MAPS.replace("$count", "4"), polling=50)
        cams = [_maps_seconds(page, "#run", 4) for _ in range(rounds)]
        everything = _maps_seconds(page, "#explain-all", 8)
        browser.close()
    return {
        "first_answer_on_arrival": round(shown, 2),
        "answer_after_example_click": example_seconds(rounds),
        "four_class_activation_maps": round(median(cams), 2),
        "eight_maps_with_lime_and_shap": round(everything, 2),
        "layout_shift": round(shift, 4),
        "rounds": rounds,
        "machine": machine("gradio", "onnxruntime", "torch"),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="benchmarks.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    figures = measure(args.rounds)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.json:
        write_json(args.json, figures)
    return figures


if __name__ == "__main__":
    main()
