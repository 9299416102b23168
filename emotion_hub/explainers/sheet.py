"""Several methods on several networks, for one face: what a sheet shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from emotion_hub.detectors import FaceDetector
from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Explanation, Progress
from emotion_hub.explainers.registry import METHODS
from emotion_hub.explainers.run import explain_face, list_methods, predictor_of
from emotion_hub.images import ImageSource
from emotion_hub.predictor import EmotionPredictor, locate

__all__ = ["Task", "explain_all", "methods_for", "tasks"]


@dataclass(frozen=True)
class Task:
    """One explanation still to be made: `run(progress)` makes it."""

    predictor: EmotionPredictor
    method: str
    run: Callable[..., Explanation]


def methods_for(names: Sequence[str], predictor: EmotionPredictor) -> list[str]:
    """The methods asked for, in order, each once; "all" is every one this predictor can be explained by. Raises InputError for an unknown one."""
    wanted: list[str] = []
    for name in names:
        if name != "all" and name not in METHODS:
            raise InputError(f"no method {name!r}; choose from {', '.join(METHODS)}, all")
        wanted += list_methods(predictor) if name == "all" else [name]
    return list(dict.fromkeys(wanted))


def tasks(
    face: Image.Image,
    methods: Sequence[str],
    predictors: Sequence[EmotionPredictor],
    target: str | None = None,
    *,
    versus: str | None = None,
    metrics: str = "fast",
    options: Mapping[str, Any] | None = None,
) -> Iterator[Task]:
    """The explanations of a face crop, quick methods first, to be run one by one.

    `options` go to the methods that have them: `samples` to LIME alone, whose budget it is, `seed` to all that draw.
    """
    given = dict(options or {})
    slow = {"lime": 1, "shap": 1}
    planned = [
        (slow.get(name, 0), predictor, name) for predictor in predictors for name in methods_for(methods, predictor)
    ]
    for _, predictor, name in sorted(planned, key=lambda plan: plan[0]):
        takes = {
            key: value
            for key, value in given.items()
            if key in METHODS[name].options and (key != "samples" or name == "lime")
        }

        def run(
            progress: Any = None,
            predictor: EmotionPredictor = predictor,
            name: str = name,
            takes: dict[str, Any] = takes,
        ) -> Explanation:
            return explain_face(
                face, predictor, name, target, versus=versus, metrics=metrics, progress=progress, **takes
            )

        yield Task(predictor, name, run)


def explain_all(
    image: ImageSource,
    methods: Sequence[str] = ("all",),
    models: Sequence[str | EmotionPredictor] = ("native48", "upscale224"),
    target: str | None = None,
    *,
    versus: str | None = None,
    whole: bool = False,
    metrics: str = "fast",
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Explanation]:
    """Every method on every network for the picture's largest face, network by network, in the methods' order; see `explain`.

    The face is detected once, so that all get the same crop. `progress` is called with the share of all explanations done. Raises what `explain` raises.
    """
    predictors = [predictor_of(model) for model in models]
    if not predictors:
        raise InputError("models is empty; name at least one network")
    scene = locate(image, detector or predictors[0].detector, whole=whole)
    if not scene.faces:
        raise InputError(
            f"no face was found in the {scene.photo.width}x{scene.photo.height} picture; take the whole of it as the face with whole=True"
        )
    planned = list(
        tasks(scene.faces[0].image, methods, predictors, target, versus=versus, metrics=metrics, options=options)
    )
    found = []
    for done, task in enumerate(planned):
        part = None if progress is None else lambda share, done=done: progress((done + share) / len(planned))
        found.append((task, task.run(part)))
        if progress is not None:
            progress((done + 1) / len(planned))
    return [explanation for predictor in predictors for task, explanation in found if task.predictor is predictor]
