"""Augmentation: strengths of the augmentation steps, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from emotion_hub.errors import ConfigError

__all__ = ["FACE", "Augmentation"]

#: Side of the face in whose pixels degradations are measured: a camera degrades a face before it is upscaled.
FACE = 48

_PROBABILITIES = ("flip", "vertical_flip", "clahe", "blur", "erase", "low_contrast", "occlude", "small", "jpeg")
_RANGES = (
    "rotate",
    "shift",
    "scale",
    "shear",
    "perspective",
    "crop",
    "brightness",
    "contrast",
    "gamma",
    "sharpness",
    "soften",
    "noise",
)


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentation steps; all zero changes nothing.

    Probabilities: `flip`, `vertical_flip` (off by default, as faces are upright), `clahe`, `blur`, `erase`, `occlude`
    (patches, half faces and dark bands), `small` and `jpeg`.

    Ranges around the original: `rotate` and `shear` in degrees; `shift`, `scale` and `perspective` (movement of a
    corner) as shares of the side; `brightness` in normalised units; `contrast` and `sharpness` as factors 1 ±
    range; `gamma` as the largest absolute logarithm of the exponent. `crop` varies shift and scale as a face
    detector's crops do: 1 is the measured variation, 0.5 half of it (training.augmentation.geometry).

    `low_contrast` is the largest loss of contrast of every second image: 0.7 leaves 30% or more.

    Degradations are measured in pixels of the 48-pixel face, so that networks of all sizes see the same faces.
    `soften` is the largest standard deviation of a Gaussian blur in pixels, applied to every second image. `noise` is
    the largest standard deviation of Gaussian noise, in normalised units. `small` reduces a face to a side within
    `small_sides` pixels and enlarges it again. `jpeg` saves it as JPEG with a quality within `jpeg_quality`, on
    Pillow's scale of 1 to 100.

    `fill` is the colour of areas that geometry uncovers: "border" repeats the edge, a number is a gray level of
    0..255. With `ramp_epochs` above 0, all strengths grow linearly from `ramp_start` times their value to their
    value.
    """

    flip: float = 0.0
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.15)
    vertical_flip: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    crop: float = 0.0
    gamma: float = 0.0
    low_contrast: float = 0.0
    sharpness: float = 0.0
    clahe: float = 0.0
    blur: float = 0.0
    soften: float = 0.0
    noise: float = 0.0
    occlude: float = 0.0
    small: float = 0.0
    small_sides: tuple[int, int] = (16, FACE)
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (20, 90)
    fill: float | str = "border"
    ramp_epochs: float = 0.0
    ramp_start: float = 0.3

    def __post_init__(self) -> None:
        for name in ("erase_area", "small_sides", "jpeg_quality"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in (*_PROBABILITIES, "ramp_start"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} is no probability or share; give a number from 0 to 1"
                )
        for name in (*_RANGES, "ramp_epochs"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)!r} is no range; give a finite number of at least 0")
        if self.scale >= 1:
            raise ConfigError(f"scale={self.scale!r} would shrink a face to nothing; give a number below 1")
        if self.perspective >= 0.5:
            raise ConfigError(f"perspective={self.perspective!r} could fold a face onto itself; give a number below .5")
        if self.low_contrast >= 1:
            raise ConfigError(f"low_contrast={self.low_contrast!r} would leave a flat image; give a number below 1")
        if len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise ConfigError(
                f"erase_area={self.erase_area!r}: give the smallest and the largest share of the image, above 0 and at "
                "most 1"
            )
        for name, low, high in (("small_sides", 4, FACE), ("jpeg_quality", 1, 100)):
            _check_pair(name, getattr(self, name), low, high)
        if self.fill != "border" and (isinstance(self.fill, str) or not 0 <= self.fill <= 255):
            raise ConfigError(f"fill={self.fill!r}: give 'border' or a gray level from 0 to 255")

    @property
    def moves(self) -> bool:
        """Whether any geometric step is on."""
        return any(
            (
                self.flip,
                self.vertical_flip,
                self.rotate,
                self.shift,
                self.scale,
                self.shear,
                self.perspective,
                self.crop,
            )
        )

    def at_epoch(self, epoch: float) -> Augmentation:
        """The strengths in this epoch, counted from 0; the same object without a ramp and after it."""
        if epoch >= self.ramp_epochs:
            return self
        share = self.ramp_start + (1 - self.ramp_start) * epoch / self.ramp_epochs
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Augmentation(**{k: v * share if k in _PROBABILITIES + _RANGES else v for k, v in values.items()})


def _check_pair(name: str, pair: tuple[int, ...], low: int, high: int) -> None:
    """Raises ConfigError unless `pair` is two integers, in order, within `low` to `high`."""
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in pair)
    if len(pair) != 2 or not whole or not low <= pair[0] <= pair[1] <= high:
        raise ConfigError(f"{name}={pair!r}: give the smallest and the largest integer, from {low} to {high}")
