"""Streamed explanations for the Explain tab, with cancellation.

Class activation maps (CAMs) are computed at once; LIME and SHAP on request, and they can be cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import gradio as gr

from emotion_hub.errors import EmotionHubError, ImageError
from emotion_hub.explainers import METHODS, Explanation, explain_face
from emotion_hub.explainers.sheet import Task, tasks
from emotion_hub.ui.answers import answer_value, session_id
from emotion_hub.ui.choices import ROLES
from emotion_hub.ui.html.basics import message
from emotion_hub.ui.html.explanations import explanation_answer, progress_line
from emotion_hub.ui.jobs import Jobs
from emotion_hub.ui.models import ChosenModel, shared_pool
from emotion_hub.ui.photo import NO_FACE, NO_PHOTO, REFUSED, WAITING, chosen_face, detected_photo, face_choices
from emotion_hub.ui.picker import fallback_notes
from emotion_hub.ui.predict import API_WAIT

__all__ = ["cancel", "chosen_models", "explain_json", "explain_photo", "explain_stream", "stop_older"]

STOPPING = message("Stopping after the current batch.")

#: Methods that explain every network, and those of them that are computed at once.
SHOWN = tuple(name for name, method in METHODS.items() if method.applies is None)
QUICK = tuple(name for name in SHOWN if METHODS[name].quick)
BOTH, PREDICTED, NOTHING = "both", "the predicted one", "nothing"

#: Seconds between two updates of the progress.
TICK = 0.2

#: The running explanations, and the threads that compute them: as many as the two queues allow. A thread outlives its
#: job by one batch at most.
_JOBS = Jobs()
_WORKERS = ThreadPoolExecutor(3, "explanation")


class Cancelled(Exception):  # noqa: N818  a signal between two threads, not an error
    """Raised in a method's progress callback to end the method."""


def explain_stream(
    photo: str | bytes | None,
    methods: Sequence[str],
    model: str,
    target: str,
    versus: str,
    samples: int,
    metrics: str,
    whole: bool,
    face: str = "1",
    number: int = 0,
    request: gr.Request | None = None,
    on_faces: Callable[[int], None] = lambda count: None,
) -> Generator[tuple[Any, Any], None, None]:
    """(progress, answer) as HTML, repeatedly until all maps are computed; an error replaces the answer.

    `face` is the number of the face, the largest being 1. `metrics` is a level of `METRICS`. Nothing is computed where
    the session has a newer request than the one of this `number`. `on_faces` receives the photo's number of faces.
    """
    if photo is None:
        yield "", WAITING
        return
    session = session_id(request)
    stop = _JOBS.start(session, number)
    try:
        if stop.is_set():
            yield gr.skip(), gr.skip()
            return
        detected = detected_photo(photo, whole)
        on_faces(len(detected.faces))
        if not detected.faces:
            yield "", message(NO_FACE)
            return
        chosen = chosen_models(model)
        planned = list(
            tasks(
                chosen_face(detected, face).image,
                methods or QUICK,
                [choice.model.predictor for choice in chosen],
                None if target == PREDICTED else target,
                versus=None if versus == NOTHING else versus,
                metrics=metrics,
                options={"samples": int(samples), "seed": 0},
            )
        )
        note = fallback_notes(*(choice.note for choice in chosen))
        yield from _run(planned, stop, whole_sheet=set(methods) == set(SHOWN), note=note)
    except EmotionHubError as error:
        yield "", message(str(error), kind="error", title=REFUSED if isinstance(error, ImageError) else "")
    finally:
        _JOBS.end(session, stop)  # a closed page ends the method after the current batch


