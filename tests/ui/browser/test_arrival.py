"""The demo on arrival in Chromium, and what the first clicks do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emotion_hub.comparison import compare
from emotion_hub.examples import EXAMPLES, example_path
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui.html.verdict import comparison_verdict
from emotion_hub.ui.models_tab import models_html
from emotion_hub.ui.photo import FIRST
from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import GOOD_SHIFT, Visitor, assert_equal_probs

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def arrived(open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page on which nothing was clicked; the first three tests use it and only read."""
    visitor = open_visitor()
    visitor.page.locator("#compare-ladder .eh-strip").wait_for()
    visitor.page.locator("#photo-examples .gallery-item img").last.wait_for()
    visitor.page.evaluate("() => document.fonts.ready.then(() => true)")
    return visitor


def test_the_page_arrives_with_the_comparison_of_the_first_example(arrived: Visitor) -> None:
    [pair] = compare(FIRST.path)
    for model, side in (("native48", pair.native48), ("upscale224", pair.upscale224)):
        assert_equal_probs(arrived.probs("compare", model), side.prediction.probs)
    labels = (pair.native48.prediction.label, pair.upscale224.prediction.label)
    assert labels[0] != labels[1], "the example is named for it"
    verdict = arrived.page.locator("#compare-answer .eh-verdict").inner_text()
    assert verdict == f"The networks disagree: {labels[0]} from 48 pixels, {labels[1]} from 224 pixels."
    assert arrived.page.locator("#photo img").get_attribute("src").endswith(f"{FIRST.name}.jpg")


def test_the_page_sends_requests_to_its_own_server_only(arrived: Visitor) -> None:
    assert arrived.requested
    assert [url for url in arrived.requested if not url.startswith((arrived.url, "data:", "blob:"))] == []


def test_the_gallery_adds_less_than_100_kb_and_no_photo_is_loaded_before_it_is_chosen(arrived: Visitor) -> None:
    loaded = {name for name in EXAMPLES for url in arrived.requested if url.endswith(f"/{name}.jpg")}
    assert loaded == {FIRST.name}
    thumbnails = arrived.pictures("#photo-examples .gallery-item img")
    assert len(thumbnails) == len(EXAMPLES)
    assert all(source.startswith("data:image/webp;base64,") for source in thumbnails)
    assert sum(map(len, thumbnails)) < 100_000
    titles = arrived.page.locator("#photo-examples .gallery-item").all_inner_texts()
    assert [title.strip() for title in titles] == [photo.title for photo in EXAMPLES.values()]


def test_the_figures_of_the_models_tab_are_sent_when_it_is_opened(visitor: Visitor) -> None:
    html, figures = visitor.context.request.get(visitor.url).text(), models_html()
    heading = figures[figures.index("<h3>") + 4 : figures.index("</h3>")]
    assert heading not in html
    assert visitor.page.locator("#models-figures table").count() == 0
    visitor.tab("models")
    visitor.page.locator("#models-figures table").first.wait_for()


def test_the_main_button_on_the_models_tab_opens_the_comparison(visitor: Visitor) -> None:
    visitor.tab("models")
    with visitor.new_answer():
        visitor.run()
    assert visitor.page.locator("#tab-compare-button").get_attribute("aria-selected") == "true"
    assert visitor.page.locator("#compare-answer .eh-compare").is_visible()


def test_an_example_is_answered_after_one_click_without_a_layout_shift_and_announced(visitor: Visitor) -> None:
    visitor.tab("compare")
    before = visitor.shift()
    with visitor.new_answer("ladder"), visitor.new_answer("compare"):
        visitor.example("astronaut")
    [pair] = compare(example_path("astronaut"))
    for model, side in (("native48", pair.native48), ("upscale224", pair.upscale224)):
        assert_equal_probs(visitor.probs("compare", model), side.prediction.probs)
    live = visitor.page.locator("#eh-live")
    assert (live.get_attribute("role"), live.get_attribute("aria-live")) == ("status", "polite")
    visitor.page.wait_for_function(
        "(verdict) => document.getElementById('eh-live').textContent === verdict", arg=comparison_verdict(pair)
    )
    assert visitor.shift() - before < GOOD_SHIFT


def test_a_closed_tab_is_computed_for_the_new_photo_when_it_is_opened(visitor: Visitor) -> None:
    visitor.tab("compare")
    with visitor.new_answer():
        visitor.example("grace_hopper")
    visitor.tab("predict")
    visitor.wait_for_answer("predict")
    photo = example_path("grace_hopper")
    expected = EmotionPredictor.from_pretrained("native48").predict(photo)
    assert visitor.page.locator("#predict-answer .eh-card").count() == len(expected) == 1
    assert_equal_probs(visitor.probs("predict", "native48"), expected[0].probs)

    with visitor.new_answer("predict"):
        visitor.example("einstein")
    visitor.tab("compare")
    visitor.wait_for_answer("compare")
    [pair] = compare(example_path("einstein"))
    assert_equal_probs(visitor.probs("compare", "upscale224"), pair.upscale224.prediction.probs)


def test_the_notice_is_above_the_camera(visitor: Visitor) -> None:
    notice, photo = visitor.page.locator("#notice").bounding_box(), visitor.page.locator("#photo").bounding_box()
    assert notice["y"] + notice["height"] <= photo["y"]
    words = visitor.page.locator("#notice").inner_text().lower()
    assert "photos" in words
    assert "camera" in words
    assert "Face detector: " in visitor.page.locator("#detector").inner_text()
