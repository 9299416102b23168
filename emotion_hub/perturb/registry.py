"""Registry of perturbations: rotation, occlusion, brightness, blur, noise.

Their strengths mean the same as those of the corruptions in `training/evaluation/robustness.py`, which lie inside the
ranges here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emotion_hub.perturb.levels import blurred, brightened, covered, noisy, rotated

__all__ = ["PERTURBATIONS", "POSITIONS", "Perturbation"]

#: {position of the occluding box: its centre (x, y) as shares of the face's sides}. Eyes and mouth are the middles of
#: the mean landmarks of training faces (`explainers/landmarks.json`).
POSITIONS: dict[str, tuple[float, float]] = {"eyes": (0.5, 0.38), "mouth": (0.5, 0.76), "centre": (0.5, 0.5)}

#: (gray levels, strength, position of the box, seed) -> gray levels; arrays are float32, (H, W).
Change = Callable[[np.ndarray, float, str, int], np.ndarray]


@dataclass(frozen=True)
class Perturbation:
    """One perturbation of a gray face, with the range of its strength.

    `unit` says what the strength measures, and `shown` formats it, such as "{:g}°". `neutral` is the strength that
    changes nothing, `step` the distance of two strengths on a slider. `change(levels, strength, position, seed)` gets
    and returns gray levels, float32, (H, W), 0..255 before clipping. The occlusion reads the position, the noise the
    seed.
    """

    title: str
    unit: str
    shown: str
    minimum: float
    maximum: float
    neutral: float
    step: float
    change: Change


def _occlude(levels: np.ndarray, share: float, position: str, seed: int) -> np.ndarray:
    """The box lies inside the face: at the eyes, a large one reaches lower instead of over the edge."""
    width, height = round(share * levels.shape[1]), round(share * levels.shape[0])
    x, y = POSITIONS[position]
    left = min(max(0, round(x * levels.shape[1] - width / 2)), levels.shape[1] - width)
    top = min(max(0, round(y * levels.shape[0] - height / 2)), levels.shape[0] - height)
    return covered(levels, (left, top, left + width, top + height))


#: {name: perturbation}, in the order in which a face goes through them: the head turns, something covers it, light
#: falls on it, and the lens and the sensor of the camera blur it and add noise.
PERTURBATIONS: dict[str, Perturbation] = {
    "rotation": Perturbation(
        title="Rotation",
        unit="degrees counter-clockwise, edges repeated",
        shown="{:g}°",
        minimum=-45.0,
        maximum=45.0,
        neutral=0.0,
        step=5.0,
        change=lambda levels, degrees, position, seed: rotated(levels, degrees),
    ),
    "occlusion": Perturbation(
        title="Covered part",
        unit="side of a flat box as a share of the face's, filled with the mean level",
        shown="{:.0%} of the side",
        minimum=0.0,
        maximum=0.75,
        neutral=0.0,
        step=0.05,
        change=_occlude,
    ),
    "brightness": Perturbation(
        title="Brightness",
        unit="factor on every gray level",
        shown="× {:g}",
        minimum=0.1,
        maximum=2.0,
        neutral=1.0,
        step=0.05,
        change=lambda levels, factor, position, seed: brightened(levels, factor),
    ),
    "blur": Perturbation(
        title="Blur",
        unit="standard deviation of the Gaussian in pixels of a 48-pixel face",
        shown="{:g} pixels",
        minimum=0.0,
        maximum=3.0,
        neutral=0.0,
        step=0.25,
        change=lambda levels, sigma, position, seed: blurred(levels, sigma),
    ),
    "noise": Perturbation(
        title="Noise",
        unit="standard deviation of the Gaussian in gray levels of 255",
        shown="{:g} of 255 gray levels",
        minimum=0.0,
        maximum=48.0,
        neutral=0.0,
        step=2.0,
        change=lambda levels, deviation, position, seed: noisy(levels, deviation, np.random.default_rng(seed)),
    ),
}
