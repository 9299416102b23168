"""Stress test: a perturbed face, and both pipelines' predictions for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.comparison import compare_detected
from emotion_hub.errors import InputError, shown
from emotion_hub.faces import DetectedPhoto, Face
from emotion_hub.perturb.registry import PERTURBATIONS, POSITIONS
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import NATIVE48, Preprocessor
from emotion_hub.quality import DeferredWarnings
from emotion_hub.results import Comparison

__all__ = ["StressSettings", "perturbed", "stress"]

#: The face that is perturbed, and that both pipelines of the embedded checkpoints start from: gray, 48x48.
_PREPARE = Preprocessor(NATIVE48)


@dataclass(frozen=True)
class StressSettings:
    """Strengths of perturbations by name; names that are left out are neutral.

    `position` is where the occluding box lies, one of `POSITIONS`. `seed` draws the noise, so that equal settings give
    equal faces. Raises InputError for an unknown name, a strength outside the range in `PERTURBATIONS`, an unknown
    position and a seed that is not a whole number from 0.
    """

    strengths: Mapping[str, float] = field(default_factory=dict)
    position: str = "eyes"
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := [name for name in self.strengths if name not in PERTURBATIONS]:
            raise InputError(f"no perturbation {shown(unknown[0])}; choose from {', '.join(PERTURBATIONS)}")
        for name, value in self.strengths.items():
            kind = PERTURBATIONS[name]
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not kind.minimum <= value <= kind.maximum:
                raise InputError(
                    f"{name}={shown(value)}: give a number from {kind.minimum:g} to {kind.maximum:g} ({kind.unit})"
                )
        if self.position not in POSITIONS:
            raise InputError(f"position={shown(self.position)}; choose from {', '.join(POSITIONS)}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise InputError(f"seed={shown(self.seed)}: give a whole number from 0")
        object.__setattr__(self, "strengths", dict(self.strengths))

    @property
    def active(self) -> dict[str, float]:
        """{name: strength} of the perturbations that change the face, in the order in which they are applied."""
        return {
            name: self.strengths[name]
            for name, kind in PERTURBATIONS.items()
            # the steps of a slider may miss the neutral strength by a rounding error
            if not math.isclose(self.strengths.get(name, kind.neutral), kind.neutral, abs_tol=1e-9)
        }

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON types, neutral strengths included."""
        neutral = {name: kind.neutral for name, kind in PERTURBATIONS.items()}
        return {**neutral, **self.strengths, "position": self.position, "seed": self.seed}


def perturbed(image: Image.Image, settings: StressSettings) -> Image.Image:
    """The perturbed face: gray, mode L, 48x48, rounded to 8 bits once, after the last perturbation.

    `image` is a face crop of any size and mode; it is prepared as both pipelines do. Without an active perturbation
    that prepared face comes back. Raises InputError for anything but a PIL image.
    """
    gray = _PREPARE.prepare(image)
    levels = np.asarray(gray, dtype=np.float32)
    for name, strength in settings.active.items():
        levels = PERTURBATIONS[name].change(levels, strength, settings.position, settings.seed)
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def stress(
    face: Face,
    settings: StressSettings | Mapping[str, float],
    *,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    repeats: int = 1,
) -> Comparison:
    """Both pipelines' predictions for the perturbed face; the embedded checkpoints are the default.

    `settings` may be a mapping of strengths by name. Both networks get the same gray face of 48 pixels, as in the
    robustness figures of the model cards. The warnings are those of the perturbed face. `repeats` is as in `compare`.
    Raises InputError as `StressSettings` does.
    """
    chosen = settings if isinstance(settings, StressSettings) else StressSettings(settings)
    image = perturbed(face.image, chosen)
    changed = dataclasses.replace(face, image=image, warnings=DeferredWarnings(image))
    photo = DetectedPhoto(image, (changed,), {})
    [pair] = compare_detected(photo, native48=native48, upscale224=upscale224, repeats=repeats)
    return pair
