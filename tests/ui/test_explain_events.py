"""Events of the Explain tab: what is computed at once and what on request."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from emotion_hub.ui.explain import QUICK, SHOWN
from emotion_hub.ui.explain_tab import UNIT, ExplainTab
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.studio import Studio


@pytest.fixture(scope="module")
def tab() -> tuple[gr.Blocks, ExplainTab]:
    with gr.Blocks() as page:
        photo, run, whole, face = PhotoInput(), gr.Button(), gr.Checkbox(), gr.Radio(["1"])
        studio = Studio(photo, run, whole, face, first_tab="explain", latest=gr.Number(0))
        built = ExplainTab(studio)
        built.answers()
        built.settings()
        studio.connect({})
        built.connect()
    return page, built


def started_by(page: gr.Blocks, component: Any, event: str, name: str) -> Any:
    """The event of this component that calls the function of this name."""
    [found] = [fn for fn in page.fns.values() if fn.name == name and (component._id, event) in map(tuple, fn.targets)]
    return found


def test_quick_maps_are_computed_at_once_and_slow_ones_on_request(tab: tuple[gr.Blocks, ExplainTab]) -> None:
    page, built = tab
    number = built.studio.units[UNIT].number
    at_once = started_by(page, number, "change", "explain_photo")
    more = started_by(page, built.all, "click", "explain_photo")
    measured = started_by(page, built.measure, "click", "explain_photo")
    assert [block.value for block in at_once.inputs[2:4]] == [list(QUICK), "map"]
    assert [block.value for block in more.inputs[2:4]] == [list(SHOWN), "map"]
    assert [block._id for block in measured.inputs[2:4]] == [built.methods._id, built.full._id]
    assert set(QUICK) < set(SHOWN)
    for fn in (at_once, more, measured):
        assert [block._id for block in fn.inputs[:2]] == [number._id, built.studio.photo._id]
        assert fn.inputs[-1]._id == built.studio.face._id
        assert [block._id for block in fn.outputs] == [built.progress._id, built.answer._id, built.studio.face._id]
    assert (at_once.concurrency_id, more.concurrency_id, measured.concurrency_id) == (
        "networks",
        "explanations",
        "explanations",
    )


def test_a_new_photo_and_a_new_request_stop_older_maps_without_a_queue(tab: tuple[gr.Blocks, ExplainTab]) -> None:
    page, built = tab
    studio = built.studio
    for component, number in ((studio.photo, studio.latest), (studio.units[UNIT].number, studio.units[UNIT].number)):
        fn = started_by(page, component, "change", "stop_older")
        assert [block._id for block in fn.inputs] == [number._id]
        assert (fn.queue, fn.trigger_mode) == (False, "multiple")
    halt = started_by(page, built.halt, "click", "cancel")
    assert halt.queue is False
    assert [block._id for block in halt.outputs] == [built.progress._id], "the maps that are finished stay"


def test_label_and_face_are_explained_again_when_they_change(tab: tuple[gr.Blocks, ExplainTab]) -> None:
    page, built = tab
    number = built.studio.units[UNIT].number._id
    for component in (built.target, built.versus, built.studio.face):
        [fn] = [fn for fn in page.fns.values() if fn.js and (component._id, "input") in map(tuple, fn.targets)]
        assert number in {output._id for output in fn.outputs}
