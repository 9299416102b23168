"""Every tab in Chromium, wide and narrow: no scrolling sideways, no error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import GOOD_SHIFT, TABS, Visitor

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

WIDTHS = (1280, 375)


@pytest.fixture(scope="module", params=WIDTHS, ids=lambda width: f"{width}px")
def tourist(request: pytest.FixtureRequest, open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page on which the tests open one tab after another."""
    return open_visitor(width=request.param)


def show(visitor: Visitor, tab: str) -> None:
    """Open a tab and wait for its contents."""
    visitor.tab(tab)
    if tab in ("compare", "predict", "explain"):
        visitor.wait_for_answer(tab)
    else:
        visitor.page.locator({"models": "#models-figures table", "about": "#about-text h3"}[tab]).first.wait_for()


def test_nothing_moves_while_the_page_is_built(tourist: Visitor) -> None:
    """The first test of the page: layout shifts are summed from its start."""
    tourist.page.locator("#compare-ladder .eh-strip").wait_for()
    tourist.page.locator("#photo-examples .gallery-item img").last.wait_for()
    assert tourist.page.evaluate("() => document.fonts.ready.then(() => window.shifts.length)") > 0, "they are measured"
    assert tourist.shift() < GOOD_SHIFT


@pytest.mark.parametrize("tab", TABS)
def test_no_tab_scrolls_horizontally(tourist: Visitor, tab: str) -> None:
    show(tourist, tab)
    assert tourist.overflow() <= 0
    assert tourist.errors == []


def test_advanced_and_every_fold_of_compare_fit_on_the_screen(tourist: Visitor) -> None:
    show(tourist, "compare")
    for fold in ("advanced", "stress"):
        tourist.open_fold(fold)
    tourist.page.locator("#compare-answer summary").first.click()
    tourist.page.locator("#explain-samples").wait_for()
    assert tourist.overflow() <= 0


def test_eight_faces_and_no_face_fit_on_the_screen(tourist: Visitor) -> None:
    show(tourist, "compare")
    with tourist.new_answer():
        tourist.example("group")
    assert tourist.overflow() <= 0
    face = tourist.page.locator("#face")
    face.wait_for()
    box = face.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= tourist.width
    with tourist.new_answer():
        tourist.example("cat")
    assert "No face was found" in tourist.text()
    assert tourist.overflow() <= 0
    assert tourist.errors == []


def test_the_photo_the_button_and_the_answer_come_in_this_order(tourist: Visitor) -> None:
    """On a phone one below the other; on a desktop the answer stands beside the photo. Settings come last."""
    show(tourist, "compare")
    places = {
        name: tourist.page.locator(f"#{name}").bounding_box()
        for name in ("photo", "photo-examples", "run", "compare-answer", "advanced")
    }
    tops = {name: box["y"] for name, box in places.items()}
    assert tops["photo"] < tops["photo-examples"] < tops["run"]
    assert tops["compare-answer"] < tops["advanced"]
    if tourist.width >= 500:
        assert places["compare-answer"]["x"] >= places["photo"]["x"] + places["photo"]["width"]
    else:
        assert tops["run"] < tops["compare-answer"]
