"""Explanations measured face by face: the balanced probe set, one face's figures, what is expected of them, bootstrap intervals."""

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
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import FaceSplit, pixel_hashes

__all__ = [
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

#: What is kept of `Explanation.scores`, in the order people should see it.
SCORES = ("deletion", "insertion", "sparseness", "stability", "discrimination", "randomisation", "fit", "additivity")

#: Random maps a face is held against; the mean of their curves is its opponent.
RANDOM_MAPS = 5

#: From this share of the positive relevance outside the face, or where a stock photo carries its mark, a case is named for looking at.
BACKGROUND, MARKED = 0.5, 0.25

#: Rows at the bottom and cells a corner's side that stand for a watermark: an even map has 12.5% and 6.25% of its relevance there.
STRIP, CORNER = 6, 12

#: Below this weighted R² LIME's line says little about the network.
WEAK_FIT = 0.3

RESAMPLES = 10_000

#: What the project's technical report expected before any map was made ("mouth corners and eye crinkles", "brow furrow and mouth tension", ...),
#: in the parts of `emotion_hub.explainers.regions`. Disgust, which it leaves out, is the wrinkled nose and raised lip of FACS (action units 9 and 10).
_EXPECTED = """
happy: mouth eyes
angry: brows mouth
fear: eyes mouth
surprise: brows eyes mouth
sad: mouth eyes
disgust: nose mouth
neutral:
"""

#: {label: regions}; none for the neutral face, whose relevance is expected to be balanced.
EXPECTED: dict[str, tuple[str, ...]] = {
    FER2013.labels[FER2013.index(label)]: tuple(parts.split())
    for label, _, parts in (line.partition(":") for line in _EXPECTED.split("\n")[1:-1])
}


def choose_probe(split: FaceSplit, others: Sequence[FaceSplit], per_class: int, seed: int = 0) -> np.ndarray:
    """int64: positions of `per_class` faces of every class, drawn with the seed, class after class, none of which has an exact copy anywhere.

    Raises InputError that names a class with fewer.
    """
    if per_class < 1:
        raise InputError(f"per_class={per_class}: a probe set has at least one face of each class")
    copies, elsewhere = Counter(split.hashes), pixel_hashes(*others)
    single = np.array([copies[h] == 1 and h not in elsewhere for h in split.hashes], dtype=bool)
    generator = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for i, label in enumerate(split.label_set.labels):
        candidates = np.flatnonzero(single & (split.labels == i))
        if len(candidates) < per_class:
            raise InputError(
                f"class {label!r} of {split.name} has {len(candidates)} faces without a copy; {per_class} a class were asked for, ask for fewer"
            )
        chosen.append(np.sort(generator.choice(candidates, per_class, replace=False)))
    return np.concatenate(chosen)


def baseline(
    predictor: EmotionPredictor, face: Image.Image, label: str, *, explain_label: bool = False
) -> dict[str, Any]:
    """What the network says of a face labelled `label`, which class is explained, and the areas of random maps for it.

    Explained is what the network said, or with `explain_label` the label.
    """
    prediction = predictor.predict_faces([face])[0]
    target = label if explain_label else prediction.label
    subject = Subject.of(face, predictor, target)
    areas = [metrics.deletion_insertion(subject, metrics.random_map(subject, seed)) for seed in range(RANDOM_MAPS)]
    said = {
        "label": label,
        "predicted": prediction.label,
        "right": prediction.label == label,
        "confidence": prediction.confidence,
        "target": target,
    }
    return said | {
        f"random_{name}": float(np.mean([area[name] for area in areas])) for name in ("deletion", "insertion")
    }


def measure(
    predictor: EmotionPredictor, face: Image.Image, method: str, target: str, metrics: str = "fast", **options: Any
) -> tuple[dict[str, Any], np.ndarray]:
    """One face's figures, None where a score was not asked for or cannot be had, and its map on the grid, float32 (GRID, GRID), 0..1."""
    found = explain_face(face, predictor, method, target, metrics=metrics, **options)
    cells = on_grid(found.heatmap)
    row = {
        name: value if (value := found.scores.get(name)) is not None and np.isfinite(value) else None for name in SCORES
    }
    used = {name: found.parameters.get(name) for name in ("explainer", "segments", "difference")}
    return {
        **row,
        "milliseconds": found.milliseconds,
        "empty": found.empty,
        "regions": found.scores["regions"],
        **edge_shares(cells),
        **used,
    }, cells


def edge_shares(cells: np.ndarray) -> dict[str, float]:
    """{"bottom", "corner"}: shares of the map's relevance in the lowest `STRIP` rows and in the fullest corner of `CORNER` cells; 0 for an empty map."""
    total = float(cells.sum(dtype=np.float64))
    if not total:
        return {"bottom": 0.0, "corner": 0.0}
    near, far = slice(0, CORNER), slice(GRID - CORNER, GRID)
    corners = [float(cells[rows, columns].sum(dtype=np.float64)) for rows in (near, far) for columns in (near, far)]
    return {"bottom": float(cells[-STRIP:].sum(dtype=np.float64)) / total, "corner": max(corners) / total}


def over_tolerance(row: Mapping[str, Any]) -> bool:
    """Whether SHAP's pixels miss more of the difference they promise to sum to than it allows itself."""
    return row["additivity"] > TOLERANCE[0] + TOLERANCE[1] * abs(row["difference"])


def bootstrap(values: Iterable[float | None], seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any] | None:
    """The mean of what is not None, its 95% percentile interval `low` to `high` over resampled faces, and `n`; None for nothing."""
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    if not len(known):
        return None
    return _interval(float(known.mean()), _means(known, np.random.default_rng(seed), resamples), len(known))


def bootstrap_difference(
    a: Sequence[float], b: Sequence[float], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any] | None:
    """The mean of `a` less that of `b`, of other faces, as `bootstrap` gives it, `n` the smaller group's; None when one is empty."""
    if not len(a) or not len(b):
        return None
    left, right, generator = (
        np.asarray(a, dtype=np.float64),
        np.asarray(b, dtype=np.float64),
        np.random.default_rng(seed),
    )
    means = _means(left, generator, resamples) - _means(right, generator, resamples)
    return _interval(float(left.mean() - right.mean()), means, min(len(left), len(right)))


def _means(values: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """float64, (resamples,), a thousand at a time."""
    sizes = [min(1000, resamples - start) for start in range(0, resamples, 1000)]
    return np.concatenate(
        [values[generator.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes]
    )


def _interval(mean: float, means: np.ndarray, n: int) -> dict[str, Any]:
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": mean, "low": float(low), "high": float(high), "n": n}
