"""Measure explanations per face: probe set, figures, bootstrap intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.explainers import explain_face, metrics
from emotion_hub.explainers.base import GRID, Subject, on_grid
from emotion_hub.explainers.shap_torch import TOLERANCE
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import FaceSplit, pixel_hashes
from training.explanations.road import road

__all__ = [
    "AGAINST_RANDOM",
    "BACKGROUND",
    "EXPECTED",
    "MARKED",
    "RANDOM_MAPS",
    "RESAMPLES",
    "SCORES",
    "WEAK_FIT",
    "baseline",
    "bootstrap",
    "bootstrap_difference",
    "choose_probe",
    "edge_shares",
    "measure",
    "over_tolerance",
]

#: Metrics of `Explanation.scores` in the report, in its order.
SCORES = (
    "deletion",
    "insertion",
    "road",
    "sparseness",
    "stability",
    "discrimination",
    "randomisation",
    "fit",
    "additivity",
)

#: Metrics that are compared with those of random maps, and how each is read.
AGAINST_RANDOM = {"deletion": "lower is better", "insertion": "higher is better", "road": "higher is better"}

#: Random maps per face; methods are compared with the mean of their areas.
RANDOM_MAPS = 5

#: Shares of the positive relevance above which a face is suspicious: outside the face, and where watermarks are.
BACKGROUND, MARKED = 0.5, 0.25

#: Places of watermarks: rows at the bottom, and cells per side of a corner. They have 12.5% and 6.25% of an even map.
STRIP, CORNER = 6, 12

#: Below this weighted R², LIME's surrogate says little about the network.
WEAK_FIT = 0.3

RESAMPLES = 10_000

#: Expected parts of the face per expression, from the project's technical report, written before any map was made
#: ("mouth corners and eye crinkles", "brow furrow and mouth tension", ...), in the parts of
#: `emotion_hub.explainers.regions`. The report leaves out disgust: wrinkled nose and raised lip come from FACS (action
#: units 9 and 10).
#: No region for the neutral face, whose relevance is expected to be balanced.
EXPECTED: dict[str, tuple[str, ...]] = {
    "happy": ("mouth", "eyes"),
    "angry": ("brows", "mouth"),
    "fear": ("eyes", "mouth"),
    "surprise": ("brows", "eyes", "mouth"),
    "sad": ("mouth", "eyes"),
    "disgust": ("nose", "mouth"),
    "neutral": (),
}


def choose_probe(split: FaceSplit, others: Sequence[FaceSplit], per_class: int, seed: int = 0) -> np.ndarray:
    """int64: positions of `per_class` faces of every class, drawn with the seed, ordered by class.

    None of them has an exact copy in `split` or `others`. Raises InputError that names a class with fewer faces.
    """
    if per_class < 1:
        raise InputError(f"per_class={per_class}: a probe set needs at least one face of each class")
    copies, elsewhere = Counter(split.hashes), pixel_hashes(*others)
    single = np.array([copies[h] == 1 and h not in elsewhere for h in split.hashes], dtype=bool)
    generator = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for i, label in enumerate(split.label_set.labels):
        candidates = np.flatnonzero(single & (split.labels == i))
        if len(candidates) < per_class:
            raise InputError(
                f"class {label!r} of {split.name} has {len(candidates)} faces without a copy, {per_class} per "
                "class are needed; choose fewer with --per-class"
            )
        chosen.append(np.sort(generator.choice(candidates, per_class, replace=False)))
    return np.concatenate(chosen)


def baseline(
    predictor: EmotionPredictor, face: Image.Image, label: str, *, explain_label: bool = False
) -> dict[str, Any]:
    """The prediction of a face labelled `label`, the class to explain, and the mean figures of random maps.

    The class to explain is the prediction, or the label with `explain_label`.
    """
    prediction = predictor.predict_faces([face])[0]
    target = label if explain_label else prediction.label
    subject = Subject.of(face, predictor, target)
    maps = [metrics.random_map(subject, seed) for seed in range(RANDOM_MAPS)]
    areas = [{**metrics.deletion_insertion(subject, each), "road": road(subject, each)} for each in maps]
    answer = {
        "label": label,
        "predicted": prediction.label,
        "right": prediction.label == label,
        "confidence": prediction.confidence,
        "target": target,
    }
    return answer | {f"random_{name}": float(np.mean([area[name] for area in areas])) for name in AGAINST_RANDOM}


def measure(
    predictor: EmotionPredictor, face: Image.Image, method: str, target: str, metrics: str = "fast", **options: Any
) -> tuple[dict[str, Any], np.ndarray]:
    """One face's figures, None where a metric was not measured, and its map on the grid, float32 (GRID, GRID), 0..1."""
    explanation = explain_face(face, predictor, method, target, metrics=metrics, **options)
    cells = on_grid(explanation.heatmap)
    subject = Subject.of(face, predictor, target)
    scores = {name: explanation.scores.get(name) for name in SCORES} | {"road": road(subject, explanation.heatmap)}
    row = {name: value if value is not None and np.isfinite(value) else None for name, value in scores.items()}
    parameters = {name: explanation.parameters.get(name) for name in ("explainer", "segments", "difference")}
    return {
        **row,
        "milliseconds": explanation.milliseconds,
        "empty": explanation.empty,
        "regions": explanation.scores["regions"],
        **edge_shares(cells),
        **parameters,
    }, cells


def edge_shares(cells: np.ndarray) -> dict[str, float]:
    """{"bottom", "corner"}: shares of the relevance in the lowest `STRIP` rows and in the corner that has most.

    Corners have `CORNER` cells per side. Both are 0 for an empty map.
    """
    total = float(cells.sum(dtype=np.float64))
    if not total:
        return {"bottom": 0.0, "corner": 0.0}
    near, far = slice(0, CORNER), slice(GRID - CORNER, GRID)
    corners = [float(cells[rows, columns].sum(dtype=np.float64)) for rows in (near, far) for columns in (near, far)]
    return {"bottom": float(cells[-STRIP:].sum(dtype=np.float64)) / total, "corner": max(corners) / total}


def over_tolerance(row: Mapping[str, Any]) -> bool:
    """Whether the sum of SHAP's values differs from the difference of the logits by more than SHAP's tolerance."""
    return row["additivity"] > TOLERANCE[0] + TOLERANCE[1] * abs(row["difference"])


def bootstrap(values: Iterable[float | None], seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any] | None:
    """The mean of the values that are not None, its 95% percentile interval `low` to `high`, and `n`.

    None when all values are None.
    """
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    if not len(known):
        return None
    return _interval(float(known.mean()), _means(known, np.random.default_rng(seed), resamples), len(known))


def bootstrap_difference(
    a: Sequence[float], b: Sequence[float], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any] | None:
    """The mean of `a` minus the mean of `b`, two independent groups, with its interval as in `bootstrap`.

    `n` is the size of the smaller group. None when a group is empty.
    """
    if not len(a) or not len(b):
        return None
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = _means(left, generator, resamples) - _means(right, generator, resamples)
    return _interval(float(left.mean() - right.mean()), means, min(len(left), len(right)))


def _means(values: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """float64, (resamples,): means of resampled values, computed a thousand at a time."""
    sizes = [min(1000, resamples - start) for start in range(0, resamples, 1000)]
    return np.concatenate(
        [values[generator.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes]
    )


def _interval(mean: float, means: np.ndarray, n: int) -> dict[str, Any]:
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": mean, "low": float(low), "high": float(high), "n": n}
