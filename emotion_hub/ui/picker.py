"""The model picker of a tab: a dropdown that takes any Hub id, and below it what is known of the model that was chosen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from emotion_hub.ui.choices import folder_choices
from emotion_hub.ui.model_card import card_html
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.render import message

__all__ = ["ModelPicker", "answers_note", "model_picker"]

#: Seconds between two looks at a model that is loading.
TICK = 1.0


@dataclass(frozen=True)
class ModelPicker:
    """The components: `model` holds the chosen name, `card` shows what is known of it; `looks` are the events that look where it stands."""

    model: gr.Dropdown
    card: gr.HTML
    waiting: gr.State
    looks: Sequence[Any]

    def settled(self, fn: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], **options: Any) -> None:
        """Run `fn` whenever a choice has settled: its model is ready, or refused."""

        nothing = gr.skip() if len(outputs) == 1 else (gr.skip(),) * len(outputs)

        wanting = "request" in inspect.signature(fn).parameters

        def unless_waiting(waiting: bool, request: gr.Request, *values: Any) -> Any:
            return nothing if waiting else fn(*values, *([request] if wanting else []))

        for look in self.looks:
            look.then(unless_waiting, [self.waiting, *inputs], outputs, api_visibility="private", **options)


def model_picker(
    label: str, elem_id: str, *, role: str | None = None, first: Sequence[str] = (), value: str | None = None
) -> ModelPicker:
    """Build a picker inside the current Blocks. `role` keeps it to one side of a comparison; `first` are choices that are no models.

    Choosing a model starts to load it, and nothing waits for that: a timer looks on while it loads, and at the page's start.
    """
    pool = shared_pool()
    names = [
        name
        for name in pool.names()
        if role is None or pool.operators.get(name) is None or pool.operators[name].role in (None, role)
    ]
    model = gr.Dropdown(
        [*first, *names],
        value=value or pool.default(role or "native48"),
        allow_custom_value=True,
        label=label,
        info=f"Choose one, or type owner/name{', ./folder' if folder_choices() else ''} or owner/name@revision of the Hub, then Enter.",
        elem_id=elem_id,
    )
    card = gr.HTML("", elem_id=f"{elem_id}-card")
    waiting, timer = gr.State(False), gr.Timer(TICK, active=False)

    def look(name: str | None) -> tuple[str, gr.Timer, bool]:
        """(card, the timer that looks again, whether the model is still loading)."""
        html, pending = ("", False) if name in first else _status(name, role)
        return html, gr.Timer(active=pending), pending

    options = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    outputs = [card, timer, waiting]
    looks = [
        event(look, model, outputs, **options)
        for event in (model.change, timer.tick, gr.context.Context.root_block.load)
    ]
    return ModelPicker(model, card, waiting, looks)


def _status(name: str | None, role: str | None) -> tuple[str, bool]:
    """(card as HTML, whether the model is still loading)."""
    pool = shared_pool()
    name = str(name or pool.default(role or "native48")).strip()
    status, served = pool.request(name), pool.serve(name, role)
    return card_html(status, served.note), status.pending


def answers_note(*notes: str) -> str:
    """What stands above an answer that another model gave than the one that was chosen; nothing where there is nothing to say."""
    return "".join(message(note, kind="error") for note in dict.fromkeys(notes) if note)
