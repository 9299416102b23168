"""The Predict tab: one pipeline's answer for every face in a photo."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.errors import EmotionHubError
from emotion_hub.ui.answers import READING, answer_field, answer_of_photo, empty_on_change, json_of, photo_number
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import PhotoInput, example_photos, photo_input, scene_of
from emotion_hub.ui.picker import answers_note, model_picker
from emotion_hub.ui.render import message, prediction_cards

__all__ = ["predict_tab"]

WAITING = message("Give it a photo with a face: drop a file, paste one, take a snapshot, or pick an example.")
REFUSED = "This picture cannot be read."
NO_PHOTO = "no photo came; pass photo=handle_file(path)"
#: Seconds that a call of the API waits for its model; what takes longer is asked for again.
API_WAIT = 10.0

NO_FACE = "No face was found. Try a photo that shows it from the front, or take the whole picture as the face."


_JOBS = Jobs()


def predict_html(photo: str | bytes | None, model: str | None, whole: bool) -> tuple[str, list[dict[str, Any]]]:
    """The page's answer and the same as JSON; what is wrong with a photo is said in place of the answer."""
    if photo is None:
        return WAITING, []
    try:
        scene = scene_of(photo, whole)
        served = shared_pool().serve(model)
        faces = served.model.predictor.predict_detected([scene])[0]
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED), []
    if not faces:
        return message(NO_FACE, title=f"{scene.photo.width}×{scene.photo.height} pixels, no face."), []
    return answers_note(served.note) + prediction_cards(scene.photo, faces, side=served.model.role), [
        face.to_dict() for face in faces
    ]


def _predict(
    photo: str | bytes | None, model: str | None, whole: bool, number: int, request: gr.Request | None = None
) -> Any:
    """The value of the answer field for the photo of this number."""
    return answer_of_photo(_JOBS, number, request, lambda: predict_html(photo, model, whole))


def predict_json(photo: str | bytes | None, model: str, whole: bool) -> list[dict[str, Any]]:
    """The API's answer: a list with one object a face, largest first. No other model answers for the one that was named."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        predictor = shared_pool().get(model, API_WAIT).predictor
        return [face.to_dict() for face in predictor.predict_detected([scene_of(photo, whole)])[0]]
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def predict_tab() -> None:
    """Build the tab inside the current Blocks."""
    with gr.Row():
        with gr.Column(scale=2, min_width=260):
            photo: PhotoInput = photo_input("predict-photo")
            example_photos(photo)
            picker = model_picker("Network", "predict-model")
            whole = gr.Checkbox(label="Take the whole picture as the face", elem_id="predict-whole")
            run = gr.Button("Read the expression", variant="primary", elem_id="predict-run")
        with gr.Column(scale=3, min_width=260):
            answer = answer_field("predict-answer", WAITING)
            with gr.Accordion("The answer as JSON", open=False):
                raw = gr.JSON(show_label=False, elem_id="predict-json")
            number = photo_number()
    inputs = [photo, picker.model, whole]
    options = {"concurrency_id": "networks", "trigger_mode": "always_last"}
    empty_on_change(photo, number, {answer: (WAITING, READING)}, raw)
    gr.on(
        [run.click, photo.change, whole.change],
        _predict,
        [*inputs, number],
        answer,
        api_visibility="private",
        **options,
    )
    picker.settled(_predict, [*inputs, number], [answer], **options)
    json_of(answer, photo, raw)
    gr.Button(visible=False).click(
        predict_json,
        inputs,
        gr.JSON(visible=False),
        api_name="predict",
        api_description="Expressions of every face in a photo, largest face first: a list of objects with label, probs, bbox and timings.",
        concurrency_id="networks",
    )
