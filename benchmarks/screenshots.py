"""Screenshots of the demo: every tab, wide and narrow, light and dark.

    python -m benchmarks.screenshots

The demo is started and shown in Chromium with the packaged example photos, which may ship. The pictures go to
docs/images/; README shows two of them.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.demo_browser import CHROMIUM, ROOT, chromium_arguments, demo_server, open_page
from emotion_hub.examples import EXAMPLES

__all__ = ["SIZES", "STATES", "main"]

#: {name: (width, height, device pixels per CSS pixel)}.
SIZES = {"wide": (1280, 900, 1.0), "narrow": (375, 760, 2.0)}
THEMES = ("light", "dark")

#: States whose picture is not scrolled to the tabs on a narrow screen: the arrival, and one that scrolls itself.
AS_IS = ("compare", "compare-stress")

#: Milliseconds for the last change of layout.
SETTLE = 600


def _example(page: Any, name: str) -> None:
    page.locator("#photo-examples .gallery-item").nth(list(EXAMPLES).index(name)).click()


def _tab(page: Any, name: str) -> None:
    page.locator(f"#tab-{name}-button").click()


def _compare(page: Any) -> None:
    page.locator("#compare-ladder .eh-strip").wait_for()


def _several(page: Any) -> None:
    _example(page, "group")
    page.locator("#compare-answer [data-fold=face-8]").wait_for()


def _no_face(page: Any) -> None:
    _example(page, "cat")
    page.locator("#compare-answer").get_by_text("No face was found").wait_for()


def _stress(page: Any) -> None:
    page.locator("#stress > button").click()
    page.wait_for_timeout(SETTLE)  # a slider that is not mounted yet would get its first value again
    slider = page.locator("#stress-blur input[type=number]")
    slider.fill("1.5")
    slider.press("Enter")
    page.locator("#compare-stress .eh-stress").wait_for()
    page.locator("#stress").scroll_into_view_if_needed()


def _predict(page: Any) -> None:
    _tab(page, "predict")
    page.locator("#predict-answer .eh-card").first.wait_for()


def _explain(page: Any) -> None:
    _tab(page, "explain")
    page.wait_for_function(
        "() => document.querySelectorAll('#explain-answer figure[data-method]').length === 4"
        " && !document.querySelector('#explain-progress progress')"
    )


def _models(page: Any) -> None:
    _tab(page, "models")
    page.locator("#models-figures table").first.wait_for()


def _about(page: Any) -> None:
    _tab(page, "about")
    page.locator("#tab-about h3").first.wait_for()


#: {name of the picture: brings a fresh page into the state}.
STATES: dict[str, Callable[[Any], None]] = {
    "compare": _compare,
    "compare-several": _several,
    "compare-no-face": _no_face,
    "compare-stress": _stress,
    "predict": _predict,
    "explain": _explain,
    "models": _models,
    "about": _about,
}


def main(argv: list[str] | None = None) -> list[Path]:
    """Write the pictures and return their paths."""
    parser = argparse.ArgumentParser(prog="benchmarks.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder (default: docs/images)")
    parser.add_argument("--only", choices=list(STATES), action="append", help="a state; repeat for several")
    parser.add_argument("--url", help="address of a running demo (default: it is started)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    states = args.only or list(STATES)
    if args.url:
        return _pictures(args.url, args.out, states)
    with tempfile.TemporaryDirectory() as folder, demo_server(Path(folder)) as url:
        return _pictures(url, args.out, states)


def _pictures(url: str, out: Path, states: list[str]) -> list[Path]:
    from playwright.sync_api import sync_playwright

    written = []
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=chromium_arguments())
        for size, (width, height, scale) in SIZES.items():
            for theme in THEMES:
                for state in states:
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        device_scale_factor=scale,
                        is_mobile=width < 500,
                        reduced_motion="reduce",
                    )
                    page = context.new_page()
                    page.set_default_timeout(60_000)
                    open_page(page, url, theme)
                    STATES[state](page)
                    if size == "narrow" and state not in AS_IS:
                        page.evaluate("document.querySelector('#tabs').scrollIntoView()")
                    page.wait_for_timeout(SETTLE)
                    path = out / f"{state}-{size}-{theme}.webp"
                    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                    picture.save(path, "WEBP", quality=82, method=6)
                    print(f"{path.name}: {picture.width}x{picture.height}, {path.stat().st_size / 1e3:.0f} kB")
                    written.append(path)
                    context.close()
        browser.close()
    return written


if __name__ == "__main__":
    main()
