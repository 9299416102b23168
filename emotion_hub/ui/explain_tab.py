"""Layout and events of the Explain tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.explainers import METHODS
from emotion_hub.ui.answers import ANALYSING, answer_field
from emotion_hub.ui.choices import embedded_default
from emotion_hub.ui.explain import (
    BOTH,
    NOTHING,
    PREDICTED,
    QUICK,
    SHOWN,
    cancel,
    chosen_models,
    explain_json,
    explain_photo,
    stop_older,
)
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import WAITING
from emotion_hub.ui.picker import model_picker
from emotion_hub.ui.studio import Studio

__all__ = ["ExplainTab"]

UNIT = "explain"


def _labels(model: str | None, target: str, versus: str) -> tuple[Any, Any]:
    """Updates of the two label fields with the chosen models' labels; an unknown label is replaced by the default."""
    chosen = chosen_models(model)
    known = list(dict.fromkeys(label for choice in chosen for label in choice.model.predictor.labels.labels))

    def update(default: str, value: str) -> Any:
        return gr.update(choices=[default, *known], value=value if value in known else default)

    return update(PREDICTED, target), update(NOTHING, versus)


class ExplainTab:
    """The tab's layout and events."""

    name, title = "explain", "Explain"

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def answers(self) -> None:
        """Build buttons, progress and answer inside the tab."""
        gr.HTML('<h2 class="eh-hidden">Why the networks say this</h2>', elem_classes="eh-heading")
        with gr.Row(elem_classes="eh-buttons"):
            self.all = gr.Button("Add LIME and SHAP", min_width=140, elem_id="explain-all")
            self.measure = gr.Button("Measure the maps", min_width=140, elem_id="explain-measure")
            self.halt = gr.Button("Cancel", variant="stop", min_width=90, elem_id="explain-cancel")
        self.progress = answer_field("explain-progress")
        self.answer = answer_field("explain-answer", ANALYSING)
        self.studio.add(UNIT, self.name, {self.progress: ("", ""), self.answer: (WAITING, ANALYSING)})

    def settings(self) -> None:
        """Build the settings inside the current Blocks."""
        labels = checkpoint_summary(embedded_default("native48"))["labels"]  # until the chosen models are known
        self.picker = model_picker("Networks", "explain-model", first=[BOTH], value=BOTH)
        choices = [(METHODS[name].title, name) for name in SHOWN]
        self.methods = gr.CheckboxGroup(
            choices, value=list(QUICK), label="Methods that “Measure the maps” runs", elem_id="explain-methods"
        )
        self.target = gr.Dropdown(
            [PREDICTED, *labels], value=PREDICTED, label="Explain the label", elem_id="explain-target"
        )
        self.versus = gr.Dropdown(
            [NOTHING, *labels], value=NOTHING, label="Rather than the label", elem_id="explain-versus"
        )
        self.samples = gr.Slider(
            100,
            2000,
            400,
            step=100,
            label="Samples for LIME",
            info="More samples are slower and give a more stable map.",
            elem_id="explain-samples",
        )
        self.full = gr.Checkbox(label="All scores (each method runs five more times)", elem_id="explain-full")

    def connect(self) -> None:
        """Register the events, after `Studio.connect`."""
        studio = self.studio
        number = studio.units[UNIT].number
        settings = [self.picker.model, self.target, self.versus, self.samples, studio.whole, studio.face]
        outputs = [self.progress, self.answer, studio.face]
        nothing = gr.State("map")
        studio.compute(
            UNIT,
            explain_photo,
            [studio.photo, gr.State(list(QUICK)), nothing, *settings],
            outputs,
            concurrency_id="networks",
        )

        clicks = (
            (self.all, explain_photo, [gr.State(list(SHOWN)), nothing]),
            (self.measure, explain_photo, [self.methods, self.full]),
        )
        for button, fn, chosen in clicks:
            button.click(
                fn,
                [number, studio.photo, *chosen, *settings],
                outputs,
                api_visibility="private",
                show_progress="hidden",
                concurrency_id="explanations",  # a queue of their own: LIME does not delay other visitors' CAMs
                concurrency_limit=1,
            )
        for changed, inputs in ((studio.photo.change, studio.latest), (number.change, number)):
            changed(
                stop_older,
                [inputs],
                None,
                queue=False,
                trigger_mode="multiple",
                api_visibility="private",
                show_progress="hidden",
            )
        for event in (self.target.input, self.versus.input, studio.face.input):
            studio.clear(event, [UNIT])
        self.picker.connect(studio, [UNIT])
        self.picker.on_ready(_labels, [self.picker.model, self.target, self.versus], [self.target, self.versus])
        self.halt.click(cancel, number, self.progress, api_visibility="private", queue=False, show_progress="hidden")
        gr.Button(visible=False).click(
            explain_json,
            [
                studio.photo,
                gr.Textbox("gradcam", visible=False),
                gr.Textbox(shared_pool().default("native48"), visible=False),
                self.target,
                self.versus,
                self.samples,
                studio.whole,
            ],
            gr.JSON(visible=False),
            api_name="explain",
            api_description="Why a network gave the largest face its label: heatmap, signed map and metrics. method is"
            f" one of {', '.join(SHOWN)}.",
            concurrency_id="explanations",
        )
