"""Layout and events of the Explain tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.explainers import METHODS
from emotion_hub.ui.answers import ANALYSING, answer_field, clear_on_change, photo_number
from emotion_hub.ui.choices import embedded_default
from emotion_hub.ui.explain import (
    BOTH,
    NOTHING,
    PREDICTED,
    QUICK,
    SHOWN,
    WAITING,
    cancel,
    chosen_models,
    explain_json,
    explain_photo,
    stop_older,
)
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import example_photos, photo_input
from emotion_hub.ui.picker import model_picker

__all__ = ["explain_tab"]


def _labels(model: str | None, target: str, versus: str) -> tuple[Any, Any]:
    """Updates of the two label fields with the chosen models' labels; an unknown label is replaced by the default."""
    chosen = chosen_models(model)
    known = list(dict.fromkeys(label for choice in chosen for label in choice.model.predictor.labels.labels))

    def update(default: str, value: str) -> Any:
        return gr.update(choices=[default, *known], value=value if value in known else default)

    return update(PREDICTED, target), update(NOTHING, versus)


def explain_tab() -> None:
    """Build the tab inside the current Blocks."""
    labels = checkpoint_summary(embedded_default("native48"))["labels"]  # until the chosen models are known
    with gr.Row():
        with gr.Column(scale=2, min_width=260):
            photo = photo_input("explain-photo")
            example_photos(photo)
            choices = [(METHODS[name].title, name) for name in SHOWN]
            methods = gr.CheckboxGroup(choices, value=list(QUICK), label="Methods", elem_id="explain-methods")
            picker = model_picker("Networks", "explain-model", first=[BOTH], value=BOTH)
            with gr.Row():
                target = gr.Dropdown(
                    [PREDICTED, *labels],
                    value=PREDICTED,
                    label="Explain the label",
                    min_width=120,
                    elem_id="explain-target",
                )
                versus = gr.Dropdown(
                    [NOTHING, *labels],
                    value=NOTHING,
                    label="Rather than the label",
                    min_width=120,
                    elem_id="explain-versus",
                )
            samples = gr.Slider(
                100,
                2000,
                400,
                step=100,
                label="Samples for LIME",
                info="More samples are slower and give a more stable map.",
                elem_id="explain-samples",
            )
            full = gr.Checkbox(label="All metrics (runs each method five more times)", elem_id="explain-full")
            whole = gr.Checkbox(label="Take the whole picture as the face", elem_id="explain-whole")
            run = gr.Button("Explain", variant="primary", elem_id="explain-run")
            with gr.Row():
                compare = gr.Button("Compare all methods", min_width=120, elem_id="explain-all")
                halt = gr.Button("Cancel", variant="stop", min_width=90, elem_id="explain-cancel")
        with gr.Column(scale=3, min_width=260):
            progress = answer_field("explain-progress")
            answer = answer_field("explain-answer", WAITING)
            number = photo_number()
    settings = [picker.model, target, versus, samples, full, whole, number]
    outputs, quick = [progress, answer], gr.State(list(QUICK))
    clicked = [
        button.click(
            explain_photo,
            [photo, chosen_methods, *settings],
            outputs,
            api_visibility="private",
            show_progress="hidden",
            concurrency_id="explanations",  # a queue of their own: LIME does not delay other visitors' CAMs
            concurrency_limit=1,
        )
        for button, chosen_methods in ((run, methods), (compare, gr.State(list(SHOWN))))
    ]
    clear_on_change(photo, number, {progress: ("", ""), answer: (WAITING, ANALYSING)}, cancels=clicked)
    photo.change(
        stop_older,
        [number],
        None,
        queue=False,
        trigger_mode="multiple",
        api_visibility="private",
        show_progress="hidden",
    )
    photo.change(
        explain_photo,
        [photo, quick, *settings],
        outputs,
        trigger_mode="always_last",
        concurrency_id="networks",
        api_visibility="private",
        show_progress="hidden",
    )
    picker.on_ready(_labels, [picker.model, target, versus], [target, versus], queue=False, show_progress="hidden")
    halt.click(cancel, number, progress, api_visibility="private", queue=False, show_progress="hidden")
    gr.Button(visible=False).click(
        explain_json,
        [
            photo,
            gr.Textbox("gradcam", visible=False),
            gr.Textbox(shared_pool().default("native48"), visible=False),
            target,
            versus,
            samples,
            whole,
        ],
        gr.JSON(visible=False),
        api_name="explain",
        api_description="Why a network gave the largest face its label: heatmap, signed map and metrics. method is"
        f" one of {', '.join(SHOWN)}.",
        concurrency_id="explanations",
    )
