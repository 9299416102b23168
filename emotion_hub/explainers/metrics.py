"""How good an explanation is, in numbers. Each docstring names the paper that defines the score and says which way is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from emotion_hub.explainers.base import GRID, Explanation, Relevance, Subject, on_grid

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

#: Steps of the deletion and insertion curves: 72 of 2,304 cells at a time.
STEPS = 32

#: A map that keeps this rank correlation when the weights are shuffled does not depend on what the network learnt.
UNCHANGED = 0.7

#: The noise of the stability check, in gray levels of 255: less than JPEG leaves in a photo.
NOISE = 4.0

Explain = Callable[[Subject], Relevance]


def curves(subject: Subject, heatmap: np.ndarray, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Deletion and insertion, each float64 (steps + 1,): the class's probability as the map's cells, most relevant first, are blurred or shown.

    Cells are those of the native face for both pipelines, so that their curves compare. Petsiuk et al. 2018 (RISE, arXiv:1806.07421), with the blurred
    face in place of black. Cells of equal relevance are taken in a fixed random order.
    """
    cells = on_grid(heatmap).ravel()
    tie = np.random.default_rng(0).permutation(cells.size)
    order = tie[np.argsort(-cells[tie], kind="stable")]
    rank = np.empty(cells.size, dtype=int)
    rank[order] = np.arange(cells.size)
    taken = np.linspace(0, cells.size, steps + 1).round().astype(int)
    first = (rank[None, :] < taken[:, None]).reshape(-1, GRID, GRID)
    batch = max(1, 64 * 48 * 48 // subject.size**2)
    asked = np.concatenate([~first, first[1:-1]])  # the ends are the same two pictures
    answers = np.concatenate([subject.probs(subject.keep(asked[i : i + batch])) for i in range(0, len(asked), batch)])
    deletion = answers[: steps + 1]
    return deletion, np.concatenate([deletion[-1:], answers[steps + 1 :], deletion[:1]])


def deletion_insertion(subject: Subject, heatmap: np.ndarray, steps: int = STEPS) -> dict[str, float]:
    """Areas under the curves, 0..1 (-1..1 with `versus`). Low deletion and high insertion: what the map marks is what the network used."""
    deletion, insertion = curves(subject, heatmap, steps)
    return {"deletion": float(np.trapezoid(deletion) / steps), "insertion": float(np.trapezoid(insertion) / steps)}


def random_map(subject: Subject, seed: int = 0) -> np.ndarray:
    """float32, (S, S), 0..1: smooth noise as coarse as a class activation map, which every useful map should beat.

    Pixel noise would be a weaker opponent: it takes the face away evenly.
    """
    coarse = Image.fromarray(np.random.default_rng(seed).random((6, 6), dtype=np.float32))
    values = np.asarray(coarse.resize((subject.size, subject.size), Image.Resampling.BICUBIC))
    return ((values - values.min()) / (values.max() - values.min())).astype(np.float32)


def sparseness(heatmap: np.ndarray) -> float:
    """The Gini index of the map's values, 0..1: 0 spread evenly, 1 all in one cell (Chalasani et al. 2020, arXiv:1810.06583). Neither end is better."""
    values = np.sort(np.abs(on_grid(heatmap)).ravel().astype(np.float64))
    total = values.sum()
    if not total:
        return 0.0
    n = values.size
    return float(((2 * np.arange(1, n + 1) - n - 1) * values).sum() / (n * total))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's correlation of two maps over the native cells, -1..1; None when one of them is flat."""
    from scipy.stats import rankdata

    ranks = [rankdata(on_grid(values).ravel()) for values in (a, b)]
    if any(np.ptp(r) == 0 for r in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def agreement(explanations: Sequence[Explanation]) -> list[list[float | None]]:
    """The rank correlation of every pair of maps, as a square table (Krishna et al. 2022, arXiv:2202.01602). High: the methods tell one story."""
    return [[rank_correlation(_contribution(a), _contribution(b)) for b in explanations] for a in explanations]


def noisy(subject: Subject, seed: int) -> Subject:
    """The same face under Gaussian noise of `NOISE` gray levels, one draw for all channels."""
    low, high = (
        float(subject.predictor.preprocessor.normalise(np.full((1, 1), level, np.uint8)).mean()) for level in (0, 255)
    )
    noise = np.random.default_rng(seed).normal(0, NOISE / 255 * (high - low), (1, subject.size, subject.size))
    return subject.with_pixels(subject.pixel_values + noise)


def stability(
    subject: Subject, explain: Explain, found: Relevance, runs: int = 3, again: Callable[[int], Explain] | None = None
) -> float | None:
    """The mean rank correlation of the map with the maps of the same face under small noise, -1..1. High is stable.

    After Alvarez-Melis and Jaakkola 2018 (arXiv:1806.08049). `again(seed)` gives a method that draws at random its other seeds, so that
    repeated runs count too.
    """
    maps = [(again(seed) if again else explain)(noisy(subject, seed)) for seed in range(1, runs + 1)]
    return _mean(rank_correlation(_values(found), _values(other)) for other in maps)


def discrimination(subject: Subject, explain: Explain, found: Relevance) -> float | None:
    """1 less the rank correlation with the map of the likeliest other class, 0..2. Near 0: the map is the same whatever is asked of it.

    Class sensitivity after Samek et al. 2021 (arXiv:2003.07631, section IV).
    """
    logits = subject.answer.astype(np.float64)
    logits[subject.target] = -np.inf
    other = replace(subject, target=int(logits.argmax()), versus=None)
    correlation = rank_correlation(_values(found), _values(explain(other)))
    return None if correlation is None else 1 - correlation


def randomisation(subject: Subject, explain: Explain, found: Relevance) -> float | None:
    """The rank correlation with the map of the same network with shuffled weights (Adebayo et al. 2018, arXiv:1810.03292). Low is right.

    From `UNCHANGED` up the map shows the picture, not the network.
    """
    from emotion_hub.explainers.pool import shuffled_predictor  # here, because it loads torch

    return rank_correlation(
        _values(found), _values(explain(subject.with_predictor(shuffled_predictor(subject.predictor))))
    )


def describe(scores: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """(name, value, how to read it) of the scores that are there, in the order people should see them."""
    rows = []
    for name, (digits, reading) in _READINGS.items():
        value = scores.get(name)
        if isinstance(value, int | float):
            rows.append((name, f"{value:.{digits}f}", reading))
    if "randomisation" in scores and isinstance(value := scores["randomisation"], float) and value >= UNCHANGED:
        rows.append(
            ("warning", "unchanged by shuffled weights", "this map shows the picture, not what the network learnt")
        )
    return rows


_READINGS = {
    "deletion": (2, "probability left as marked parts are blurred: low is good"),
    "insertion": (2, "probability won as marked parts are shown: high is good"),
    "sparseness": (2, "0 spread out, 1 in one point"),
    "stability": (2, "likeness of the map under slight noise: 1 is steady"),
    "discrimination": (2, "distance to the map of the next class: 0 means it asks nothing of the class"),
    "randomisation": (2, "likeness to the map of shuffled weights: near 0 is right"),
    "fit": (2, "share of the network's answers LIME's line explains: 1 is all"),
    "additivity": (3, "part of the logit the pixels' sum misses: 0 is exact"),
}


def _values(found: Relevance) -> np.ndarray:
    return found.heatmap if found.signed is None else found.signed


def _contribution(explanation: Explanation) -> np.ndarray:
    return explanation.heatmap if explanation.signed is None else np.maximum(explanation.signed, 0)


def _mean(values: object) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
