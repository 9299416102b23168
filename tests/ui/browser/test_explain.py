"""Explain tab in Chromium: maps, progress, cancel, sheet, changed photo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.examples import example_path
from emotion_hub.predictor import EmotionPredictor
from tests.fakes.demo_browser import chromium_marks, face_crops
from tests.fakes.demo_page import MAPS, Visitor

pytestmark = [*chromium_marks, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api")

#: The faces that the networks get, which differ from photo to photo.
INPUTS = "#explain-answer figure:not([data-method]) img"

#: Whether a method that reports its progress is at work.
_AT_WORK = """() => {
    const bar = document.querySelector("#explain-progress progress");
    return Boolean(bar) && bar.dataset.share > 0 && bar.dataset.share < 1;
}"""


@pytest.fixture(scope="module")
def visitor(open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page on the Explain tab with its settings open."""
    visitor = open_visitor()
    visitor.open_fold("advanced")
    visitor.tab("explain")
    visitor.wait_for_answer("explain")
    return visitor


def click_all(visitor: Visitor) -> None:
    """Click "Add LIME and SHAP"; gradio ignores a click until it has closed the run before."""
    for _ in range(10):
        visitor.page.locator("#explain-all").click()
        with contextlib.suppress(playwright.TimeoutError):
            visitor.page.locator("#explain-progress progress").wait_for(timeout=10_000)
            return
    raise AssertionError("no explanation was started")


def test_cams_are_shown_at_once_and_every_method_with_progress_cancel_and_a_sheet(
    visitor: Visitor, tmp_path: Path
) -> None:
    photo = face_crops(tmp_path)[0]
    with visitor.new_answer("explain"):
        visitor.upload(photo)
    maps = visitor.page.locator(MAPS)
    shown = maps.evaluate_all("maps => maps.map((map) => [map.dataset.method, map.dataset.model])")
    expected = [[method, model] for method in ("gradcam", "gradcam++") for model in ("native48", "upscale224")]
    assert sorted(shown) == sorted(expected)
    [face] = EmotionPredictor.from_pretrained("native48").predict(photo)
    why = visitor.page.locator('#explain-answer .eh-why[data-model="native48"]')
    assert why.get_attribute("data-target") == face.label
    finding = maps.first.locator(".eh-finding").inner_text()
    assert finding.split(":")[0].split(",")[0].lower() in maps.first.locator("img").get_attribute("alt").lower()
    widths = maps.locator("img").evaluate_all("images => images.map((image) => image.clientWidth)")
    assert min(widths) >= 200

    visitor.set_number("explain-samples", 2000)
    click_all(visitor)
    visitor.page.wait_for_function(_AT_WORK)
    visitor.page.locator("#explain-cancel").click()
    visitor.page.locator("#explain-progress").get_by_text("Cancelled.").wait_for()
    assert maps.count() < 8
    assert visitor.page.locator("a.eh-download").count() == 0

    visitor.set_number("explain-samples", 100)
    click_all(visitor)
    visitor.page.locator("a.eh-download").wait_for()
    assert maps.count() == 8
    with visitor.page.expect_download() as download:
        visitor.page.locator("a.eh-download").click()
    sheet = Image.open(download.value.path())
    assert sheet.format == "PNG"
    assert sheet.width > 5 * 224
    assert sheet.height > 2 * 224


def test_maps_are_measured_on_request(visitor: Visitor) -> None:
    with visitor.new_answer("explain"):
        visitor.example("astronaut")
    assert visitor.page.locator("#explain-answer table").count() == 0
    for _ in range(5):
        visitor.page.locator("#explain-measure").click()
        with contextlib.suppress(playwright.TimeoutError):
            visitor.page.locator("#explain-answer table").wait_for(timeout=60_000)
            break
    rows = visitor.page.locator("#explain-answer table tbody tr")
    visitor.page.wait_for_function("() => document.querySelectorAll('#explain-answer tbody tr').length === 4")
    assert "Grad-CAM" in rows.first.inner_text()
    assert "deletion" in visitor.page.locator("#explain-answer table thead").inner_text()


def test_a_photo_changed_during_lime_stops_it_and_shows_only_the_new_photos_maps(visitor: Visitor) -> None:
    with visitor.new_answer("explain"):
        visitor.example("grace_hopper")
    old = visitor.pictures(INPUTS)
    visitor.set_number("explain-samples", 2000)
    click_all(visitor)
    visitor.page.wait_for_function(_AT_WORK)
    with visitor.new_answer("explain"):
        visitor.example("astronaut")
        visitor.wait_until_empty("explain")
        visitor.record(INPUTS)
        assert visitor.page.locator("#explain-progress progress[aria-label*=LIME]").count() == 0
    assert len(visitor.pictures(INPUTS)) == 2
    assert not old & visitor.recorded(), "the older photo was shown again"
    [face] = EmotionPredictor.from_pretrained("upscale224").predict(example_path("astronaut"))
    why = visitor.page.locator('#explain-answer .eh-why[data-model="upscale224"]')
    assert why.get_attribute("data-target") == face.label
    visitor.page.locator("#explain-cancel").click()
    visitor.page.locator("#explain-progress").get_by_text("Nothing is running.").wait_for()
    assert visitor.page.locator(MAPS).count() == 4