def _run(
    planned: Sequence[Task], stop: threading.Event, *, whole_sheet: bool, note: str = ""
) -> Iterator[tuple[Any, Any]]:
    """(progress, answer) as HTML while the tasks run, one after another."""
    done: list[Explanation] = []
    try:
        for number, task in enumerate(planned, 1):
            share = [0.0]
            job = _WORKERS.submit(task.run, _progress(share, stop))
            title = f"{METHODS[task.method].title} on {task.predictor.name}"
            # poll: gradio closes this generator in its event loop, so nothing here may block until a batch ends
            while not job.done():
                yield STOPPING if stop.is_set() else progress_line(title, share[0], number, len(planned)), gr.skip()
                time.sleep(TICK if task.method not in QUICK else TICK / 10)
            done.append(job.result())
            if stop.is_set():  # CAMs do not report progress, so they are not cancelled earlier
                raise Cancelled
            last = number == len(planned)
            yield (
                progress_line(title, 1.0, number, len(planned)),
                note + explanation_answer(done, download=last and whole_sheet),
            )
    except Cancelled:
        ended = message(f"Cancelled. {len(done)} of {len(planned)} maps were finished.")
        yield ended, note + explanation_answer(done) if done else WAITING
        return
    yield "", gr.skip()


def _progress(share: list[float], stop: threading.Event) -> Callable[[float], None]:
    """The progress callback of a task: it stores the share in `share[0]`, and raises Cancelled when `stop` is set."""

    def report(done: float) -> None:
        if stop.is_set():
            raise Cancelled
        share[0] = done

    return report


def cancel(number: int, request: gr.Request) -> Any:
    """Stop this browser's running explanations.

    Their streams show the message: an answer of this call could arrive after a stream's last one and replace it.
    """
    if _JOBS.stop(session_id(request)):
        return gr.skip()
    return answer_value(number, message("Nothing is running."))


def stop_older(number: int, request: gr.Request) -> None:
    """Stop this browser session's explanations of photos before the one of this number."""
    _JOBS.newest(session_id(request), number)


def explain_photo(
    number: int,
    photo: str | bytes | None,
    methods: Sequence[str],
    metrics: str | bool,
    model: str,
    target: str,
    versus: str,
    samples: int,
    whole: bool,
    face: str,
    request: gr.Request,
) -> Iterator[tuple[Any, Any, Any]]:
    """The values of both answer fields and of the choice of faces for the request of this number.

    `metrics` is a level of the scores, or whether all of them are wanted.
    """
    if isinstance(metrics, bool):
        metrics = "full" if metrics else "fast"
    if number < 0:
        yield gr.skip(), gr.skip(), gr.skip()
        return
    faces: list[int] = []
    with closing(
        explain_stream(
            photo, methods, model, target, versus, samples, metrics, whole, face, number, request, faces.append
        )
    ) as stream:
        for progress, answer in stream:
            if _JOBS.is_old(session_id(request), number):  # a value for the older photo would replace the newer one's
                yield gr.skip(), gr.skip(), gr.skip()
            else:
                choices = face_choices(faces.pop()) if faces else gr.skip()  # once
                yield answer_value(number, progress), answer_value(number, answer), choices


def explain_json(
    photo: str | bytes | None, method: str, model: str, target: str, versus: str, samples: int, whole: bool
) -> dict[str, Any]:
    """The API's result: one explanation of the largest face, with its maps as nested lists."""
    if photo is None:
        raise gr.Error(NO_PHOTO, print_exception=False)
    try:
        detected = detected_photo(photo, whole)
        if not detected.faces:
            raise gr.Error(NO_FACE, print_exception=False)
        public = METHODS[method].public_options if method in METHODS else ()
        options: dict[str, Any] = {"samples": int(samples)} if "samples" in public else {}
        label = None if target in ("", PREDICTED) else target
        other_label = None if versus in ("", NOTHING) else versus
        name = shared_pool().default("native48") if model == BOTH else model
        predictor = shared_pool().get(name, API_WAIT).predictor
        face = detected.faces[0].image
        return explain_face(face, predictor, method, label, versus=other_label, **options).to_dict(maps=True)
    except EmotionHubError as error:
        raise gr.Error(str(error), print_exception=False) from error


def chosen_models(model: str | None) -> list[ChosenModel]:
    """Both sides' default models, or the one that was chosen."""
    pool = shared_pool()
    return [pool.choose(None, role) for role in ROLES] if model in (BOTH, "", None) else [pool.choose(model)]
