"""Metrics of relevance maps: deletion, insertion, stability and others.

Each function's docstring names the paper that defines the metric and which direction is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from emotion_hub.explainers.base import GRID, Explanation, Progress, Relevance, Subject, on_grid

__all__ = [
    "UNCHANGED",
    "agreement",
    "curves",
    "deletion_insertion",
    "describe",
    "discrimination",
    "noisy",
    "random_map",
    "randomisation",
    "rank_correlation",
    "sparseness",
    "stability",
]

#: Steps of the deletion and insertion curves: 72 of the 2,304 cells per step.
STEPS = 32

#: From this rank correlation with the map of shuffled weights upwards, a map does not depend on what the network
#: learnt.
UNCHANGED = 0.7

#: Standard deviation of the noise of `stability`, in gray levels of 255: less than JPEG compression adds to a photo.
NOISE = 4.0

#: A method with its options set: computes the map of a subject.
MethodFunction = Callable[[Subject], Relevance]


def curves(
    subject: Subject, heatmap: np.ndarray, steps: int = STEPS, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The deletion curve and the insertion curve, each float64, (steps + 1,).

    The class's probability while the map's cells, the most relevant first, are blurred (deletion) or shown on the
    blurred face (insertion). RISE (Petsiuk et al. 2018, arXiv:1806.07421), with the blurred face in place of black.
    Cells are those of the 48-pixel face for both pipelines, so that the curves can be compared. Cells of equal
    relevance are taken in a fixed random order. `progress` is called once per batch of the network.
    """
    cells = on_grid(heatmap).ravel()
    random_order = np.random.default_rng(0).permutation(cells.size)
    order = random_order[np.argsort(-cells[random_order], kind="stable")]
    rank = np.empty(cells.size, dtype=int)
    rank[order] = np.arange(cells.size)
    cells_per_step = np.linspace(0, cells.size, steps + 1).round().astype(int)
    top = (rank[None, :] < cells_per_step[:, None]).reshape(-1, GRID, GRID)
    shown = np.concatenate([~top, top[1:-1]])  # both curves have the same two end points, which are run once
    batches = []
    for start in range(0, len(shown), subject.batch_size):
        batches.append(subject.probs(subject.masked(shown[start : start + subject.batch_size])))
        if progress:
            progress(min(1.0, (start + subject.batch_size) / len(shown)))
    probs = np.concatenate(batches)
    deletion = probs[: steps + 1]
    return deletion, np.concatenate([deletion[-1:], probs[steps + 1 :], deletion[:1]])


def deletion_insertion(
    subject: Subject, heatmap: np.ndarray, steps: int = STEPS, progress: Progress | None = None
) -> dict[str, float]:
    """The areas under the two curves as "deletion" and "insertion", 0..1 (-1..1 with `versus`).

    Low deletion and high insertion are better: the map marks what the network used.
    """
    deletion, insertion = curves(subject, heatmap, steps, progress)
    return {"deletion": float(np.trapezoid(deletion) / steps), "insertion": float(np.trapezoid(insertion) / steps)}


def random_map(subject: Subject, seed: int = 0) -> np.ndarray:
    """float32, (S, S), 0..1: smooth noise, as coarse as a class activation map, as a baseline for the other metrics.

    Noise per pixel would be a weaker baseline: it removes the face evenly.
    """
    coarse = Image.fromarray(np.random.default_rng(seed).random((6, 6), dtype=np.float32))
    values = np.asarray(coarse.resize((subject.size, subject.size), Image.Resampling.BICUBIC))
    return ((values - values.min()) / (values.max() - values.min())).astype(np.float32)


