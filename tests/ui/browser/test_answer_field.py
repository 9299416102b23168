"""Answer fields in Chromium: an older answer does not replace the newest."""

from __future__ import annotations

import gradio as gr
import pytest

from emotion_hub.ui.answers import answer_field, answer_value, copy_json
from tests.fakes.demo_browser import chromium_marks

pytestmark = [*chromium_marks, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api")


# gradio's queue statistics use a keyword that pandas 3 deprecates, after each event of an app in this process
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
def test_an_older_answer_that_arrives_last_does_not_replace_the_newest(browser: playwright.Browser) -> None:
    with gr.Blocks() as page_of_one_field:
        raw = gr.JSON(elem_id="raw")
        field = answer_field("field", "empty")
        for number, name in ((1, "newest"), (0, "older"), (2, "of a later photo")):
            gr.Button(name).click(
                lambda number=number, name=name: answer_value(number, name, [{"name": name}]),
                None,
                field,
                show_progress="hidden",  # the field holds nothing but the answer
            )
        gr.Button("request 1").click(
            None,
            None,
            field,
            js='() => ({__type__: "update", value: null, props: {photo: 1, empty: "empty", field: "field"}})',
            show_progress="hidden",
        )
        copy_json(field, "unit", raw)
    _, url, _ = page_of_one_field.launch(prevent_thread_lock=True, quiet=True, run_history=False)
    try:
        page = browser.new_page()
        page.set_default_timeout(180_000)
        page.goto(url)
        page.get_by_text("empty").wait_for()
        page.evaluate("() => { window.emotion_hub = {count: 1, due: {unit: 1}}; }")
        page.get_by_role("button", name="request 1").click()
        for name, shown in (
            ("older", "empty"),
            ("newest", "newest"),
            ("older", "newest"),
            ("of a later photo", "newest"),
        ):
            with page.expect_response(lambda response: "queue/join" in response.url):
                page.get_by_role("button", name=name).click()
            answer = page.locator("#field .html-container")  # beside it, gradio counts the seconds of a slow request
            if shown == name:
                answer.get_by_text(shown).wait_for()
            page.wait_for_timeout(2_000)  # a wrong answer would replace the field's meanwhile
            assert answer.inner_text().strip() == shown, name
        assert "newest" in page.locator("#raw").inner_text()
        assert "older" not in page.locator("#raw").inner_text()
        page.close()
    finally:
        page_of_one_field.close()
