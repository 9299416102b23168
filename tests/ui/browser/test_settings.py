"""Settings of the demo in Chromium: filter, models, stress test."""

from __future__ import annotations

import pytest

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.comparison import compare
from emotion_hub.examples import example_path
from emotion_hub.faces import locate
from emotion_hub.images import load_image
from emotion_hub.perturb import StressSettings, stress
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui.html.basics import face_url
from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import Visitor, assert_equal_probs

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

PHOTO = example_path("astronaut")


@pytest.fixture(scope="module", autouse=True)
def one_photo(visitor: Visitor) -> None:
    with visitor.new_answer("ladder"), visitor.new_answer("compare"):
        visitor.example("astronaut")


def test_both_inputs_are_shown_with_the_pixels_of_their_network(visitor: Visitor) -> None:
    [pair] = compare(PHOTO)
    for model, side in (("native48", pair.native48), ("upscale224", pair.upscale224)):
        seen = visitor.page.locator(f'#compare-answer .eh-compare img.eh-seen[data-model="{model}"]')
        assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(side.prepared.size)
    first = visitor.page.locator('#compare-answer img.eh-seen[data-model="native48"]')
    assert first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    visitor.page.locator("#compare-answer [data-fold=costs] summary").click()
    words = visitor.page.locator('#compare-answer [data-ratio="inference"]').inner_text()
    assert words.endswith("times as long"), "the ratio says in which direction"


def test_another_filter_is_compared_at_once(visitor: Visitor) -> None:
    visitor.tab("compare")
    visitor.open_fold("advanced")
    with visitor.new_answer("ladder"), visitor.new_answer("compare"):
        visitor.page.locator("#compare-upsample").get_by_label("bilinear").check()
    assert "(bilinear)" in visitor.page.locator("#compare-answer .eh-view").last.inner_text()
    [pair] = compare(PHOTO, upscale224=EmotionPredictor.from_pretrained("upscale224").with_upsample("bilinear"))
    assert_equal_probs(visitor.probs("compare", "upscale224"), pair.upscale224.prediction.probs)
    trained = checkpoint_summary("upscale224")["preprocess"]["upsample"]
    assert trained != "bilinear"
    with visitor.new_answer("ladder"), visitor.new_answer("compare"):
        visitor.page.locator("#compare-upsample").get_by_label(trained, exact=True).check()


def test_the_sliders_of_the_stress_test_change_the_answer_and_undo_restores_it(visitor: Visitor) -> None:
    visitor.tab("compare")
    visitor.open_fold("stress")
    field = visitor.page.locator("#compare-stress")
    assert "Move a slider" in field.inner_text()
    visitor.set_number("stress-blur", 1.5)
    field.get_by_text("Applied: blur 1.5").wait_for()
    visitor.set_number("stress-rotation", 20)
    field.get_by_text("rotation 20").wait_for()
    changed = stress(locate(load_image(PHOTO)).faces[0], StressSettings({"blur": 1.5, "rotation": 20.0}))
    shown = visitor.pictures("#compare-stress figure img")
    assert shown == {face_url(changed.native48.prepared), face_url(changed.upscale224.prepared)}
    for name, side in (("native48", changed.native48), ("upscale224", changed.upscale224)):
        after = field.locator(f'tr[data-model="{name}"] td').last.inner_text()
        assert side.prediction.label in after
        assert f"{side.prediction.confidence:.0%}" in after
    visitor.page.locator("#stress-reset").click()
    field.get_by_text("Move a slider").wait_for()
    assert visitor.page.locator("#stress-blur input[type=number]").input_value() == "0"
    assert visitor.page.locator("#compare-answer .eh-compare").count() == 1, "the comparison stays"


def test_another_model_predicts_after_it_is_chosen(visitor: Visitor) -> None:
    visitor.tab("predict")
    visitor.wait_for_answer("predict")
    with visitor.new_answer("predict"):
        visitor.choose("predict-model", "upscale224")
    visitor.page.locator('#predict-answer .eh-value[data-model="upscale224"]').first.wait_for()
    expected = EmotionPredictor.from_pretrained("upscale224").predict(PHOTO)[0]
    assert_equal_probs(visitor.probs("predict", "upscale224"), expected.probs)