def sparseness(heatmap: np.ndarray) -> float:
    """The Gini index of the map's values, 0..1 (Chalasani et al. 2020, arXiv:1810.06583).

    0 is evenly spread, 1 is all in one cell. Neither is better.
    """
    values = np.sort(np.abs(on_grid(heatmap)).ravel().astype(np.float64))
    total = values.sum()
    if not total:
        return 0.0
    n = values.size
    return float(((2 * np.arange(1, n + 1) - n - 1) * values).sum() / (n * total))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps over the cells of the grid, -1..1; None when one of them is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(on_grid(values).ravel()) for values in (a, b)]
    if any(np.ptp(r) == 0 for r in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def agreement(explanations: Sequence[Explanation]) -> list[list[float | None]]:
    """The rank correlation of every pair of maps, as a square table (Krishna et al. 2022, arXiv:2202.01602).

    Of signed maps the positive part is compared. A high value means that the methods mark the same parts.
    """
    return [[rank_correlation(_positive(a), _positive(b)) for b in explanations] for a in explanations]


def noisy(subject: Subject, seed: int) -> Subject:
    """The same face with Gaussian noise of `NOISE` gray levels, the same noise in all channels."""
    low, high = (
        float(subject.predictor.preprocessor.normalise(np.full((1, 1), level, np.uint8)).mean()) for level in (0, 255)
    )
    noise = np.random.default_rng(seed).normal(0, NOISE / 255 * (high - low), (1, subject.size, subject.size))
    return subject.with_pixels(subject.pixel_values + noise)


def stability(
    subject: Subject,
    method: MethodFunction,
    relevance: Relevance,
    runs: int = 3,
    with_seed: Callable[[int], MethodFunction] | None = None,
) -> float | None:
    """The mean rank correlation of the map with `runs` maps of the same face with noise, -1..1; higher is more stable.

    After Alvarez-Melis and Jaakkola 2018 (arXiv:1806.08049). For a method that draws at random, `with_seed(seed)`
    gives the method with another seed, so that the variation between its own runs counts, too. None when no
    correlation is defined.
    """
    maps = [(with_seed(seed) if with_seed else method)(noisy(subject, seed)) for seed in range(1, runs + 1)]
    return _mean(rank_correlation(_signed_or_heatmap(relevance), _signed_or_heatmap(other)) for other in maps)


def discrimination(subject: Subject, method: MethodFunction, relevance: Relevance) -> float | None:
    """1 minus the rank correlation with the map of the most probable other class, 0..2. Near 0 is bad.

    At 0 the map is the same for both classes. Class sensitivity after Samek et al. 2021 (arXiv:2003.07631, section
    IV).
    """
    logits = subject.face_logits.astype(np.float64)
    logits[subject.target] = -np.inf
    other_class = replace(subject, target=int(logits.argmax()), versus=None)
    correlation = rank_correlation(_signed_or_heatmap(relevance), _signed_or_heatmap(method(other_class)))
    return None if correlation is None else 1 - correlation


def randomisation(subject: Subject, method: MethodFunction, relevance: Relevance) -> float | None:
    """The rank correlation with the map of the same network with shuffled weights, -1..1. Near 0 is better.

    Adebayo et al. 2018, arXiv:1810.03292. From `UNCHANGED` upwards the map shows the picture, not the network.
    """
    from emotion_hub.explainers.pool import shuffled_predictor  # here, because it imports torch

    shuffled = method(subject.with_predictor(shuffled_predictor(subject.predictor)))
    return rank_correlation(_signed_or_heatmap(relevance), _signed_or_heatmap(shuffled))


def describe(scores: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """(name, value as text, how to read it) of the metrics in `scores`, in display order.

    A row named "warning" follows when the map is unchanged by shuffled weights.
    """
    rows = []
    for name, (digits, reading) in _READINGS.items():
        value = scores.get(name)
        if isinstance(value, int | float):
            rows.append((name, f"{value:.{digits}f}", reading))
    randomised = scores.get("randomisation")
    if isinstance(randomised, float) and randomised >= UNCHANGED:
        rows.append(
            ("warning", "unchanged by shuffled weights", "this map shows the picture, not what the network learnt")
        )
    return rows


#: {metric: (decimals, how to read it)}, in display order. Visitors of the demo read these texts.
_READINGS = {
    "deletion": (2, "probability left when the marked parts are blurred; lower is better"),
    "insertion": (2, "probability reached when the marked parts are shown; higher is better"),
    "road": (2, "probability lost more when marked than when other parts are filled in from around; higher is better"),
    "sparseness": (2, "how concentrated the map is; 0 = evenly spread, 1 = one point; neither is better"),
    "stability": (2, "similarity to the map of the same face with slight noise; 1 = the same, higher is better"),
    "discrimination": (2, "difference from the map of the next class; 0 = the map does not depend on the class"),
    "randomisation": (2, "similarity to the map of a network with shuffled weights; near 0 is better"),
    "fit": (2, "how well LIME's linear model describes the network (R²); 1 = exactly"),
    "additivity": (3, "error of the sum of the contributions, in logits; 0 = exact"),
}


def _signed_or_heatmap(relevance: Relevance) -> np.ndarray:
    return relevance.heatmap if relevance.signed is None else relevance.signed


def _positive(explanation: Explanation) -> np.ndarray:
    return explanation.heatmap if explanation.signed is None else np.maximum(explanation.signed, 0)


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None when there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
