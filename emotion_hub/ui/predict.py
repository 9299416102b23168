"""Predict tab: one network's prediction for every face in a photo."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emotion_hub.errors import EmotionHubError
from emotion_hub.ui.answers import ANALYSING, answer_field, compute_answer, copy_json
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.html.prediction import prediction_answer
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import NO_FACE, NO_PHOTO, REFUSED, WAITING, answered_faces, detected_photo
from emotion_hub.ui.picker import fallback_notes, model_picker
from emotion_hub.ui.studio import Studio

__all__ = ["API_WAIT", "PredictTab", "predict_html", "predict_json"]

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
    answer = prediction_answer(
        image,
        faces,
        side=chosen.model.role,
        sets=chosen.model.predictor.prediction_sets,
        figures=chosen.model.figures,
    )
    return fallback_notes(chosen.note) + answer, [face.to_dict() for face in faces]


def _predict(
    number: int, photo: str | bytes | None, model: str | None, whole: bool, request: gr.Request | None = None
) -> Any:
    """The values of the answer field and of the choice of faces for the request of this number."""
    if number < 0:
        return gr.skip(), gr.skip()
    answer = compute_answer(_JOBS, number, request, lambda: predict_html(photo, model, whole))
    return answer, answered_faces(answer)


def predict_json(photo: str | bytes | None, model: str, whole: bool) -> list[dict[str, Any]]:
    """The API's result: a list with one object per face, largest first. No other model replaces the named one."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        predictor = shared_pool().get(model, API_WAIT).predictor
        return [face.to_dict() for face in predictor.predict_detected([detected_photo(photo, whole)])[0]]
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


class PredictTab:
    """The tab's layout and events."""

    name, title = "predict", "Predict"

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def answers(self) -> None:
        """Build the answer inside the tab."""
        gr.HTML('<h2 class="eh-hidden">What one network says of every face</h2>', elem_classes="eh-heading")
        self.answer = answer_field("predict-answer", ANALYSING)
        with gr.Accordion("The answer as JSON", open=False):
            self.raw = gr.JSON(show_label=False, elem_id="predict-json")
        self.studio.add("predict", self.name, {self.answer: (WAITING, ANALYSING)}, [self.raw])

    def settings(self) -> None:
        """Build the settings inside the current Blocks."""
        self.picker = model_picker("Network", "predict-model")

    def connect(self) -> None:
        """Register the events, after `Studio.connect`."""
        studio = self.studio
        inputs = [studio.photo, self.picker.model, studio.whole]
        studio.compute("predict", _predict, inputs, [self.answer, studio.face], concurrency_id="networks")
        self.picker.connect(studio, ["predict"])
        copy_json(self.answer, "predict", self.raw)
        gr.Button(visible=False).click(
            predict_json,
            inputs,
            gr.JSON(visible=False),
            api_name="predict",
            api_description="Expressions of every face in a photo, largest face first: a list of objects with label,"
            " probs, bbox and timings.",
            concurrency_id="networks",
        )
