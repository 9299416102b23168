"""Models tab: all networks compared, measured speed, models of the Hub."""

from __future__ import annotations

import time
from functools import lru_cache
from html import escape

import gradio as gr

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.ui.charts import comparison_section, network_records, network_section
from emotion_hub.ui.charts.speed import measure_speed, speed_section
from emotion_hub.ui.choices import MAX_CHARACTERS, folder_choices
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.model_card import card_html
from emotion_hub.ui.models import Status, shared_pool

__all__ = ["load_html", "models_html", "models_tab", "speed_html"]

#: Seconds between two checks of a model that is loading.
TICK = 1.0

_WAITING = '<p class="eh-empty">The figures are shown as soon as they are read.</p>'

_SPEED = (
    '<div class="eh-part"><h3>Speed</h3>'
    "<p>How long does one face take? That depends on the computer, so it is measured when you ask for it.</p></div>"
)

_HUB = (
    '<div class="eh-part"><h3>Load another model</h3>'
    "<p>Any public model of the Hugging Face Hub that was made with emotion_hub can be loaded. Its weights are"
    " downloaded to this server; your photos are not sent to the Hub.</p></div>"
)


@lru_cache(maxsize=1)
def models_html() -> str:
    """The comparison of all embedded networks and a closed block for each; made once per process."""
    records = network_records()
    blocks = "".join(network_section(record) for record in records)
    return (
        f'<div class="eh-figures"><h3>All networks</h3>{comparison_section(records)}'
        f'<div class="eh-nets">{blocks}</div></div>'
    )


def speed_html() -> str:
    """The speed of the embedded networks, measured now."""
    pool = shared_pool()
    predictors = {name: pool.choose(name).model.predictor for name in embedded_checkpoints()}
    return speed_section(measure_speed(predictors), when=time.strftime("at %H:%M:%S UTC", time.gmtime()))


def load_html(name: str | None) -> tuple[str, bool]:
    """(the state of that model as HTML, whether it is still loading). The first call starts to load it.

    A model that is ready is shown with its facts and its card.
    """
    name = str(name or "").strip()
    if not name:
        return message("Type the name of a model first: owner/name.", kind="error"), False
    status = shared_pool().request(name)
    if status.pending:
        return message(f"{name}: {status.doing} …"), True
    if status.model is None:
        return message(f"{name} cannot be loaded: {status.problem}.".replace("..", "."), kind="error"), False
    return f"{_ready(status)}{card_html(status, heading=4)}", False


def _ready(status: Status) -> str:
    assert status.model is not None
    name, size = escape(status.name), status.model.preprocess.size
    side = "48" if status.model.role == "native48" else "224"
    return (
        f'<div class="eh-note eh-info"><strong>{name} is ready.</strong> Its input is {size} pixels, so it can be'
        f" chosen for the {side}-pixel side. To use it, type <code>{name}</code> into a model field of another tab"
        " and press Enter.</div>"
    )


def models_tab(tab: gr.Tab) -> None:
    """Build the contents of the tab inside the current Blocks; its figures are sent when the tab is first opened."""
    figures, shown = gr.HTML(_WAITING, elem_id="models-figures"), gr.State(False)
    gr.HTML(_SPEED)
    measure = gr.Button("Measure the speed on this server", elem_id="models-measure")
    speed = gr.HTML("", elem_id="models-speed")
    gr.HTML(_HUB)
    folders = f", or one of the folders {', '.join(folder_choices())}" if folder_choices() else ""
    name = gr.Textbox(
        label="Model",
        info=f"owner/name, or owner/name@revision{folders}",
        placeholder="owner/name",
        max_lines=1,
        max_length=MAX_CHARACTERS,
        elem_id="models-name",
    )
    load = gr.Button("Load", elem_id="models-load")
    state = gr.HTML("", elem_id="models-loaded")
    requested, timer = gr.State(""), gr.Timer(TICK, active=False)

    def show(is_shown: bool) -> tuple[object, bool]:
        return (gr.skip() if is_shown else models_html()), True

    def check(text: str | None) -> tuple[str, gr.Timer, str]:
        html, pending = load_html(text)
        return html, gr.Timer(active=pending), str(text or "")

    tab.select(show, shown, [figures, shown], api_visibility="private", queue=False, show_progress="hidden")
    measure.click(speed_html, None, speed, api_visibility="private", concurrency_limit=1, show_progress="minimal")
    for event, source in ((load.click, name), (name.submit, name), (timer.tick, requested)):
        event(check, source, [state, timer, requested], api_visibility="private", queue=False, show_progress="hidden")
