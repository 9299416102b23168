"""The Compare tab: both pipelines on the same face, what each saw and what each costs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.errors import EmotionHubError
from emotion_hub.predictor import DetectedPhoto, compare_scene
from emotion_hub.preprocess import FILTERS
from emotion_hub.results import Comparison
from emotion_hub.ui.answers import READING, answer_field, answer_of_photo, empty_on_change, json_of, photo_number
from emotion_hub.ui.choices import ROLES, embedded_default
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import ChosenModel, shared_pool
from emotion_hub.ui.photo import example_photos, photo_input, scene_of
from emotion_hub.ui.picker import answers_note, model_picker
from emotion_hub.ui.predict import NO_FACE, NO_PHOTO, REFUSED, WAITING
from emotion_hub.ui.render import MAX_CARDS, comparison_cards, message

__all__ = ["compare_tab"]

#: Runs of each pipeline; the median is shown.
REPEATS = 5


_JOBS = Jobs()


def _answers(
    scene: DetectedPhoto, small: ChosenModel, large: ChosenModel, upsample: str, **options: int
) -> list[Comparison]:
    upscale = large.model.predictor.with_upsample(upsample)
    return compare_scene(scene, native48=small.model.predictor, upscale224=upscale, **options)


def compare_html(
    photo: str | bytes | None, upsample: str, whole: bool, native48: str | None = None, upscale224: str | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """The page's answer and the same as JSON; what is wrong with a photo is said in place of the answer."""
    if photo is None:
        return WAITING, []
    try:
        scene = scene_of(photo, whole)
        sides = [shared_pool().serve(native48, "native48"), shared_pool().serve(upscale224, "upscale224")]
        faces = _answers(scene, *sides, upsample, repeats=REPEATS, limit=MAX_CARDS)
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED), []
    if not faces:
        return message(NO_FACE), []
    cards = comparison_cards(faces, upsample, left_out=len(scene.faces) - len(faces))
    return answers_note(*(side.note for side in sides)) + cards, [face.to_dict() for face in faces]


def _compare(
    photo: str | bytes | None,
    upsample: str,
    whole: bool,
    native48: str | None,
    upscale224: str | None,
    number: int,
    request: gr.Request | None = None,
) -> Any:
    """The value of the answer field for the photo of this number."""
    return answer_of_photo(_JOBS, number, request, lambda: compare_html(photo, upsample, whole, native48, upscale224))


def compare_json(photo: str | bytes | None, upsample: str, whole: bool) -> list[dict[str, Any]]:
    """The API's answer: a list with one object a face, largest first, by each side's default model; `model` says who answered."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        scene = scene_of(photo, whole)
        repeats = REPEATS if len(scene.faces) <= MAX_CARDS else 1
        sides = [shared_pool().serve(None, role) for role in ROLES]
        return [face.to_dict() for face in _answers(scene, *sides, upsample, repeats=repeats)]
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _trained_on(upsample: str) -> str:
    return f"The network was trained on {upsample}; the others show how much the filter matters."


def _filter_of(model: str | None) -> dict[str, Any]:
    """The filter that the network was trained on, chosen and named."""
    upsample = shared_pool().serve(model, "upscale224").model.preprocess.upsample
    return gr.update(value=upsample, info=_trained_on(upsample))


def compare_tab() -> None:
    """Build the tab inside the current Blocks."""
    trained = checkpoint_summary(embedded_default("upscale224"))["preprocess"][
        "upsample"
    ]  # until the model that answers is known
    with gr.Row():
        with gr.Column(scale=2, min_width=260):
            photo = photo_input("compare-photo")
            example_photos(photo)
            small = model_picker("Network on 48 pixels", "compare-native48", role="native48")
            large = model_picker("Network on 224 pixels", "compare-upscale224", role="upscale224")
            upsample = gr.Radio(
                list(FILTERS),
                value=trained,
                label="Upsampling filter, 48 to 224 pixels",
                info=_trained_on(trained),
                elem_id="compare-upsample",
            )
            whole = gr.Checkbox(label="Take the whole picture as the face", elem_id="compare-whole")
            run = gr.Button("Compare both pipelines", variant="primary", elem_id="compare-run")
        with gr.Column(scale=3, min_width=260):
            answer = answer_field("compare-answer", WAITING)
            with gr.Accordion("The answer as JSON", open=False):
                raw = gr.JSON(show_label=False, elem_id="compare-json")
            number = photo_number()
    inputs = [photo, upsample, whole]
    everything, options = (
        [*inputs, small.model, large.model, number],
        {"concurrency_id": "networks", "trigger_mode": "always_last"},
    )
    empty_on_change(photo, number, {answer: (WAITING, READING)}, raw)
    triggers = [run.click, photo.change, upsample.change, whole.change]
    gr.on(triggers, _compare, everything, answer, api_visibility="private", **options)
    for picker in (small, large):
        picker.settled(_compare, everything, [answer], **options)
    json_of(answer, photo, raw)
    large.settled(_filter_of, [large.model], [upsample], queue=False, show_progress="hidden")
    gr.Button(visible=False).click(
        compare_json,
        inputs,
        gr.JSON(visible=False),
        api_name="compare",
        api_description="native48 and upscale224 on every face of a photo, largest face first, with distance and time ratios.",
        concurrency_id="networks",
    )
