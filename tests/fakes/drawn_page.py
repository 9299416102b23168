"""A page with a studio and drawn units, for tests of its events and scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emotion_hub.ui.answers import answer_field
from emotion_hub.ui.photo import FIRST
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.studio import Studio

__all__ = ["TEXTS", "DrawnPage", "drawn_page", "event_of"]

SKIP = {"__type__": "update"}

#: What the fields "a", "b" (of the unit "first") and "c" (of "second") show without and while analysing a photo.
TEXTS = {name: (f"no photo {name}", f"analysing {name}") for name in "abc"}


@dataclass
class DrawnPage:
    """A page with two units in tabs of their own, and a tab without one."""

    demo: gr.Blocks
    studio: Studio
    tabs: dict[str, gr.Tab]
    setting: gr.Checkbox
    waiting: gr.State

    @property
    def photo_path(self) -> str:
        return self.studio.photo.value["path"]

    def event(self, component: Any, name: str) -> Any:
        """The event of this component that runs in the browser."""
        return event_of(self.demo, component, name)

    def script(self, component: Any, name: str) -> str:
        return self.event(component, name).js

    def changed(self, *paths: str | None) -> list[tuple[str, list[Any]]]:
        """The calls for changes of the photo to these files; None removes it."""
        script = self.script(self.studio.photo, "change")
        return [(script, [{"path": path} if path else None]) for path in paths]

    def opened(self, name: str) -> tuple[str, list[Any]]:
        return self.script(self.tabs[name], "select"), []

    def updates(self, component: Any, name: str, result: list[Any]) -> dict[Any, Any]:
        """{unit, or id of a field, or component: its new value}; fields that are left alone are not in it."""
        outputs = self.event(component, name).outputs
        assert len(result) == len(outputs)
        names = {unit.number._id: unit.name for unit in self.studio.units.values()}
        named = {names.get(out._id) or getattr(out, "elem_id", None) or out._id: out for out in outputs}
        assert len(named) == len(outputs), "no component is set twice"
        return {key: value for key, value in zip(named, result, strict=True) if value != SKIP}


def event_of(demo: gr.Blocks, component: Any, name: str) -> Any:
    [found] = [
        fn for fn in demo.fns.values() if fn.js and not fn.fn and (component._id, name) in map(tuple, fn.targets)
    ]
    return found


def drawn_page() -> DrawnPage:
    """The page: "first" in the tab "one", which is open, "second" in "two", and nothing in "three"."""
    tabs: dict[str, gr.Tab] = {}
    with gr.Blocks() as demo:
        photo, run = PhotoInput(str(FIRST.path), elem_id="photo"), gr.Button(elem_id="run")
        whole, face = gr.Checkbox(elem_id="whole"), gr.Radio(["1"], elem_id="face")
        studio = Studio(photo, run, whole, face, first_tab="one", latest=gr.Number(0, elem_id="latest"))
        with gr.Tabs():
            with gr.Tab("One") as tabs["one"]:
                a, b, raw = answer_field("a", TEXTS["a"][0]), answer_field("b"), gr.JSON(elem_id="raw")
            with gr.Tab("Two") as tabs["two"]:
                c = answer_field("c")
            with gr.Tab("Three") as tabs["three"]:
                gr.HTML("")
        studio.add("first", "one", {a: TEXTS["a"], b: TEXTS["b"]}, [raw], is_ready=True)
        studio.add("second", "two", {c: TEXTS["c"]})
        setting, waiting = gr.Checkbox(elem_id="setting"), gr.State(False)
        studio.connect(tabs)
        studio.clear(setting.input, ["second"], waiting)
        studio.compute("second", lambda number, photo: None, [photo], [c], concurrency_id="drawn")
    return DrawnPage(demo, studio, tabs, setting, waiting)
