"""Answer fields that show an answer only beside its own photo.

The visitor may choose another photo before the answer arrives. Therefore the browser counts the changes of each tab's
photo field. A request contains the current count, and its answer contains the same count. The browser shows an answer
only if its count is still the current one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any

import gradio as gr

from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.render import message

__all__ = [
    "ANALYSING",
    "answer_field",
    "answer_value",
    "clear_on_change",
    "compute_answer",
    "copy_json",
    "photo_number",
    "session_id",
]

ANALYSING = message("Analysing the new photo.")

#: The template of an answer field, evaluated in the browser with the field's value and properties whenever one of
#: them changes. gradio can have two streams of results per visitor, so the value of an older photo may arrive after
#: that of the newest one: the newest photo's value is stored and stays visible.
_SHOWN = """${((kept) => {
    if (value && value.photo === photo) kept[field] = value;
    return kept[field] && kept[field].photo === photo ? kept[field].html : empty;
})(window.emotion_hub_answers ||= {})}"""

#: Runs in the browser and numbers a photo. gradio repeats a change event that waited for a running one: a photo
#: that has a number already keeps it.
_NUMBER = """(photo) => {
    const file = photo ? photo.path || photo.url : null, last = window[$name] || {number: 0, file: null};
    if (file === last.file) return [];
    const number = last.number + 1;
    window[$name] = {number, file};
    const field = ([removed, added]) => (
        {__type__: "update", value: null, props: {photo: number, empty: file ? added : removed}}
    );
    return [number, ...$fields.map(field), ...$raw];
}"""

#: Runs in the browser and returns the JSON of the answer that is shown.
_JSON = """(value) => {
    const number = (window[$name] || {number: 0}).number, kept = (window.emotion_hub_answers || {})[$field];
    const shown = [value, kept].find((answer) => answer && answer.photo === number);
    return [shown ? shown.json || [] : []];
}"""


def answer_field(elem_id: str, empty: str = "", photo: int = 0) -> gr.HTML:
    """A field for values of `answer_value`. It shows `empty` while it has no value for the newest photo.

    `photo` is the number of the newest photo at the start.
    """
    return gr.HTML(elem_id=elem_id, html_template=_SHOWN, js_on_load=None, photo=photo, empty=empty, field=elem_id)


def photo_number() -> gr.Number:
    """The number of the photo in the field, an input of every event that answers."""
    return gr.Number(0, precision=0, visible=False)


def answer_value(number: int, html: Any, faces: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The value of an answer field for the photo of this number; `gr.skip()` is returned unchanged."""
    return {"photo": number, "html": html, "json": list(faces)} if isinstance(html, str) else html


def session_id(request: gr.Request | None) -> str:
    """The browser session's id; empty without a request, as in a call from Python."""
    return getattr(request, "session_hash", None) or ""


def compute_answer(
    jobs: Jobs, number: int, request: gr.Request | None, compute: Callable[[], tuple[str, Sequence[Mapping[str, Any]]]]
) -> Any:
    """The value of an answer field, or `gr.skip()` when a newer photo has arrived during `compute`.

    A value for the older photo would replace that of the newer one.
    """
    session = session_id(request)
    jobs.newest(session, number)
    html, faces = compute()
    return gr.skip() if jobs.is_old(session, number) else answer_value(number, html, faces)


def clear_on_change(
    photo: PhotoInput,
    number: gr.Number,
    fields: Mapping[gr.HTML, tuple[str, str]],
    raw: gr.JSON | None = None,
    cancels: Sequence[Any] = (),
) -> None:
    """Number each new or removed photo and clear `fields` and `raw`, in the browser alone.

    Call it before other events of `photo`: they run in their order. `fields` maps an answer field to what it shows
    without a photo and while a new one is analysed. `cancels` are events that are cancelled, too.
    """
    cleared = [] if raw is None else [raw]
    photo.change(
        None,
        [photo],
        [number, *fields, *cleared],
        js=_script(_NUMBER, photo, fields=list(fields.values()), raw=[[] for _ in cleared]),
        cancels=list(cancels) or None,
        api_visibility="private",
        show_progress="hidden",
    )


def copy_json(answer: gr.HTML, photo: PhotoInput, raw: gr.JSON) -> None:
    """Copy the JSON of the answer that `answer` shows into `raw`, in the browser."""
    answer.change(
        None,
        [answer],
        [raw],
        js=_script(_JSON, photo, field=answer.elem_id),
        api_visibility="private",
        show_progress="hidden",
    )


def _script(text: str, photo: PhotoInput, **values: Any) -> str:
    """The script with `values` as JSON, and the name of the variable that holds the photo's number."""
    values["name"] = f"emotion_hub_{photo.elem_id}"
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})
