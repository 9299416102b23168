"""Preprocess faces: grayscale, resize, normalise to the network's input.

    face --prepare--> PIL image that the network sees --to_array--> float32 (C, H, W), normalised

Training and every way of serving share this implementation. It needs Pillow and NumPy only. Pillow's resampling is
anti-aliased and differs from OpenCV's by up to 29 of 255 levels, so nothing else in this project may resize a face.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import ConfigError, ImageTooLargeError, InputError, UnknownModelError, shown
from emotion_hub.images import MAX_PIXELS, crop

__all__ = ["FILTERS", "NATIVE48", "PREPROCESSING", "RGB48", "UPSCALE224", "PreprocessConfig", "Preprocessor"]

FILTERS: dict[str, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}

#: The largest mean or standard deviation; the smallest standard deviation is 1 / _LARGEST. Within these bounds
#: normalised pixels are finite float32 values.
_LARGEST = 1e6

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PreprocessConfig:
    """Preprocessing that is saved with the weights: everything that determines the network's input, no augmentation.

    `size` is the side of the network's input in pixels, `channels` 1 or 3 (gray, replicated). `face_size` is the side
    of the grayscale face to which every input is resized first, 48 because the training faces have 48 pixels; None
    skips this step. `resample` is the filter of this first step, `upsample` the filter of the resize to `size`.
    `mean` and `std` hold one value per channel, for pixels scaled to 0..1. Raises ConfigError for a value that breaks
    a rule.
    """

    name: str
    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    face_size: int | None = 48
    resample: str = "lanczos"
    upsample: str = "lanczos"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError(f"name={self.name!r}: a name is a string")
        for field in ("mean", "std"):
            value = getattr(self, field)
            try:
                object.__setattr__(self, field, tuple(float(v) for v in value))
            except (TypeError, ValueError):
                raise ConfigError(f"{field}={shown(value)}: give a list with one number per channel") from None
            except OverflowError:
                raise ConfigError(f"{field}={shown(value)}: every value must be finite") from None
            if not all(map(math.isfinite, getattr(self, field))):
                raise ConfigError(f"{field}={value!r}: every value must be finite")
        for field in ("size", "face_size"):
            value = getattr(self, field)
            if field == "face_size" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 8 <= value <= 1024:
                raise ConfigError(f"{field}={value!r}: a side is a whole number of pixels from 8 to 1024")
        if type(self.channels) is not int or self.channels not in (1, 3):
            raise ConfigError(f"channels={self.channels!r}: use 1 (gray) or 3 (gray, replicated)")
        for field in ("mean", "std"):
            if len(getattr(self, field)) != self.channels:
                raise ConfigError(
                    f"{field}={getattr(self, field)!r} has {len(getattr(self, field))} values "
                    f"for {self.channels} channels"
                )
        if max(map(abs, self.mean)) > _LARGEST:
            raise ConfigError(
                f"mean={self.mean!r}: every value is from -{_LARGEST:g} to {_LARGEST:g}, for pixels scaled to 0..1"
            )
        if min(self.std) <= 0:
            raise ConfigError(f"std={self.std!r}: every value must be above 0")
        if not 1 / _LARGEST <= min(self.std) <= max(self.std) <= _LARGEST:
            raise ConfigError(
                f"std={self.std!r}: every value is from {1 / _LARGEST:g} to {_LARGEST:g}, for pixels scaled to 0..1"
            )
        for field in ("resample", "upsample"):
            if getattr(self, field) not in tuple(FILTERS):
                raise ConfigError(f"{field}={getattr(self, field)!r} is not a filter; choose from {', '.join(FILTERS)}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types, with lists for tuples; `from_dict` is the inverse."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessConfig:
        """The configuration that a dict describes; raises ConfigError naming unknown or missing keys."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise ConfigError(
                f"unknown preprocessing key {', '.join(map(repr, unknown))}; known are {', '.join(fields)}"
            )
        required = {name for name, f in fields.items() if f.default is dataclasses.MISSING}
        if missing := sorted(required - set(values)):
            raise ConfigError(f"preprocessing lacks {', '.join(map(repr, missing))}")
        return cls(**values)

    def to_json(self) -> str:
        """The configuration as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> PreprocessConfig:
        """The configuration from JSON text; raises ConfigError for text that is not JSON, and as `from_dict` does."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"the preprocessing is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"the preprocessing is a JSON object, not {type(values).__name__}")
        return cls.from_dict(values)


#: Grayscale 48x48, one channel, scaled to [-1, 1].
NATIVE48 = PreprocessConfig("native48", size=48, channels=1, mean=(0.5,), std=(0.5,))

#: The same 48-pixel face replicated to three channels, normalised with ImageNet's mean and standard deviation.
RGB48 = PreprocessConfig("rgb48", size=48, channels=3, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)

