"""Photo changes in Chromium: no answer is shown beside another photo.

The networks of the demo can be blocked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.demo_browser import BlockableDemo, chromium_marks
from tests.fakes.tab_visitor import UNITS, TabVisitor, answers_of

pytestmark = [*chromium_marks, pytest.mark.slow, pytest.mark.usefixtures("open_gate")]
pytest.importorskip("playwright.sync_api")

each_tab = pytest.mark.parametrize("tab", list(UNITS))


@each_tab
def test_removing_a_photo_clears_its_answer_without_the_server(
    visit: Callable[..., TabVisitor], faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    visitor.enter(faces[0])
    visitor.wait()
    # only the API: the page may still load parts of itself
    api = re.compile(r"/gradio_api/(run|queue|cancel|call)")
    visitor.page.route(api, lambda route: route.abort())
    visitor.clear()
    assert "Add a photo" in visitor.text(tab)
    visitor.page.unroute(api)
    visitor.page.reload()
    visitor.page.locator("#compare-answer .eh-compare").wait_for()
    visitor.tab(tab)
    visitor.wait()


@each_tab
def test_changing_the_photo_clears_the_answer_at_once_and_shows_only_the_new_one(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second = answers_of(visitor, faces[:2])
    visitor.enter(faces[0])
    visitor.wait()
    slow_demo.close()
    visitor.run()  # an answer for the first photo, which is still computed when the photo changes
    slow_demo.wait_for_call()
    visitor.enter(faces[1])
    visitor.empty()
    visitor.watch()
    visitor.page.wait_for_timeout(1_500)  # an answer for the first photo would arrive meanwhile
    assert not visitor.shown()
    assert "Analysing the photo" in visitor.text(tab)
    slow_demo.open()
    visitor.wait()
    visitor.page.wait_for_timeout(1_500)  # the same, after the networks are unblocked
    assert second <= visitor.shown()
    assert not first & visitor.recorded(), "the answer of the first photo was shown beside the second"


@each_tab
def test_the_last_message_of_a_cancelled_job_is_not_shown(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    """The job starts with the photo, not with a click: it ends after the change and sends its last message."""
    visitor = visit(tab)
    [first, _] = answers_of(visitor, faces[:2])
    slow_demo.close()
    visitor.watch()
    visitor.enter(faces[0])
    slow_demo.wait_for_call()
    visitor.clear()
    slow_demo.open()
    visitor.page.wait_for_timeout(4_000)  # the job ends meanwhile
    assert not first & visitor.recorded()
    assert "Add a photo" in visitor.text(tab)


@each_tab
def test_two_consecutive_changes_end_with_the_answer_of_the_last_photo(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path], tab: str
) -> None:
    visitor = visit(tab)
    first, second, third = answers_of(visitor, faces)
    slow_demo.close()
    visitor.watch()
    visitor.enter(faces[0])
    slow_demo.wait_for_call()
    for photo in faces[1:]:
        visitor.enter(photo)
    slow_demo.open()
    visitor.page.wait_for_function(
        "(sources) => sources.every((source) => window.shown.has(source))", arg=sorted(third)
    )
    visitor.wait()
    visitor.page.wait_for_timeout(1_500)  # an older answer would arrive meanwhile
    assert third <= visitor.shown()
    assert not (first | second) & visitor.recorded()


def test_the_json_is_cleared_with_its_photo(
    visit: Callable[..., TabVisitor], slow_demo: BlockableDemo, faces: list[Path]
) -> None:
    visitor = visit("predict")
    box = visitor.page.locator("#predict-json")
    if not box.is_visible():
        visitor.page.locator("#tab-predict").get_by_text("The answer as JSON").click()
    visitor.enter(faces[0])
    visitor.wait()
    box.get_by_text("native48").first.wait_for()
    slow_demo.close()
    visitor.run()
    slow_demo.wait_for_call()
    visitor.clear()
    assert "native48" not in box.inner_text()
    slow_demo.open()
    visitor.page.wait_for_timeout(3_000)  # the answer of the removed photo would arrive meanwhile
    assert "native48" not in box.inner_text()
