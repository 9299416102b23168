"""Answers that the browser shows beside their own photo only.

A photo can change while its answer is computed, waits in the queue or is on its way. In the browser, each tab numbers every new photo and every removal.
An event sends the number of its photo, the answer carries it back, and the browser shows the answer while that number is the newest. So no answer appears
beside another photo, however late it arrives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any

import gradio as gr

from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.photo import PhotoInput
from emotion_hub.ui.render import message

__all__ = [
    "READING",
    "answer_field",
    "answer_of_photo",
    "empty_on_change",
    "json_of",
    "of_photo",
    "photo_number",
    "session_of",
]

READING = message("Looking at the new photo.")

#: Evaluated in the browser with the field's value and its properties, whenever one of them changes. gradio can have two streams of results for one visitor, so
#: a value of an older photo may come after that of the newest one: the latter is kept, and goes on being shown.
_SHOWN = """${((kept) => {
    if (value && value.photo === photo) kept[field] = value;
    return kept[field] && kept[field].photo === photo ? kept[field].html : empty;
})(window.emotion_hub_answers ||= {})}"""

#: Runs in the browser. gradio repeats a change event that waited for a running one: a photo that is numbered already keeps its number.
_NUMBER = """(photo) => {
    const file = photo ? photo.path || photo.url : null, last = window[$name] || {number: 0, file: null};
    if (file === last.file) return [];
    const number = last.number + 1;
    window[$name] = {number, file};
    const emptied = $fields.map(([gone, coming]) => ({__type__: "update", value: null, props: {photo: number, empty: file ? coming : gone}}));
    return [number, ...emptied, ...$raw];
}"""

#: Runs in the browser: the JSON of the answer that is shown.
_JSON = """(value) => {
    const number = (window[$name] || {number: 0}).number, kept = (window.emotion_hub_answers || {})[$field];
    const shown = [value, kept].find((answer) => answer && answer.photo === number);
    return [shown ? shown.json || [] : []];
}"""


def answer_field(elem_id: str, empty: str = "", photo: int = 0) -> gr.HTML:
    """A field for values of `of_photo`; it shows `empty` where it has none of the newest photo, at first the one of number `photo`."""
    return gr.HTML(elem_id=elem_id, html_template=_SHOWN, js_on_load=None, photo=photo, empty=empty, field=elem_id)


def photo_number() -> gr.Number:
    """The number of the photo in the field: a last input of every event that answers."""
    return gr.Number(0, precision=0, visible=False)


def of_photo(number: int, html: Any, faces: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The value of an answer field; `gr.skip()` stays what it is."""
    return {"photo": number, "html": html, "json": list(faces)} if isinstance(html, str) else html


def session_of(request: gr.Request | None) -> str:
    """The browser session's id; empty where there is none, as in a call from Python."""
    return getattr(request, "session_hash", None) or ""


def answer_of_photo(
    jobs: Jobs, number: int, request: gr.Request | None, compute: Callable[[], tuple[str, Sequence[Mapping[str, Any]]]]
) -> Any:
    """The value of an answer field, or `gr.skip()` where a newer photo came meanwhile: an old value would replace the newer one's, and hide it."""
    session = session_of(request)
    jobs.newest(session, number)
    html, faces = compute()
    return gr.skip() if jobs.is_old(session, number) else of_photo(number, html, faces)


def empty_on_change(
    photo: PhotoInput,
    number: gr.Number,
    fields: Mapping[gr.HTML, tuple[str, str]],
    raw: gr.JSON | None = None,
    cancels: Sequence[Any] = (),
) -> None:
    """Number each new or removed photo and empty `fields` and `raw`, in the browser alone. Call it before other events of `photo`: they run in their order.

    `fields` maps an answer field to what it shows without a photo and while a new one is looked at. `cancels` are events that are cancelled as well.
    """
    emptied = [] if raw is None else [raw]
    js = _script(_NUMBER, photo, fields=list(fields.values()), raw=[[] for _ in emptied])
    outputs, options = [number, *fields, *emptied], {"api_visibility": "private", "show_progress": "hidden"}
    photo.change(None, [photo], outputs, js=js, cancels=list(cancels) or None, **options)


def json_of(answer: gr.HTML, photo: PhotoInput, raw: gr.JSON) -> None:
    """Let `raw` hold the JSON of the answer that `answer` shows."""
    answer.change(
        None,
        [answer],
        [raw],
        js=_script(_JSON, photo, field=answer.elem_id),
        api_visibility="private",
        show_progress="hidden",
    )


def _script(text: str, photo: PhotoInput, **values: Any) -> str:
    values["name"] = f"emotion_hub_{photo.elem_id}"
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})
