"""Model picker: when answers are computed again."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from emotion_hub.ui.answers import answer_field
from emotion_hub.ui.choices import ROLE_VARIABLES
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.picker import ModelPicker, fallback_notes, model_picker
from emotion_hub.ui.studio import Studio

pytestmark = pytest.mark.usefixtures("new_pool")


def connected() -> tuple[gr.Blocks, ModelPicker, Studio]:
    """A page with one unit that uses the picker's model, and another that does not."""
    with gr.Blocks() as page:
        photo, run, whole = PhotoInput(), gr.Button(), gr.Checkbox()
        studio = Studio(photo, run, whole, gr.Radio(["1"]), first_tab="one", latest=gr.Number(0))
        for name in ("mine", "other"):
            studio.add(name, "one", {answer_field(name): ("", "")})
        picker = model_picker("Network", "picker", role="native48")
        studio.connect({})
        picker.connect(studio, ["mine"])
    return page, picker, studio


def clearing(page: gr.Blocks, studio: Studio) -> dict[str, Any]:
    """{what starts it: the event that gives the unit "mine", and no other, a new number}."""
    numbers = {name: unit.number._id for name, unit in studio.units.items()}
    found = {}
    for fn in page.fns.values():
        outputs = {output._id for output in fn.outputs}
        if fn.js and numbers["mine"] in outputs and numbers["other"] not in outputs:
            [event] = [event for _, event in map(tuple, fn.targets)]
            key = event if fn.trigger_after is None else f"after {_targets(page, fn.trigger_after)}"
            assert key not in found
            found[key] = fn
    return found


def _targets(page: gr.Blocks, index: int) -> str:
    return ", ".join(event for _, event in map(tuple, page.fns[index].targets))


def test_a_chosen_model_and_one_that_is_ready_answer_again() -> None:
    page, picker, studio = connected()
    found = clearing(page, studio)
    assert set(found) == {"change", "after tick"}
    assert list(map(tuple, found["change"].targets)) == [(picker.model._id, "change")]
    inputs = {key: [block._id for block in fn.inputs] for key, fn in found.items()}
    assert inputs == {
        "change": [studio.photo._id],
        "after tick": [studio.photo._id, picker.waiting._id],
    }, "a model that is still loading changes nothing"


@pytest.mark.parametrize(
    ("value", "is_replaced"), [("someone/faces", True), ("native48", False), ("", False)], ids=["Hub", "embedded", "no"]
)
def test_the_answers_on_arrival_are_replaced_by_those_of_the_operators_model_only(
    value: str, is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value:
        monkeypatch.setenv(ROLE_VARIABLES["native48"], value)
    shared_pool.cache_clear()
    page, picker, studio = connected()
    assert picker.model.value == (value or "native48")
    found = clearing(page, studio)
    assert ("after load" in found) is is_replaced
    if is_replaced:
        assert [block._id for block in found["after load"].inputs] == [studio.photo._id], "a fallback answers meanwhile"


def test_on_ready_waits_for_the_model() -> None:
    received: list[str] = []
    with gr.Blocks() as page:
        picker = model_picker("Network", "picker")
        one, two = gr.HTML(), gr.HTML()
        picker.on_ready(lambda name: received.append(name) or name, [picker.model], [one])
        picker.on_ready(lambda name: (name, name), [picker.model], [one, two])
    functions = [fn for fn in page.fns.values() if fn.name == "unless_waiting"]
    assert sorted(_targets(page, fn.trigger_after) for fn in functions) == ["change"] * 2 + ["load"] * 2 + ["tick"] * 2
    single, double = functions[0].fn, functions[3].fn
    assert single(True, "native48") == gr.skip()
    assert double(True, "native48") == (gr.skip(), gr.skip())
    assert received == []
    assert single(False, "native48") == "native48"
    assert received == ["native48"]
    assert double(False, "native48") == ("native48", "native48")


def test_notes_are_shown_once_each() -> None:
    html = fallback_notes("<b> is loading", "", "<b> is loading", "other")
    assert html.count('role="alert"') == 2
    assert "&lt;b&gt; is loading" in html
    assert fallback_notes("", "") == ""
