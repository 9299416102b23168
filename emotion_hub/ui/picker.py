"""Model picker: a dropdown for any model, with facts of the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.gradio_compat import current_page
from emotion_hub.ui.choices import folder_choices
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.model_card import card_html
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.studio import Studio

__all__ = ["ModelPicker", "fallback_notes", "model_picker"]

#: Seconds between two checks of a model that is loading.
TICK = 1.0


@dataclass(frozen=True)
class ModelPicker:
    """The components of a picker: `model` holds the chosen name, `card` shows the model's facts.

    `waiting` holds whether the model is still loading. `loaded`, `chosen` and `ticked` are the events that check it:
    when the page is opened, when another model is chosen, and every second while it is loading.
    """

    model: gr.Dropdown
    card: gr.HTML
    waiting: gr.State
    loaded: Any
    chosen: Any
    ticked: Any

    def connect(self, studio: Studio, units: Sequence[str]) -> None:
        """Compute these units again when another model is chosen, and when it is ready or refused.

        Until it is ready, another model answers. The page on arrival has the answers of the embedded models.
        """
        studio.clear(self.model.change, units)
        studio.clear(self.ticked.then, units, self.waiting)
        if self.model.value in shared_pool().operators and self.model.value not in embedded_checkpoints():
            studio.clear(self.loaded.then, units)

    def on_ready(self, fn: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run `fn` when the chosen model is ready or refused."""
        nothing = gr.skip() if len(outputs) == 1 else (gr.skip(),) * len(outputs)

        def unless_waiting(waiting: bool, *values: Any) -> Any:
            return nothing if waiting else fn(*values)

        for event in (self.loaded, self.chosen, self.ticked):
            event.then(
                unless_waiting,
                [self.waiting, *inputs],
                list(outputs),
                api_visibility="private",
                queue=False,
                show_progress="hidden",
            )


def model_picker(
    label: str, elem_id: str, *, role: str | None = None, first: Sequence[str] = (), value: str | None = None
) -> ModelPicker:
    """Build a picker inside the current Blocks.

    `role` restricts it to one side of a comparison; `first` are choices that are not models. A chosen model is
    loaded in the background, and a timer checks it meanwhile.
    """
    pool = shared_pool()
    names = [
        name
        for name in pool.names()
        if role is None or pool.operators.get(name) is None or pool.operators[name].role in (None, role)
    ]
    form = "owner/name, ./folder" if folder_choices() else "owner/name"
    model = gr.Dropdown(
        [*first, *names],
        value=value or pool.default(role or "native48"),
        allow_custom_value=True,
        label=label,
        info=f"Choose a model, or type {form} or owner/name@revision of the Hub, then press Enter.",
        elem_id=elem_id,
    )
    card = gr.HTML("", elem_id=f"{elem_id}-card")
    waiting, timer = gr.State(False), gr.Timer(TICK, active=False)

    def check(name: str | None) -> tuple[str, gr.Timer, bool]:
        """(card, the timer of the next check, whether the model is still loading)."""
        html, pending = ("", False) if name in first else _status(name, role)
        return html, gr.Timer(active=pending), pending

    loaded, chosen, ticked = (
        event(check, model, [card, timer, waiting], api_visibility="private", queue=False, show_progress="hidden")
        for event in (current_page().load, model.change, timer.tick)
    )
    return ModelPicker(model, card, waiting, loaded, chosen, ticked)


def _status(name: str | None, role: str | None) -> tuple[str, bool]:
    """(card as HTML, whether the model is still loading)."""
    pool = shared_pool()
    name = str(name or pool.default(role or "native48")).strip()
    status, chosen = pool.request(name), pool.choose(name, role)
    # the Models tab has the cards of the embedded models; here they would be sent with every visit
    return card_html(status, chosen.note, with_card=name not in embedded_checkpoints()), status.pending


def fallback_notes(*notes: str) -> str:
    """The notes above an answer of another model than the chosen one, each once; empty without notes."""
    return "".join(message(note, kind="error") for note in dict.fromkeys(notes) if note)
