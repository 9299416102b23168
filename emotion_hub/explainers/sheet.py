"""Several explanation methods on several networks for one face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.errors import InputError
from emotion_hub.explainers.base import Explanation, Progress, part_of
from emotion_hub.explainers.registry import METHODS, public_options
from emotion_hub.explainers.run import explain_face, largest_face, list_methods, predictor_of
from emotion_hub.faces import locate
from emotion_hub.images import ImageSource
from emotion_hub.predictor import EmotionPredictor

__all__ = ["Task", "explain_all", "methods_for", "tasks"]


@dataclass(frozen=True)
class Task:
    """One explanation that is not computed yet; `run` computes it."""

    face: Image.Image = field(repr=False)
    predictor: EmotionPredictor
    method: str
    target: str | None = None
    versus: str | None = None
    metrics: str = "fast"
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, progress: Progress | None = None) -> Explanation:
        """The explanation. Raises what `explain_face` raises."""
        return explain_face(
            self.face,
            self.predictor,
            self.method,
            self.target,
            versus=self.versus,
            metrics=self.metrics,
            progress=progress,
            **self.options,
        )


def methods_for(names: Sequence[str], predictor: EmotionPredictor) -> list[str]:
    """The methods of these names, in order, each once; "all" stands for those that can explain the predictor.

    Raises InputError for an unknown name.
    """
    methods: list[str] = []
    for name in names:
        if name != "all" and name not in METHODS:
            raise InputError(f"no method {name!r}; choose from {', '.join(METHODS)}, all")
        methods += list_methods(predictor) if name == "all" else [name]
    return list(dict.fromkeys(methods))


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
    """One task per method and predictor for a face crop, quick methods first.

    `options` are passed to the methods that have them as public options: `samples` to LIME, `seed` to LIME and SHAP.
    Raises InputError for an unknown method, and for an option that is public for none.
    """
    if unknown := sorted(set(options or {}) - set(public_options())):
        names = ", ".join(map(repr, unknown))
        raise InputError(f"no method has the public option {names}; there are {', '.join(public_options())}")
    planned = [(predictor, name) for predictor in predictors for name in methods_for(methods, predictor)]
    for predictor, name in sorted(planned, key=lambda plan: not METHODS[plan[1]].quick):
        own = {key: value for key, value in (options or {}).items() if key in METHODS[name].public_options}
        yield Task(face, predictor, name, target, versus, metrics, own)


def explain_all(
    image: ImageSource,
    methods: Sequence[str] = ("all",),
    models: Sequence[str | EmotionPredictor] = ("native48", "upscale224"),
    target: str | None = None,
    *,
    versus: str | None = None,
    whole: bool = False,
    metrics: str = "fast",
    detector: FaceDetector | str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Explanation]:
    """The explanations of the largest face by every method on every network, network by network.

    The face is detected once, so that all networks get the same crop. `progress` is called with the fraction of all
    explanations that is done, 0..1. The other parameters and the errors are those of `explain`.
    """
    predictors = [predictor_of(model) for model in models]
    if not predictors:
        raise InputError("models is empty; name at least one network")
    face = largest_face(locate(image, detector_or(detector, predictors[0].detector), whole=whole)).image
    planned = list(tasks(face, methods, predictors, target, versus=versus, metrics=metrics, options=options))
    explanations = []
    for number, task in enumerate(planned):
        explanations.append(
            (task.predictor, task.run(part_of(progress, number / len(planned), (number + 1) / len(planned))))
        )
        if progress is not None:
            progress((number + 1) / len(planned))
    return [explanation for predictor in predictors for owner, explanation in explanations if owner is predictor]