#: The same face upsampled to 224x224, three channels, normalised with ImageNet's mean and standard deviation.
UPSCALE224 = PreprocessConfig("upscale224", size=224, channels=3, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)

PREPROCESSING: dict[str, PreprocessConfig] = {c.name: c for c in (NATIVE48, RGB48, UPSCALE224)}


class Preprocessor:
    """Converts faces to network input according to one configuration. Holds no state between calls."""

    def __init__(self, config: PreprocessConfig | str = NATIVE48) -> None:
        if isinstance(config, str):
            if config not in PREPROCESSING:
                raise UnknownModelError(f"no preprocessing {config!r}; choose from {', '.join(PREPROCESSING)}")
            config = PREPROCESSING[config]
        self.config = config

    def __repr__(self) -> str:
        return f"Preprocessor({self.config!r})"

    @cached_property
    def _table(self) -> np.ndarray:
        """float32, (C, 256): the normalised value of each gray level."""
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        mean = np.asarray(self.config.mean, dtype=np.float32)[:, None]
        std = np.asarray(self.config.std, dtype=np.float32)[:, None]
        return (levels[None, :] - mean) / std

    def prepare(self, face: Image.Image) -> Image.Image:
        """The image that the network sees: mode L (one channel) or RGB (three equal channels), `size` x `size` pixels.

        A face that is not square is padded by repeating its edge pixels. A gray face of the right size is not changed.
        Raises InputError for anything but a PIL image.
        """
        gray = self._gray(face)
        return gray if self.config.channels == 1 else gray.convert("RGB")

    def _gray(self, face: Image.Image) -> Image.Image:
        """The face in mode L, `size` x `size` pixels; Pillow would resize three equal channels equally."""
        if not isinstance(face, Image.Image):
            raise InputError(
                f"prepare takes a PIL image, not {type(face).__name__}; decode it with emotion_hub.images.load_image"
            )
        gray = _square(face if face.mode == "L" else face.convert("L"))
        first, side = self.config.face_size or self.config.size, self.config.size
        if gray.size != (first, first):
            gray = gray.resize((first, first), FILTERS[self.config.resample])
        return gray if gray.width == side else gray.resize((side, side), FILTERS[self.config.upsample])

    def to_array(self, prepared: Image.Image) -> np.ndarray:
        """float32, (C, H, W), normalised, from an image that `prepare` returned; raises InputError for others."""
        side, mode = self.config.size, "L" if self.config.channels == 1 else "RGB"
        if prepared.size != (side, side) or prepared.mode != mode:
            raise InputError(
                f"to_array needs a {side}x{side} {mode} image from prepare(), "
                f"not {prepared.width}x{prepared.height} {prepared.mode}"
            )
        pixels = np.asarray(prepared)
        if mode == "L":
            return self._table.take(pixels, axis=1)
        return np.stack([row[pixels[..., c]] for c, row in enumerate(self._table)])

    def normalise(self, planes: np.ndarray) -> np.ndarray:
        """float32, (..., C, H, W), normalised, from gray levels uint8, (..., H, W), for a whole batch at once.

        All preprocessing is gray, so one plane per face is enough; training stores its faces as such planes. Raises
        InputError for another dtype.
        """
        if planes.dtype != np.uint8:
            raise InputError(f"gray levels are uint8, not {planes.dtype}")
        return np.stack([row[planes] for row in self._table], axis=-3)

    def extremes(self) -> np.ndarray:
        """float32, (3, C, H, W), normalised: a black, a white and a half black, half white face.

        A loaded network is checked on them for finite logits.
        """
        planes = np.zeros((3, self.config.size, self.config.size), np.uint8)
        planes[1], planes[2, :, self.config.size // 2 :] = 255, 255
        return self.normalise(planes)

    def __call__(self, face: Image.Image) -> np.ndarray:
        """float32, (C, H, W), normalised: `to_array(prepare(face))` without an intermediate image of three channels."""
        return self._table.take(np.asarray(self._gray(face)), axis=1)

    def batch(self, faces: Iterable[Image.Image]) -> np.ndarray:
        """float32, (N, C, H, W), normalised; N may be 0."""
        arrays = [self(face) for face in faces]
        shape = (0, self.config.channels, self.config.size, self.config.size)
        return np.stack(arrays) if arrays else np.empty(shape, dtype=np.float32)


def _square(gray: Image.Image) -> Image.Image:
    """The image centred on a square canvas, its edge pixels repeated outwards.

    Raises ImageTooLargeError for a very long image: 40 million by 1 pixels would need a canvas of 1.6 petabytes.
    """
    width, height = gray.size
    if width == height:
        return gray
    side = max(width, height)
    if side * side > 4 * MAX_PIXELS:
        raise ImageTooLargeError(
            f"a face of {width}x{height} pixels is too long to be padded to a square; crop the face first"
        )
    left, top = (side - width) // 2, (side - height) // 2
    return crop(gray, (-left, -top, side - left, side - top))
