"""Resolution ladder and stress test of the Compare tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import gradio as gr

from emotion_hub.comparison import compare_detected
from emotion_hub.errors import EmotionHubError
from emotion_hub.faces import DetectedPhoto, Face
from emotion_hub.perturb import PERTURBATIONS, POSITIONS, StressSettings, resolution_ladder, stress
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui.answers import ANALYSING, answer_field, answer_value, compute_answer
from emotion_hub.ui.choices import embedded_default
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.html.strips import ladder_strip, stress_answer
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.photo import FIRST, NO_FACE, REFUSED, WAITING, chosen_face, detected_photo
from emotion_hub.ui.studio import Studio

__all__ = ["WhatIf", "ladder_html", "stress_html"]

UNTOUCHED = message("Move a slider to blur, darken, turn or cover the face: both networks answer again at once.")

_LADDERS, _STRESSES = Jobs(), Jobs()


def ladder_html(
    photo: str | bytes | None,
    upsample: str | None,
    whole: bool,
    native48: str | None,
    upscale224: str | None,
    face: str,
) -> str:
    """The answers of both networks for a face with fewer and fewer pixels; an error replaces them."""

    def ladder(detected: DetectedPhoto, one: Face) -> str:
        small, large = _predictors(native48, upscale224, upsample)
        return ladder_strip(resolution_ladder(one, native48=small, upscale224=large))

    return _on_face(photo, whole, face, ladder)


def stress_html(
    photo: str | bytes | None,
    upsample: str | None,
    whole: bool,
    native48: str | None,
    upscale224: str | None,
    face: str,
    settings: StressSettings,
) -> str:
    """The answers of both networks for the changed face beside those for the face; an error replaces them."""

    def stressed(detected: DetectedPhoto, one: Face) -> str:
        small, large = _predictors(native48, upscale224, upsample)
        [original] = compare_detected(
            DetectedPhoto(detected.photo, (one,), detected.timings), native48=small, upscale224=large
        )
        changed = stress(one, settings, native48=small, upscale224=large)
        return stress_answer(changed, original, settings)

    if photo is not None and not settings.active:
        return UNTOUCHED
    return _on_face(photo, whole, face, stressed)


def _on_face(photo: str | bytes | None, whole: bool, face: str, answer: Callable[[DetectedPhoto, Face], str]) -> str:
    """`answer(photo, face)` for the face of this number; a message without a photo or a face, and for an error."""
    if photo is None:
        return WAITING
    try:
        detected = detected_photo(photo, whole)
        return answer(detected, chosen_face(detected, face)) if detected.faces else message(NO_FACE)
    except EmotionHubError as error:
        return message(str(error), kind="error", title=REFUSED)


def _predictors(
    native48: str | None, upscale224: str | None, upsample: str | None
) -> tuple[EmotionPredictor, EmotionPredictor]:
    """The predictors of both sides, the second with this filter, or with its own where `upsample` is None."""
    pool = shared_pool()
    small, large = pool.choose(native48, "native48").model, pool.choose(upscale224, "upscale224").model
    return small.predictor, large.predictor.with_upsample(upsample or large.preprocess.upsample)


@lru_cache(maxsize=1)
def _first_ladder() -> dict[str, Any]:
    """The ladder of the first example by the embedded networks, computed once per process."""
    small, large = (embedded_default(role) for role in ("native48", "upscale224"))
    return answer_value(0, ladder_html(str(FIRST.path), None, False, small, large, "1"))


def _ladder(number: int, request: gr.Request, *values: Any) -> Any:
    """The value of the ladder's field for the request of this number."""
    if number <= 0:  # the page shows the answer to request 0 on arrival
        return gr.skip()
    return compute_answer(_LADDERS, number, request, lambda: (ladder_html(*values), []))


def _stress(
    number: int,
    request: gr.Request,
    photo: str | bytes | None,
    upsample: str,
    whole: bool,
    native48: str,
    upscale224: str,
    face: str,
    position: str,
    *strengths: float,
) -> Any:
    """The value of the stress test's field for the request of this number; `strengths` are in the registry's order."""

    def compute() -> tuple[str, list[Any]]:
        try:
            settings = StressSettings(dict(zip(PERTURBATIONS, strengths, strict=True)), position)
        except EmotionHubError as error:
            return message(str(error), kind="error"), []
        return stress_html(photo, upsample, whole, native48, upscale224, face, settings), []

    return compute_answer(_STRESSES, max(number, 0), request, compute)


class WhatIf:
    """The two parts' layout and events. Both are about one face, which the studio's `face` chooses."""

    def __init__(self, studio: Studio, tab: str) -> None:
        self.studio, self.tab = studio, tab

    def answers(self) -> None:
        """Build both parts inside the tab."""
        with gr.Accordion("How small may the face be?", open=True, elem_id="ladder"):
            self.ladder = answer_field("compare-ladder", WAITING, initial=_first_ladder())
        with gr.Accordion("Stress it: blur, light, rotation, cover, noise", open=False, elem_id="stress"):
            with gr.Row():
                self.sliders = [
                    gr.Slider(
                        kind.minimum,
                        kind.maximum,
                        kind.neutral,
                        step=kind.step,
                        label=kind.title,
                        min_width=200,
                        elem_id=f"stress-{name}",
                    )
                    for name, kind in PERTURBATIONS.items()
                ]
                self.position = gr.Radio(
                    list(POSITIONS), value="eyes", label="What is covered", min_width=200, elem_id="stress-position"
                )
            self.reset = gr.Button("Undo all changes", size="sm", elem_id="stress-reset")
            self.stress = answer_field("compare-stress", UNTOUCHED)
        self.studio.add("ladder", self.tab, {self.ladder: (WAITING, ANALYSING)}, is_ready=True)
        self.studio.add("stress", self.tab, {self.stress: (WAITING, UNTOUCHED)}, is_ready=True)

    def connect(self, inputs: Sequence[Any]) -> None:
        """Register the events. `inputs` are the photo, the filter, `whole`, and the names of both models."""
        studio = self.studio
        both = [*inputs, studio.face]
        studio.compute("ladder", _ladder, both, [self.ladder], concurrency_id="networks")
        studio.clear(studio.face.input, ["ladder", "stress"])
        number = studio.units["stress"].number
        values = [*both, self.position, *self.sliders]
        # a number that has changed clears the field; the sliders may still change the new face
        studio.compute("stress", _stress, values, [self.stress], concurrency_id="networks")
        gr.on(
            [slider.change for slider in self.sliders] + [self.position.input],
            _stress,
            [number, *values],
            [self.stress],
            api_visibility="private",
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="networks",
        )
        neutral = [kind.neutral for kind in PERTURBATIONS.values()]
        self.reset.click(
            None, None, self.sliders, js=f"() => {neutral}", api_visibility="private", show_progress="hidden"
        )
