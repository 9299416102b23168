"""The studio: which events start and clear which answers."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from emotion_hub.ui.demo import build_demo
from emotion_hub.ui.studio import PENDING
from tests.fakes.drawn_page import DrawnPage, drawn_page, event_of
from tests.fakes.javascript import check_syntax, needs_node


@pytest.fixture(scope="module")
def page() -> DrawnPage:
    return drawn_page()


def test_a_unit_is_pending_unless_the_page_has_its_answer(page: DrawnPage) -> None:
    assert {name: unit.number.value for name, unit in page.studio.units.items()} == {"first": 0, "second": PENDING}


def test_photo_main_button_and_every_tab_set_the_numbers_of_all_units(page: DrawnPage) -> None:
    numbers = {unit.number._id for unit in page.studio.units.values()}
    studio = page.studio
    for component, name in ((studio.photo, "change"), (studio.whole, "input"), (studio.run, "click")):
        assert numbers <= {output._id for output in page.event(component, name).outputs}
    for tab in page.tabs.values():
        assert numbers == {output._id for output in page.event(tab, "select").outputs}


def test_a_new_photo_also_clears_raw_answers_the_chosen_face_and_older_jobs(page: DrawnPage) -> None:
    outputs = {getattr(output, "elem_id", None) for output in page.event(page.studio.photo, "change").outputs}
    assert {"a", "b", "c", "raw", "latest", "face"} <= outputs
    assert {"latest", "face"}.isdisjoint(
        getattr(output, "elem_id", None) for output in page.event(page.studio.whole, "input").outputs
    )


def test_a_unit_is_computed_when_its_number_changes_and_the_newest_request_is_kept(page: DrawnPage) -> None:
    number = page.studio.units["second"].number
    [fn] = [fn for fn in page.demo.fns.values() if (number._id, "change") in map(tuple, fn.targets)]
    assert [block._id for block in fn.inputs] == [number._id, page.studio.photo._id]
    assert [block.elem_id for block in fn.outputs] == ["c"]
    assert (fn.trigger_mode, fn.api_visibility, fn.concurrency_id) == ("always_last", "private", "drawn")


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    return build_demo()


def named(demo: gr.Blocks, elem_id: str) -> Any:
    [found] = [block for block in demo.blocks.values() if getattr(block, "elem_id", None) == elem_id]
    return found


#: The components that each unit of the page writes to, by their ids.
UNITS = {
    frozenset({"compare-answer", "face"}),
    frozenset({"compare-ladder"}),
    frozenset({"compare-stress"}),
    frozenset({"predict-answer", "face"}),
    frozenset({"explain-progress", "explain-answer", "face"}),
}


def test_every_unit_of_the_page_gets_its_number_from_photo_button_and_tabs(demo: gr.Blocks) -> None:
    photo = event_of(demo, named(demo, "photo"), "change")
    numbers = {
        out._id for out in photo.outputs if isinstance(out, gr.Number) and out.elem_id is None
    }  # of the units, and of the newest photo
    computed: dict[int, frozenset[str]] = {}
    for fn in demo.fns.values():
        for component, event in map(tuple, fn.targets):
            if fn.fn and fn.outputs and event == "change" and component in numbers:
                assert fn.inputs[0]._id == component
                assert component not in computed, "one event computes a unit"
                computed[component] = frozenset(output.elem_id for output in fn.outputs)
    assert set(computed.values()) == UNITS
    assert len(computed) == len(UNITS)
    tabs = ["compare", "predict", "explain", "models", "about"]
    events = [photo, event_of(demo, named(demo, "run"), "click"), event_of(demo, named(demo, "whole"), "input")]
    for event in events + [event_of(demo, named(demo, f"tab-{name}"), "select") for name in tabs]:
        assert set(computed) <= {output._id for output in event.outputs}


def test_every_field_of_an_answer_is_cleared_with_the_photo(demo: gr.Blocks) -> None:
    fields = {
        block.elem_id for block in demo.blocks.values() if "eh-answer" in (getattr(block, "elem_classes", 0) or ())
    }
    assert fields == set().union(*UNITS) - {"face"}
    for elem_id, event in (("photo", "change"), ("whole", "input"), ("run", "click")):
        assert fields <= {getattr(out, "elem_id", None) for out in event_of(demo, named(demo, elem_id), event).outputs}


@needs_node
def test_every_script_of_the_page_is_a_function(demo: gr.Blocks, page: DrawnPage) -> None:
    scripts = {fn.js for each in (demo, page.demo) for fn in each.fns.values() if isinstance(fn.js, str)}
    assert len(scripts) > 10
    check_syntax(sorted(scripts))
