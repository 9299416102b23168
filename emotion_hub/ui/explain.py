"""The Explain tab: why each pipeline said it. CAMs come at once; LIME and SHAP on request, with a progress bar, and can be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import gradio as gr

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.errors import EmotionHubError, ImageError
from emotion_hub.explainers import METHODS, Explanation, explain_face
from emotion_hub.explainers.sheet import Task, tasks
from emotion_hub.ui.answers import READING, answer_field, empty_on_change, of_photo, photo_number, session_of
from emotion_hub.ui.choices import ROLES, embedded_default
from emotion_hub.ui.explain_render import explanation_rows, progress_line
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import ChosenModel, shared_pool
from emotion_hub.ui.photo import example_photos, photo_input, scene_of
from emotion_hub.ui.picker import answers_note, model_picker
from emotion_hub.ui.predict import API_WAIT, NO_FACE, NO_PHOTO, REFUSED
from emotion_hub.ui.render import message

__all__ = ["explain_tab"]

WAITING = message(
    "Give it a photo with a face. Grad-CAM and Grad-CAM++ answer at once; tick LIME or SHAP for a slower, closer look."
)
STOPPING = message("Stopping after the current batch.")
QUICK = ("gradcam", "gradcam++")
SHOWN = ("gradcam", "gradcam++", "lime", "shap")
BOTH, PREDICTED, NOTHING = "both", "the predicted one", "nothing"

#: Seconds between two looks at the progress.
TICK = 0.2

#: The running explanations, and the threads that compute them: as many as the two queues let run. A thread outlives its job by one batch at most.
_JOBS = Jobs()
_WORKERS = ThreadPoolExecutor(3, "explanation")


class Cancelled(Exception):  # noqa: N818  a signal between two threads, not an error
    """Ends a method from its progress callback."""


def explain_stream(
    photo: str | bytes | None,
    methods: Sequence[str],
    model: str,
    target: str,
    versus: str,
    samples: int,
    full: bool,
    whole: bool,
    number: int = 0,
    request: gr.Request | None = None,
) -> Iterator[tuple[Any, Any]]:
    """(progress, answer) as HTML, again and again until all maps are there; what is wrong is said in place of the answer.

    Nothing is computed where the session has a newer photo than that of this `number`.
    """
    if photo is None:
        yield "", WAITING
        return
    session = session_of(request)
    stop = _JOBS.start(session, number)
    try:
        if stop.is_set():
            yield gr.skip(), gr.skip()
            return
        scene = scene_of(photo, whole)
        if not scene.faces:
            yield "", message(NO_FACE)
            return
        served = _networks(model)
        planned = list(
            tasks(
                scene.faces[0].image,
                methods or QUICK,
                [one.model.predictor for one in served],
                None if target == PREDICTED else target,
                versus=None if versus == NOTHING else versus,
                metrics="full" if full else "fast",
                options={"samples": int(samples), "seed": 0},
            )
        )
        yield from _run(
            planned, stop, whole_sheet=set(methods) == set(SHOWN), note=answers_note(*(one.note for one in served))
        )
    except EmotionHubError as error:
        yield "", message(str(error), kind="error", title=REFUSED if isinstance(error, ImageError) else "")
    finally:
        _JOBS.end(session, stop)  # a closed page ends the method at its next batch


def _run(
    planned: Sequence[Task], stop: threading.Event, *, whole_sheet: bool, note: str = ""
) -> Iterator[tuple[Any, Any]]:
    done: list[Explanation] = []
    try:
        for number, task in enumerate(planned, 1):
            share = [0.0]
            job = _WORKERS.submit(task.run, _progress(share, stop))
            title = f"{METHODS[task.method].title} on {task.predictor.name}"
            while (
                not job.done()
            ):  # gradio closes this generator in its event loop, so nothing here may wait for a batch to end
                yield STOPPING if stop.is_set() else progress_line(title, share[0], number, len(planned)), gr.skip()
                time.sleep(TICK if task.method not in QUICK else TICK / 10)
            done.append(job.result())
            if stop.is_set():  # CAMs report no progress and end by themselves
                raise Cancelled
            last = number == len(planned)
            yield (
                progress_line(title, 1.0, number, len(planned)),
                note + explanation_rows(done, download=last and whole_sheet),
            )
    except Cancelled:
        ended = message(f"Cancelled. {len(done)} of {len(planned)} maps were finished.")
        yield ended, note + explanation_rows(done) if done else WAITING
        return
    yield "", gr.skip()


def _progress(share: list[float], stop: threading.Event) -> Callable[[float], None]:
    def report(done: float) -> None:
        if stop.is_set():
            raise Cancelled
        share[0] = done

    return report


def cancel(number: int, request: gr.Request) -> Any:
    """Stop this browser's running explanations. Their streams say so: an answer of this call could come after a stream's last one, and stay."""
    return gr.skip() if _JOBS.stop(session_of(request)) else of_photo(number, message("Nothing is running."))


def _stop_older(number: int, request: gr.Request) -> None:
    """Stop what this browser's session still computes for photos before the one of this number."""
    _JOBS.newest(session_of(request), number)


