"""Models of the Hub in Chromium: chosen by id, their card as safe text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emotion_hub.models import create_model
from tests.fakes.demo_browser import chromium_marks, demo_server, face_crops
from tests.fakes.demo_page import Visitor

pytestmark = [*chromium_marks, pytest.mark.slow]
pytest.importorskip("playwright.sync_api")

HOSTILE = """# Faces of someone
<script>document.title = "taken"</script>
<img src=x onerror="document.title = 'taken'">
![pixel](https://tracker.example/pixel.png)
${document.title = "taken"} {{constructor}} [run](javascript:alert(1))
| a | b |
|---|---|
| one_word_that_is_far_too_long_for_any_phone | another_word_that_is_far_too_long_for_any_phone |
"""


@pytest.fixture(scope="module")
def hub_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` with a local Hub that has one model, and not the one that the operator named."""
    from tests.fakes import hub_server
    from tests.fakes.hub_models import checkpoint_files, put

    folder = tmp_path_factory.mktemp("hub_app")
    with hub_server.serve() as hub:
        put(hub, "someone/faces", checkpoint_files("emotion_cnn", README_md=HOSTILE))
        environment = hub.environment(folder / "home") | {"EMOTION_HUB_NATIVE48": "someone/absent"}
        with demo_server(folder, environment) as url:
            yield url


def assert_harmless(visitor: Visitor, card: str) -> None:
    """The card's script is text, nothing of it is loaded, and the page is not wider than the screen."""
    field = visitor.page.locator(card)
    field.locator("summary").first.click()
    field.locator(".eh-markdown").get_by_role("heading", name="Faces of someone").wait_for()
    assert "document.title" in field.inner_text(), "the script is shown as text"
    assert field.locator("img, script, iframe, form, style").count() == 0
    assert visitor.page.title() == "emotion_hub"
    assert [url for url in visitor.requested if not url.startswith((visitor.url, "data:", "blob:"))] == []
    assert visitor.overflow() <= 0


@pytest.mark.parametrize("width", [1280, 375])
def test_a_typed_hub_id_predicts_and_its_card_is_shown_as_safe_text(
    open_visitor: Callable[..., Visitor], hub_app: str, tmp_path: Path, width: int
) -> None:
    visitor = open_visitor(hub_app, width=width)
    page = visitor.page
    visitor.open_fold("advanced")
    page.locator("#predict-model-card .eh-error").wait_for()
    note = page.locator("#predict-model-card").inner_text()
    assert "someone/absent (named by EMOTION_HUB_NATIVE48)" in note
    assert "native48 is used instead" in note
    visitor.tab("predict")
    with visitor.new_answer("predict"):
        visitor.upload(face_crops(tmp_path)[0])
    page.locator('#predict-answer .eh-value[data-model="native48"]').first.wait_for()
    assert "native48 is used instead" in page.locator("#predict-answer .eh-error").inner_text()

    visitor.choose("predict-model", "someone/faces")
    page.locator('#predict-answer .eh-value[data-model="someone/faces"]').first.wait_for()
    parameters = sum(tensor.numel() for tensor in create_model("emotion_cnn", 7).parameters())
    assert f"{parameters:,}" in page.locator("#predict-model-card").inner_text()
    assert len(page.locator("#predict-model-card .eh-model").get_attribute("data-revision")) == 40
    assert_harmless(visitor, "#predict-model-card")

    visitor.choose("predict-model", "someone/absent")
    page.locator('#predict-answer .eh-value[data-model="native48"]').first.wait_for()
    visitor.tab("compare")
    visitor.choose("compare-native48", "someone/faces")
    page.locator("#compare-answer .eh-which").get_by_text("someone/faces").wait_for()
    assert visitor.overflow() <= 0


def test_the_models_tab_loads_a_model_of_the_hub_and_shows_its_card(
    open_visitor: Callable[..., Visitor], hub_app: str
) -> None:
    visitor = open_visitor(hub_app, width=375)
    visitor.tab("models")
    name = visitor.page.locator("#models-name input, #models-name textarea").first
    loaded = visitor.page.locator("#models-loaded")
    name.fill("someone/faces")
    visitor.page.locator("#models-load").click()
    loaded.get_by_text("is ready.").wait_for()
    assert_harmless(visitor, "#models-loaded")
    name.fill("someone/nothing")
    name.press("Enter")
    loaded.locator(".eh-error").get_by_text("cannot be loaded").wait_for()
