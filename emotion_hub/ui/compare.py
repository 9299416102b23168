"""Compare tab: both networks' predictions, inputs and costs per face."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.comparison import compare_detected
from emotion_hub.errors import EmotionHubError
from emotion_hub.preprocess import FILTERS
from emotion_hub.ui.answers import ANALYSING, answer_field, clear_on_change, compute_answer, copy_json, photo_number
from emotion_hub.ui.choices import embedded_default
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import ChosenModel, shared_pool
from emotion_hub.ui.photo import detected_photo, example_photos, photo_input
from emotion_hub.ui.picker import fallback_notes, model_picker
from emotion_hub.ui.predict import NO_FACE, NO_PHOTO, REFUSED, WAITING
from emotion_hub.ui.render import MAX_CARDS, comparison_cards, message

__all__ = ["compare_tab"]

#: Runs of each network per face, of which the one with the median time is shown.
REPEATS = 5

_JOBS = Jobs()


def _sides(native48: str | None, upscale224: str | None) -> tuple[ChosenModel, ChosenModel]:
    """The models to use on both sides of the comparison."""
    pool = shared_pool()
    return pool.choose(native48, "native48"), pool.choose(upscale224, "upscale224")


def compare_html(
    photo: str | bytes | None, upsample: str, whole: bool, native48: str | None = None, upscale224: str | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """The page's answer, and the same as JSON; an error replaces the answer."""
    if photo is None:
        return WAITING, []
    try:
        detected = detected_photo(photo, whole)
        small, large = _sides(native48, upscale224)
        faces = compare_detected(
            detected,
            native48=small.model.predictor,
            upscale224=large.model.predictor.with_upsample(upsample),
            repeats=REPEATS,
            limit=MAX_CARDS,
        )
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED), []
    if not faces:
        return message(NO_FACE), []
    cards = comparison_cards(faces, upsample, left_out=len(detected.faces) - len(faces))
    return fallback_notes(small.note, large.note) + cards, [face.to_dict() for face in faces]


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
    return compute_answer(_JOBS, number, request, lambda: compare_html(photo, upsample, whole, native48, upscale224))


def compare_json(photo: str | bytes | None, upsample: str, whole: bool) -> list[dict[str, Any]]:
    """The API's result: a list with one object per face, largest first, by each side's default model.

    `model` names the model that was used.
    """
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        detected = detected_photo(photo, whole)
        small, large = _sides(None, None)
        faces = compare_detected(
            detected,
            native48=small.model.predictor,
            upscale224=large.model.predictor.with_upsample(upsample),
            repeats=REPEATS if len(detected.faces) <= MAX_CARDS else 1,
        )
        return [face.to_dict() for face in faces]
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _trained_on(upsample: str) -> str:
    return f"The network was trained on {upsample}; the other filters show how much the filter matters."


def _filter_of(model: str | None) -> dict[str, Any]:
    """An update of the filter field to the filter that the network was trained on."""
    upsample = shared_pool().choose(model, "upscale224").model.preprocess.upsample
    return gr.update(value=upsample, info=_trained_on(upsample))


def compare_tab() -> None:
    """Build the tab inside the current Blocks."""
    # the filter of the embedded checkpoint, until the chosen model is known
    trained = checkpoint_summary(embedded_default("upscale224"))["preprocess"]["upsample"]
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
            run = gr.Button("Compare both networks", variant="primary", elem_id="compare-run")
        with gr.Column(scale=3, min_width=260):
            answer = answer_field("compare-answer", WAITING)
            with gr.Accordion("The answer as JSON", open=False):
                raw = gr.JSON(show_label=False, elem_id="compare-json")
            number = photo_number()
    inputs = [photo, upsample, whole]
    all_inputs = [*inputs, small.model, large.model, number]
    clear_on_change(photo, number, {answer: (WAITING, ANALYSING)}, raw)
    gr.on(
        [run.click, photo.change, upsample.change, whole.change],
        _compare,
        all_inputs,
        answer,
        api_visibility="private",
        concurrency_id="networks",
        trigger_mode="always_last",
    )
    for picker in (small, large):
        picker.on_ready(_compare, all_inputs, [answer], concurrency_id="networks", trigger_mode="always_last")
    copy_json(answer, photo, raw)
    large.on_ready(_filter_of, [large.model], [upsample], queue=False, show_progress="hidden")
    gr.Button(visible=False).click(
        compare_json,
        inputs,
        gr.JSON(visible=False),
        api_name="compare",
        api_description="native48 and upscale224 on every face of a photo, largest face first, with the distance of"
        " their distributions and time ratios.",
        concurrency_id="networks",
    )
