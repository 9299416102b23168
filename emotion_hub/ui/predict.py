"""Predict tab: one network's prediction for every face in a photo."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.errors import EmotionHubError
from emotion_hub.ui.answers import ANALYSING, answer_field, clear_on_change, compute_answer, copy_json, photo_number
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import detected_photo, example_photos, photo_input
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.picker import fallback_notes, model_picker
from emotion_hub.ui.render import message, prediction_cards

__all__ = ["predict_tab"]

WAITING = message("Add a photo with a face: drop or paste a file, take a snapshot, or choose an example.")
REFUSED = "This picture cannot be read."
NO_PHOTO = "the photo is missing; pass photo=handle_file(path)"
NO_FACE = "No face was found. Try a photo that shows it from the front, or take the whole picture as the face."

#: Seconds that a call of the API waits for its model; the client must repeat the call after that.
API_WAIT = 10.0

_JOBS = Jobs()


def predict_html(photo: str | bytes | None, model: str | None, whole: bool) -> tuple[str, list[dict[str, Any]]]:
    """The page's answer, and the same as JSON; an error replaces the answer."""
    if photo is None:
        return WAITING, []
    try:
        detected = detected_photo(photo, whole)
        chosen = shared_pool().choose(model)
        faces = chosen.model.predictor.predict_detected([detected])[0]
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED), []
    image = detected.photo
    if not faces:
        return message(NO_FACE, title=f"{image.width}×{image.height} pixels, no face."), []
    sets = chosen.model.predictor.prediction_sets
    cards = prediction_cards(image, faces, side=chosen.model.role, sets=sets)
    return fallback_notes(chosen.note) + cards, [face.to_dict() for face in faces]


def _predict(
    photo: str | bytes | None, model: str | None, whole: bool, number: int, request: gr.Request | None = None
) -> Any:
    """The value of the answer field for the photo of this number."""
    return compute_answer(_JOBS, number, request, lambda: predict_html(photo, model, whole))


def predict_json(photo: str | bytes | None, model: str, whole: bool) -> list[dict[str, Any]]:
    """The API's result: a list with one object per face, largest first. No other model replaces the named one."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        predictor = shared_pool().get(model, API_WAIT).predictor
        return [face.to_dict() for face in predictor.predict_detected([detected_photo(photo, whole)])[0]]
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
            run = gr.Button("Predict the expression", variant="primary", elem_id="predict-run")
        with gr.Column(scale=3, min_width=260):
            answer = answer_field("predict-answer", WAITING)
            with gr.Accordion("The answer as JSON", open=False):
                raw = gr.JSON(show_label=False, elem_id="predict-json")
            number = photo_number()
    inputs = [photo, picker.model, whole]
    clear_on_change(photo, number, {answer: (WAITING, ANALYSING)}, raw)
    gr.on(
        [run.click, photo.change, whole.change],
        _predict,
        [*inputs, number],
        answer,
        api_visibility="private",
        concurrency_id="networks",
        trigger_mode="always_last",
    )
    picker.on_ready(_predict, [*inputs, number], [answer], concurrency_id="networks", trigger_mode="always_last")
    copy_json(answer, photo, raw)
    gr.Button(visible=False).click(
        predict_json,
        inputs,
        gr.JSON(visible=False),
        api_name="predict",
        api_description="Expressions of every face in a photo, largest face first: a list of objects with label, probs,"
        " bbox and timings.",
        concurrency_id="networks",
    )
