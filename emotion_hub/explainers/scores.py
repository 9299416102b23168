"""Metrics of a map by level, with the map or later on request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.explainers import metrics as map_metrics
from emotion_hub.explainers.backend_choice import on_torch, predictor_for
from emotion_hub.explainers.base import Explanation, Progress, Relevance, Subject, part_of
from emotion_hub.explainers.regions import shares
from emotion_hub.explainers.registry import Method, check_method, check_metrics
from emotion_hub.predictor import EmotionPredictor

__all__ = ["method_share", "score_explanation", "score_map"]

#: The metrics that this module computes. Other scores are the method's own, such as LIME's `fit`.
_NAMES = ("deletion", "insertion", "sparseness", "regions", "stability", "discrimination", "randomisation")

#: Maps that the full metrics compute: three for stability, one each for discrimination and randomisation.
_RERUNS = 5


def score_explanation(
    explanation: Explanation, predictor: EmotionPredictor, metrics: str = "fast", *, progress: Progress | None = None
) -> Explanation:
    """The same explanation with the metrics of another level; its map is not computed again.

    `predictor` is the one that was explained. The level's metrics replace those of the explanation; scores of the
    method itself (`fit`, `additivity`) are kept. `progress` is called with the fraction done, 0..1, between batches
    of the network; it may raise an exception to stop. Raises InputError for an unknown level, and for a predictor
    that is not the one of the explanation.
    """
    check_metrics(metrics)
    if predictor.name != explanation.model:
        raise InputError(
            f"this explanation is of {explanation.model} and the predictor is {predictor.name}; "
            "pass the predictor that was explained"
        )
    method = check_method(explanation.method, explanation.options)
    subject = Subject(
        predictor,
        explanation.prepared,
        predictor.preprocessor.to_array(explanation.prepared),
        predictor.labels.index(explanation.target),
        None if explanation.versus is None else predictor.labels.index(explanation.versus),
    )
    relevance = Relevance(
        positive=explanation.heatmap if explanation.signed is None else None, signed=explanation.signed
    )
    own = {name: value for name, value in explanation.scores.items() if name not in _NAMES}
    scores = score_map(subject, method, explanation.options, relevance, metrics, progress)
    return dataclasses.replace(explanation, scores={**own, **scores})


def score_map(
    subject: Subject,
    method: Method,
    options: Mapping[str, Any],
    relevance: Relevance,
    metrics: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """{metric: value} of a level of METRICS: {} for "none"; for "full" also those that run the method again.

    The network runs on the subject's own backend for deletion and insertion, and on the method's for new maps.
    """
    if metrics == "none":
        return {}
    of_map = {"sparseness": map_metrics.sparseness(relevance.heatmap), "regions": shares(relevance.heatmap)}
    if metrics == "map":
        return of_map
    end = 0.1 if metrics == "full" else 1.0
    areas = map_metrics.deletion_insertion(subject, relevance.heatmap, progress=part_of(progress, 0, end))
    scores: dict[str, Any] = {**areas, **of_map}
    return scores if metrics == "fast" else scores | _of_new_maps(subject, method, options, relevance, progress)


def method_share(method: Method, metrics: str) -> float:
    """About which fraction of the time of an explanation is the method's, 0..1; the rest is that of the metrics."""
    if metrics in ("none", "map"):
        return 1.0
    if method.quick:
        return 0.1
    return 0.8 if metrics == "fast" else 1 / (1 + _RERUNS)


def _of_new_maps(
    subject: Subject, method: Method, options: Mapping[str, Any], relevance: Relevance, progress: Progress | None
) -> dict[str, float | None]:
    """Stability, discrimination and, where torch can load the network, randomisation."""
    finished = 0

    def run(other: Subject, **changed: Any) -> Relevance:
        nonlocal finished
        start, finished = finished, finished + 1
        part = part_of(progress, 0.1 + 0.9 * start / _RERUNS, 0.1 + 0.9 * finished / _RERUNS)
        new = method.run(other, part, **{**options, **changed})
        if part is not None:
            part(1.0)
        return new

    def with_seed(seed: int) -> Callable[[Subject], Relevance]:
        return partial(run, seed=seed)

    explained = subject.with_predictor(predictor_for(method, options, subject.predictor))
    reseeded = with_seed if "seed" in method.options else None
    scores = {
        "stability": map_metrics.stability(explained, run, relevance, with_seed=reseeded),
        "discrimination": map_metrics.discrimination(explained, run, relevance),
    }
    if (shuffled := on_torch(subject.predictor)) is not None:
        scores["randomisation"] = map_metrics.randomisation(subject.with_predictor(shuffled), run, relevance)
    return scores
