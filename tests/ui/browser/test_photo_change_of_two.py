"""Photo changes of one of two visitors: the other one is not disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.demo_browser import BlockableDemo, chromium_marks
from tests.fakes.tab_visitor import TabVisitor, answers_of

pytestmark = [*chromium_marks, pytest.mark.slow, pytest.mark.usefixtures("open_gate")]
pytest.importorskip("playwright.sync_api")


def test_a_click_queued_behind_another_visitor_is_cancelled_with_its_photo(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path]
) -> None:
    mine, other = visit("explain"), visit("explain", 1)
    first, second = answers_of(mine, faces[:2])
    for visitor in (other, mine):
        visitor.enter(faces[0])
        visitor.wait()
    slow_demo.close()
    measure = "#explain-measure"
    other.page.locator(measure).click()
    slow_demo.wait_for_call()
    mine.page.locator(measure).click()  # it is queued: only one clicked explanation runs at a time
    mine.page.wait_for_timeout(700)  # the click reaches the server
    mine.enter(faces[1])
    mine.empty()
    mine.watch()
    assert other.page.locator("#explain-progress progress").count() == 1, "the other visitor's job continues"
    slow_demo.open()
    mine.wait()
    other.page.locator("#explain-answer table").wait_for()
    other.wait()
    for visitor, expected in ((mine, second), (other, first)):
        assert expected <= visitor.shown()
    with mine.new_answer("explain"):
        mine.run()  # a new run works after the cancelled job
    assert second <= mine.shown()
    assert not first & mine.recorded()


def test_changing_a_photo_does_not_stop_another_visitors_job(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path]
) -> None:
    mine, other = visit("explain"), visit("explain", 1)
    [expected, _] = answers_of(mine, faces[:2])
    slow_demo.close()
    mine.enter(faces[0])
    slow_demo.wait_for_call()
    other.enter(faces[1])
    slow_demo.wait_for_call(2)
    other.clear()
    slow_demo.open()
    mine.wait()
    assert expected <= mine.shown()
    assert not other.shown()
