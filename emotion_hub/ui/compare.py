"""Compare tab: both networks' predictions, inputs and costs per face."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary, pair_figures
from emotion_hub.comparison import compare_detected
from emotion_hub.errors import EmotionHubError
from emotion_hub.preprocess import FILTERS
from emotion_hub.ui.answers import ANALYSING, answer_field, answer_value, compute_answer, copy_json
from emotion_hub.ui.choices import embedded_default
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.html.comparison import MAX_FACES, comparison_answer
from emotion_hub.ui.html.pair import pair_section
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import ChosenModel, shared_pool
from emotion_hub.ui.photo import FIRST, NO_FACE, NO_PHOTO, REFUSED, WAITING, answered_faces, detected_photo
from emotion_hub.ui.picker import fallback_notes, model_picker
from emotion_hub.ui.studio import Studio
from emotion_hub.ui.what_if import WhatIf

__all__ = ["CompareTab", "compare_html", "compare_json", "sides"]

#: Runs of each network per face, of which the one with the median time is shown.
REPEATS = 5

_JOBS = Jobs()


def sides(native48: str | None, upscale224: str | None) -> tuple[ChosenModel, ChosenModel]:
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
        small, large = sides(native48, upscale224)
        faces = compare_detected(
            detected,
            native48=small.model.predictor,
            upscale224=large.model.predictor.with_upsample(upsample),
            repeats=REPEATS if len(detected.faces) == 1 else 1,
            limit=MAX_FACES,
        )
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED), []
    if not faces:
        return message(NO_FACE), []
    answer = comparison_answer(
        detected.photo,
        faces,
        upsample,
        left_out=len(detected.faces) - len(faces),
        figures={"native48": small.model.figures, "upscale224": large.model.figures},
        note=pair_section(pair_figures()),
    )
    return fallback_notes(small.note, large.note) + answer, [face.to_dict() for face in faces]


@lru_cache(maxsize=1)
def _first_answer() -> dict[str, Any]:
    """The answer for the first example by the embedded networks, computed once per process."""
    html, faces = compare_html(
        str(FIRST.path), _trained_filter(), False, embedded_default("native48"), embedded_default("upscale224")
    )
    return answer_value(0, html, faces)


def _compare(
    number: int,
    photo: str | bytes | None,
    upsample: str,
    whole: bool,
    native48: str | None,
    upscale224: str | None,
    request: gr.Request | None = None,
) -> Any:
    """The values of the answer field and of the choice of faces for the request of this number."""
    if number <= 0:  # the page shows the answer to request 0 on arrival
        return gr.skip(), gr.skip()
    answer = compute_answer(_JOBS, number, request, lambda: compare_html(photo, upsample, whole, native48, upscale224))
    return answer, answered_faces(answer)


def compare_json(photo: str | bytes | None, upsample: str, whole: bool) -> list[dict[str, Any]]:
    """The API's result: a list with one object per face, largest first, by each side's default model.

    `model` names the model that was used.
    """
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        detected = detected_photo(photo, whole)
        small, large = sides(None, None)
        faces = compare_detected(
            detected,
            native48=small.model.predictor,
            upscale224=large.model.predictor.with_upsample(upsample),
            repeats=REPEATS if len(detected.faces) <= MAX_FACES else 1,
        )
        return [face.to_dict() for face in faces]
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _trained_filter() -> str:
    """The filter of the embedded checkpoint on 224 pixels."""
    return checkpoint_summary(embedded_default("upscale224"))["preprocess"]["upsample"]


def _trained_on(upsample: str) -> str:
    return f"The network was trained on {upsample}; the other filters show how much the filter matters."


def _filter_of(model: str | None) -> dict[str, Any]:
    """An update of the filter field to the filter that the network was trained on."""
    upsample = shared_pool().choose(model, "upscale224").model.preprocess.upsample
    return gr.update(value=upsample, info=_trained_on(upsample))


class CompareTab:
    """The tab's layout and events."""

    name, title = "compare", "Compare"

    def __init__(self, studio: Studio) -> None:
        self.studio, self.what_if = studio, WhatIf(studio, self.name)

    def answers(self) -> None:
        """Build the answer inside the tab."""
        gr.HTML('<h2 class="eh-hidden">What the networks on 48 and on 224 pixels say</h2>', elem_classes="eh-heading")
        self.answer = answer_field("compare-answer", WAITING, initial=_first_answer())
        self.what_if.answers()
        with gr.Accordion("The answer as JSON", open=False):
            self.raw = gr.JSON(_first_answer()["json"], show_label=False, elem_id="compare-json")
        self.studio.add("compare", self.name, {self.answer: (WAITING, ANALYSING)}, [self.raw], is_ready=True)

    def settings(self) -> None:
        """Build the settings inside the current Blocks."""
        trained = _trained_filter()  # until the chosen model is known
        self.small = model_picker("Network on 48 pixels", "compare-native48", role="native48")
        self.large = model_picker("Network on 224 pixels", "compare-upscale224", role="upscale224")
        self.upsample = gr.Radio(
            list(FILTERS),
            value=trained,
            label="Upsampling filter, 48 to 224 pixels",
            info=_trained_on(trained),
            elem_id="compare-upsample",
        )

    def connect(self) -> None:
        """Register the events, after `Studio.connect`."""
        studio = self.studio
        inputs = [studio.photo, self.upsample, studio.whole]
        studio.compute(
            "compare",
            _compare,
            [*inputs, self.small.model, self.large.model],
            [self.answer, studio.face],
            concurrency_id="networks",
        )
        units = [unit.name for unit in studio.units.values() if unit.tab == self.name]
        studio.clear(self.upsample.input, units)
        for picker in (self.small, self.large):
            picker.connect(studio, units)
        self.what_if.connect([*inputs, self.small.model, self.large.model])
        self.large.on_ready(_filter_of, [self.large.model], [self.upsample])
        copy_json(self.answer, "compare", self.raw)
        gr.Button(visible=False).click(
            compare_json,
            inputs,
            gr.JSON(visible=False),
            api_name="compare",
            api_description="native48 and upscale224 on every face of a photo, largest face first, with the distance of"
            " their distributions and time ratios.",
            concurrency_id="networks",
        )
