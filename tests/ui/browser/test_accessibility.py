"""Accessibility of the demo in Chromium: keyboard, and axe on every tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import TABS, Visitor

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

#: Whether an element that matches `selector` has the focus.
_FOCUSED = "(selector) => document.activeElement.matches(selector)"


def press_until(visitor: Visitor, key: str, selector: str, most: int = 80) -> None:
    """Press a key until an element that matches the selector has the focus."""
    for _ in range(most):
        visitor.page.keyboard.press(key)
        if visitor.page.evaluate(_FOCUSED, selector):
            return
    raise AssertionError(f"{selector} is not reached by {most} times {key}")


def test_examples_button_tabs_and_folds_are_reached_and_used_with_the_keyboard(visitor: Visitor) -> None:
    keyboard = visitor.page.keyboard
    press_until(visitor, "Tab", "#photo-examples .gallery-item")
    with visitor.new_answer():
        keyboard.press("Enter")  # the first example
    press_until(visitor, "Tab", "#run")
    with visitor.new_answer():
        keyboard.press("Enter")
    press_until(visitor, "Tab", "#tabs [role=tab]")
    assert visitor.page.evaluate(_FOCUSED, "#tab-compare-button")
    press_until(visitor, "Tab", "#compare-answer details summary")
    fold = visitor.page.locator("#compare-answer details").first
    for is_open in (True, False):
        keyboard.press("Enter")
        assert fold.evaluate("fold => fold.open") is is_open
    press_until(visitor, "Shift+Tab", "#tab-predict-button")
    keyboard.press("Enter")
    visitor.wait_for_answer("predict")
    assert visitor.page.locator("#tab-predict-button").get_attribute("aria-selected") == "true"
    press_until(visitor, "Tab", "#advanced > button")
    keyboard.press("Enter")
    visitor.page.locator("#predict-model input").wait_for()


def problems(page: Any) -> list[str]:
    """The violations that axe finds, one line per element."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary']}"
        for violation in Axe().run(page).response["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_axe_finds_no_violation_on_any_tab(open_visitor: Callable[..., Visitor], width: int, theme: str) -> None:
    pytest.importorskip("axe_playwright_python")
    visitor = open_visitor(width=width, theme=theme)
    found: dict[str, list[str]] = {}
    for tab in TABS:
        visitor.tab(tab)
        if tab in ("compare", "predict", "explain"):
            visitor.wait_for_answer(tab)
        else:
            visitor.page.locator({"models": "#models-figures table", "about": "#about-text h3"}[tab]).first.wait_for()
        visitor.page.evaluate("() => Promise.all(document.getAnimations().map((motion) => motion.finished))")
        found[tab] = problems(visitor.page)
    visitor.tab("compare")
    with visitor.new_answer():
        visitor.example("group")
    visitor.open_fold("advanced")
    visitor.open_fold("stress")
    visitor.page.locator("#explain-samples").wait_for()
    found["compare with eight faces and all settings"] = problems(visitor.page)
    assert {where: lines for where, lines in found.items() if lines} == {}


@pytest.mark.slow
def test_axe_finds_a_violation_that_is_added(open_visitor: Callable[..., Visitor]) -> None:
    pytest.importorskip("axe_playwright_python")
    visitor = open_visitor()
    visitor.page.evaluate("() => document.querySelector('#compare-answer img').removeAttribute('alt')")
    assert any(line.startswith("image-alt") for line in problems(visitor.page))