def _explain(
    photo: str | bytes | None,
    methods: Sequence[str],
    model: str,
    target: str,
    versus: str,
    samples: int,
    full: bool,
    whole: bool,
    number: int,
    request: gr.Request,
) -> Iterator[tuple[Any, Any]]:
    """The values of the two answer fields for the photo of this number."""
    with closing(
        explain_stream(photo, methods, model, target, versus, samples, full, whole, number, request)
    ) as stream:
        for progress, answer in stream:
            if _JOBS.is_old(session_of(request), number):  # an old value would replace the newer one's, and hide it
                yield gr.skip(), gr.skip()
            else:
                yield of_photo(number, progress), of_photo(number, answer)


def explain_json(
    photo: str | bytes | None, method: str, model: str, target: str, versus: str, samples: int, whole: bool
) -> dict[str, Any]:
    """The API's answer: one explanation of the largest face, with its maps as nested lists."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        scene = scene_of(photo, whole)
        if not scene.faces:
            raise gr.Error(NO_FACE, print_exception=False)
        options = {"samples": int(samples)} if method == "lime" else {}
        wanted = None if target in ("", PREDICTED) else target
        against = None if versus in ("", NOTHING) else versus
        predictor = shared_pool().get(shared_pool().default("native48") if model == BOTH else model, API_WAIT).predictor
        return explain_face(scene.faces[0].image, predictor, method, wanted, versus=against, **options).to_dict(
            maps=True
        )
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _networks(model: str | None) -> list[ChosenModel]:
    """Who answers: both sides' defaults, or the one that was chosen."""
    pool = shared_pool()
    return [pool.serve(None, role) for role in ROLES] if model in (BOTH, "", None) else [pool.serve(model)]


def _labels(model: str | None, target: str, versus: str) -> tuple[Any, Any]:
    """The two label fields with the labels of the networks that answer; a label they lack is let go."""
    known = list(dict.fromkeys(label for one in _networks(model) for label in one.model.predictor.labels.labels))
    fields = ((PREDICTED, target), (NOTHING, versus))
    return tuple(gr.update(choices=[none, *known], value=value if value in known else none) for none, value in fields)


def explain_tab() -> None:
    """Build the tab inside the current Blocks."""
    labels = checkpoint_summary(embedded_default("native48"))["labels"]  # until the models that answer are known
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
                    label="Why this expression",
                    min_width=120,
                    elem_id="explain-target",
                )
                versus = gr.Dropdown(
                    [NOTHING, *labels], value=NOTHING, label="Rather than", min_width=120, elem_id="explain-versus"
                )
            samples = gr.Slider(
                100,
                2000,
                400,
                step=100,
                label="LIME's samples",
                info="More are slower and steadier.",
                elem_id="explain-samples",
            )
            full = gr.Checkbox(label="All scores (runs each method five more times)", elem_id="explain-full")
            whole = gr.Checkbox(label="Take the whole picture as the face", elem_id="explain-whole")
            run = gr.Button("Explain", variant="primary", elem_id="explain-run")
            with gr.Row():
                compare = gr.Button("Compare all methods", min_width=120, elem_id="explain-all")
                halt = gr.Button("Cancel", variant="stop", min_width=90, elem_id="explain-cancel")
        with gr.Column(scale=3, min_width=260):
            progress, answer, number = (
                answer_field("explain-progress"),
                answer_field("explain-answer", WAITING),
                photo_number(),
            )
    settings = [picker.model, target, versus, samples, full, whole, number]
    outputs, quick = [progress, answer], gr.State(list(QUICK))
    options = {"api_visibility": "private", "show_progress": "hidden"}
    slow = {
        **options,
        "concurrency_id": "explanations",
        "concurrency_limit": 1,
    }  # nobody's CAMs wait for another's LIME
    clicked = [
        run.click(_explain, [photo, methods, *settings], outputs, **slow),
        compare.click(_explain, [photo, gr.State(list(SHOWN)), *settings], outputs, **slow),
    ]
    empty_on_change(photo, number, {progress: ("", ""), answer: (WAITING, READING)}, cancels=clicked)
    photo.change(_stop_older, [number], None, queue=False, trigger_mode="multiple", **options)
    photo.change(
        _explain, [photo, quick, *settings], outputs, trigger_mode="always_last", concurrency_id="networks", **options
    )
    picker.settled(_labels, [picker.model, target, versus], [target, versus], queue=False, show_progress="hidden")
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
        api_description="Why a network gave the largest face its label: heatmap, signed map and scores. method is gradcam, gradcam++, lime or shap.",
        concurrency_id="explanations",
    )
