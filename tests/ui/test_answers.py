"""Answer fields: only the newest request's answer is shown."""

from __future__ import annotations

import gradio as gr

from emotion_hub.ui.answers import (
    LIVE,
    answer_field,
    answer_value,
    compute_answer,
    copy_json,
    session_id,
)
from emotion_hub.ui.jobs import Jobs
from tests.fakes.javascript import needs_node, run_scripts, run_template


def test_an_answer_carries_the_number_of_its_request_and_skipping_is_unchanged() -> None:
    assert answer_value(7, "<p>", [{"label": "sad"}]) == {"photo": 7, "html": "<p>", "json": [{"label": "sad"}]}
    assert answer_value(7, gr.skip()) == gr.skip()


def test_a_call_without_a_browser_has_an_empty_session() -> None:
    assert (session_id(None), session_id(gr.Request(session_hash="visitor"))) == ("", "visitor")


def test_an_answer_for_an_older_photo_does_not_replace_that_of_a_newer_one() -> None:
    jobs, request = Jobs(), gr.Request(session_hash="visitor")
    assert compute_answer(jobs, 1, request, lambda: ("old", []))["html"] == "old", "it is the newest so far"

    def newer_meanwhile() -> tuple[str, list]:
        assert compute_answer(jobs, 2, request, lambda: ("new", []))["html"] == "new"
        return "late", []

    assert compute_answer(jobs, 1, request, newer_meanwhile) == gr.skip()
    assert compute_answer(jobs, 1, request, lambda: ("later", [])) == gr.skip()
    assert compute_answer(jobs, 1, gr.Request(session_hash="another"), lambda: ("theirs", []))["html"] == "theirs"


def shown(*rows: tuple[dict | None, int]) -> tuple[list[list[str]], list[str]]:
    """The texts of a field for these (value, number of the newest request), one after another."""
    field = answer_field("answer", "nothing yet")
    return run_template(field.html_template, [field.props | {"value": value, "photo": photo} for value, photo in rows])


@needs_node
def test_a_field_shows_the_answer_to_the_newest_request_only() -> None:
    first, second, late = (answer_value(number, html) for number, html in ((1, "first"), (2, "second"), (1, "late")))
    texts, _ = shown((None, 0), (None, 1), (first, 1), (None, 2), (second, 2), (late, 2), (second, 3))
    assert [text for text, _ in texts] == [
        "nothing yet",
        "nothing yet",
        "first",
        "nothing yet",
        "second",
        "second",
        "nothing yet",
    ]


@needs_node
def test_a_stream_shows_its_last_value() -> None:
    texts, _ = shown(*[(answer_value(1, html), 1) for html in ("10%", "20%", "done")])
    assert [text for text, _ in texts] == ["10%", "20%", "done"]


@needs_node
def test_the_verdict_of_a_new_answer_is_announced_and_that_of_an_old_one_is_not() -> None:
    texts, asked = shown((None, 1), (answer_value(0, "old"), 1))
    assert [announced for _, announced in texts] == ["", ""]
    assert asked == []
    texts, asked = shown((answer_value(1, "new"), 1))
    assert texts[0][1] == "said #answer .eh-verdict, #answer .eh-note"
    assert LIVE in asked
    _, twice = shown(*[(answer_value(1, "new"), 1)] * 2)
    assert twice == asked, "an answer that is drawn again is not announced again"


def test_the_answer_on_arrival_is_that_to_request_0() -> None:
    field = answer_field("answer", initial=answer_value(0, "<p>ready</p>"))
    assert field.value == {"photo": 0, "html": "<p>ready</p>", "json": []}
    assert field.props["photo"] == 0
    assert answer_field("answer").value is None


@needs_node
def test_the_json_is_that_of_the_answer_that_is_shown() -> None:
    with gr.Blocks() as page:
        field, raw = answer_field("answer"), gr.JSON()
        copy_json(field, "unit", raw)
    [fn] = page.fns.values()
    assert [out._id for out in fn.outputs] == [raw._id]
    first, second = answer_value(1, "first", [{"n": 1}]), answer_value(2, "second", [{"n": 2}])
    none = answer_value(2, "no face")

    def copied(value: dict | None, due: dict[str, int], kept: dict | None = None) -> list:
        state = {"emotion_hub": {"due": due}, "emotion_hub_answers": {"answer": kept} if kept else {}}
        return run_scripts([(fn.js, [value])], state).results[0]

    assert copied(first, {"unit": 1}) == [[{"n": 1}]]
    assert copied(first, {"unit": 2}) == [[]]
    assert copied(first, {"unit": 2}, second) == [[{"n": 2}]], "the newest answer arrived first"
    assert copied(none, {"unit": 2}) == [[]]
    assert copied(answer_value(0, "ready", [{"n": 0}]), {}) == [[{"n": 0}]]
    assert run_scripts([(fn.js, [answer_value(0, "ready", [{"n": 0}])])]).results == [[[{"n": 0}]]]
