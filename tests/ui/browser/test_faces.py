"""A photo with eight faces in Chromium: rows, tags, choice of the face."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from emotion_hub.comparison import compare
from emotion_hub.examples import example_path
from emotion_hub.faces import locate
from emotion_hub.images import load_image
from emotion_hub.perturb import resolution_ladder
from emotion_hub.ui.html.basics import face_url
from emotion_hub.ui.html.strips import ladder_strip
from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import Visitor, assert_equal_probs

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

GROUP = example_path("group")


@pytest.fixture(scope="module")
def visitor(open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page that shows the comparison of eight faces."""
    visitor = open_visitor()
    with visitor.new_answer("ladder"), visitor.new_answer("compare"):
        visitor.example("group")
    return visitor


def choose_face(visitor: Visitor, number: int) -> None:
    visitor.page.locator("#face").get_by_label(str(number), exact=True).check()


def test_each_of_eight_faces_has_a_row_that_opens_with_its_own_answer(visitor: Visitor) -> None:
    pairs = compare(GROUP)
    rows = visitor.page.locator("#compare-answer details[data-fold^=face-]")
    assert rows.count() == len(pairs) == 8
    assert [row.get_attribute("open") is not None for row in rows.all()] == [True] + 7 * [False]
    row = rows.nth(4)
    assert pairs[4].native48.prediction.label in row.locator("summary").first.inner_text()
    assert not row.locator(".eh-bars").is_visible()
    row.locator("summary").first.click()
    row.locator(".eh-bars").wait_for()
    assert_equal_probs(visitor.probs("compare", "upscale224", 4), pairs[4].upscale224.prediction.probs)
    assert len(visitor.pictures("#compare-answer summary .eh-thumb")) == 8


def test_the_tags_of_the_faces_are_text_of_a_readable_size(visitor: Visitor) -> None:
    tags = visitor.page.locator("#compare-answer .eh-box .eh-tag")
    assert sorted(tags.all_inner_texts()) == [str(number) for number in range(1, 9)]
    sizes = tags.evaluate_all("tags => tags.map((tag) => parseFloat(getComputedStyle(tag).fontSize))")
    assert min(sizes) >= 12


def test_the_chosen_face_changes_the_ladder_and_the_explanation(visitor: Visitor) -> None:
    detected, pairs = locate(load_image(GROUP)), compare(GROUP)
    with visitor.new_answer("ladder"):
        choose_face(visitor, 3)
    strip = ladder_strip(resolution_ladder(detected.faces[2]))
    assert visitor.pictures("#compare-ladder img") == set(re.findall(r'src="([^"]+)"', strip))

    visitor.tab("explain")
    visitor.wait_for_answer("explain")
    for number in (3, 5):
        if number == 5:
            with visitor.new_answer("explain"):
                choose_face(visitor, number)
        pair = pairs[number - 1]
        for name, side in (("native48", pair.native48), ("upscale224", pair.upscale224)):
            section = visitor.page.locator(f'#explain-answer .eh-why[data-model="{name}"]')
            assert section.get_attribute("data-target") == side.prediction.label
            network_input = section.locator("figure:not([data-method]) img").get_attribute("src")
            assert network_input == face_url(side.prepared), f"face {number}"

    visitor.tab("compare")
    with visitor.new_answer():
        visitor.example("astronaut")
    visitor.page.locator("#face").wait_for(state="hidden")
    assert visitor.page.locator("#compare-answer .eh-compare").count() == 1


def test_a_photo_that_is_entered_on_the_explain_tab_offers_its_faces(open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor()
    visitor.tab("explain")
    visitor.example("group")
    visitor.page.locator("#face").wait_for()
    assert visitor.page.locator("#face input").count() == 8
