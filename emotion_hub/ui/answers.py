"""Answer fields that show an answer only beside its own photo and settings.

The visitor may choose another photo before the answer arrives. Therefore the browser numbers the requests of each
answer (`studio`). A request carries its number, and its answer carries the same one. The browser shows an answer only
if its number is still the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any

import gradio as gr

from emotion_hub.ui.html.basics import message
from emotion_hub.ui.jobs import Jobs

__all__ = ["ANALYSING", "LIVE", "answer_field", "answer_value", "compute_answer", "copy_json", "session_id"]

ANALYSING = message("Analysing the photo.")

#: The id of the element whose text screen readers announce when it changes.
LIVE = "eh-live"

#: The template of an answer field, evaluated in the browser with the field's value and properties whenever one of
#: them changes. gradio can have two streams of results per visitor, so the value of an older request may arrive after
#: that of the newest one: the newest one's value is stored and stays visible. A new answer's verdict is announced.
_SHOWN = """${((kept) => {
    if (value && value.photo === photo && kept[field] !== value) {
        kept[field] = value;
        setTimeout(() => {
            const live = document.getElementById("$live");
            const said = document.querySelector(`#${field} .eh-verdict, #${field} .eh-note`);
            if (live && said && live.textContent !== said.textContent) live.textContent = said.textContent;
        }, 50);
    }
    return kept[field] && kept[field].photo === photo ? kept[field].html : empty;
})(window.emotion_hub_answers ||= {})}""".replace("$live", LIVE)

#: Runs in the browser and returns the JSON of the answer that is shown.
_JSON = """(value) => {
    const hub = window.emotion_hub || {due: {}}, number = hub.due[$unit] || 0;
    const kept = (window.emotion_hub_answers || {})[$field];
    const shown = [value, kept].find((answer) => answer && answer.photo === number);
    return [shown ? shown.json || [] : []];
}"""


def answer_field(elem_id: str, empty: str = "", initial: Mapping[str, Any] | None = None) -> gr.HTML:
    """A field for values of `answer_value`. It shows `empty` while it has no value for the newest request.

    `initial` is the answer to request 0, which the page shows on arrival.
    """
    return gr.HTML(
        value=dict(initial) if initial else None,
        elem_id=elem_id,
        elem_classes="eh-answer",
        html_template=_SHOWN,
        js_on_load=None,
        photo=0,
        empty=empty,
        field=elem_id,
    )


def answer_value(number: int, html: Any, faces: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The value of an answer field for the request of this number; `gr.skip()` is returned unchanged."""
    return {"photo": number, "html": html, "json": list(faces)} if isinstance(html, str) else html


def session_id(request: gr.Request | None) -> str:
    """The browser session's id; empty without a request, as in a call from Python."""
    return getattr(request, "session_hash", None) or ""


def compute_answer(
    jobs: Jobs, number: int, request: gr.Request | None, compute: Callable[[], tuple[str, Sequence[Mapping[str, Any]]]]
) -> Any:
    """The value of an answer field, or `gr.skip()` when a newer request has arrived during `compute`.

    A value for the older photo would replace that of the newer one.
    """
    session = session_id(request)
    jobs.newest(session, number)
    html, faces = compute()
    return gr.skip() if jobs.is_old(session, number) else answer_value(number, html, faces)


def copy_json(answer: gr.HTML, unit: str, raw: gr.JSON) -> None:
    """Copy the JSON of the answer that `answer`, a field of this unit, shows into `raw`, in the browser."""
    answer.change(
        None,
        [answer],
        [raw],
        js=Template(_JSON).substitute(unit=json.dumps(unit), field=json.dumps(answer.elem_id)),
        api_visibility="private",
        show_progress="hidden",
    )
