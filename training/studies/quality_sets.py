"""Faces with one known fault, and images without a face."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emotion_hub.errors import InputError
from emotion_hub.images import crop, load_image
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.evaluation.robustness import corrupt, enlarged

__all__ = ["FAULTS", "Fault", "crops_without_faces", "cut_photo", "drawn_images", "faulty_faces", "noface_photos"]

Change = Callable[[Image.Image, float, np.random.Generator], Image.Image]

_SIDE = 48


def _reduced_contrast(face: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    levels = np.asarray(face.convert("L"), dtype=np.float32)
    return Image.fromarray(np.rint(levels.mean() + factor * (levels - levels.mean())).clip(0, 255).astype(np.uint8))


def _reduced_size(face: Image.Image, side: float, rng: np.random.Generator) -> Image.Image:
    return face.convert("L").resize((int(side), int(side)), Image.Resampling.LANCZOS)


def _flat_half(face: Image.Image, half: float, rng: np.random.Generator) -> Image.Image:
    levels = np.asarray(face.convert("L")).copy()
    levels[_half(rng)] = round(float(levels.mean()))
    return Image.fromarray(levels)


def _textured_half(face: Image.Image, half: float, rng: np.random.Generator) -> Image.Image:
    """Half of the face covered with smoothed noise, in place of an object with detail."""
    levels = np.asarray(face.convert("L")).copy()
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
    part = _half(rng)
    levels[part] = np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))[part]
    return Image.fromarray(levels)


def _half(rng: np.random.Generator) -> tuple[slice, slice]:
    """The upper, lower, left or right half of a face of 48 pixels."""
    middle, whole = _SIDE // 2, slice(None)
    parts = (slice(0, middle), whole), (slice(middle, None), whole), (whole, slice(0, middle)), (whole, slice(24, None))
    return parts[rng.integers(4)]


def _corruption(name: str) -> Change:
    return lambda face, strength, rng: corrupt(face, name, strength, rng)


@dataclass(frozen=True)
class Fault:
    """One change of a face at several strengths, from mild to strong; `code` is the warning that should follow."""

    code: str | None
    name: str
    change: Change
    strengths: tuple[float, ...]


#: Every fault that can be made from a 48-pixel face. Noise has no warning of its own.
FAULTS: tuple[Fault, ...] = (
    Fault("dark", "brightness, factor", _corruption("brightness"), (0.6, 0.35, 0.15)),
    Fault("overexposed", "brightness, factor", _corruption("brightness"), (1.5, 2.0, 3.0)),
    Fault("low_contrast", "contrast, factor", _reduced_contrast, (0.5, 0.25, 0.1)),
    Fault("blurred", "Gaussian blur, pixels", _corruption("blur"), (0.75, 1.25, 2.0)),
    Fault("small", "side, pixels", _reduced_size, (32, 24, 16)),
    Fault("tilted", "rotation, degrees", _corruption("rotation"), (10.0, 20.0, 40.0)),
    Fault("occluded", "flat box, share of the side", _corruption("occlusion"), (0.25, 0.4, 0.55)),
    Fault("occluded", "flat half, share", _flat_half, (0.5,)),
    Fault("occluded", "textured half, share", _textured_half, (0.5,)),
    Fault(None, "noise, gray levels", _corruption("noise"), (8.0, 16.0, 32.0)),
)


def faulty_faces(faces: Sequence[Image.Image], fault: Fault, strength: float, seed: int = 0) -> list[Image.Image]:
    """Each face with the fault; its random parts are drawn from (seed, position of the face)."""
    return [fault.change(face, strength, np.random.default_rng((seed, i))) for i, face in enumerate(faces)]


def cut_photo(face: Image.Image, share: float, side: int) -> Image.Image:
    """An RGB photo of the enlarged face whose border cuts off a share of the face at one side, 0..3."""
    photo = enlarged(face)
    margin = (photo.width - 4 * face.width) // 2
    cut = margin + round(share * 4 * face.width)
    boxes = (
        (cut, 0, photo.width, photo.height),
        (0, cut, photo.width, photo.height),
        (0, 0, photo.width - cut, photo.height),
        (0, 0, photo.width, photo.height - cut),
    )
    return photo.crop(boxes[side])


def noface_photos(folder: Path) -> list[Image.Image]:
    """The upright photos of the folder whose names start with noface_; raises InputError without one."""
    photos = [load_image(path) for path in sorted(folder.glob("noface_*.jpg"))]
    if not photos:
        raise InputError(f"there is no noface_*.jpg in {folder}; give the folder of the photos")
    return photos


def crops_without_faces(photos: Sequence[Image.Image], count: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    """`count` random square RGB crops of at least 48 pixels."""
    for i in range(count):
        photo = photos[i % len(photos)]
        side = int(rng.integers(_SIDE, min(photo.size) + 1))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        yield crop(photo, (left, top, left + side, top + side))


def drawn_images(count: int, rng: np.random.Generator) -> dict[str, list[Image.Image]]:
    """{kind: `count` images}, mode L, 48x48: one level, noise, gradients, stripes and text."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    kinds: dict[str, list[np.ndarray]] = {"flat": [], "noise": [], "gradient": [], "stripes": [], "text": []}
    font = ImageFont.load_default(11)
    for _ in range(count):
        angle, rate = rng.uniform(0, 2 * math.pi), rng.uniform(10, 70)
        along = math.cos(angle) * x + math.sin(angle) * y
        kinds["flat"].append(np.full((_SIDE, _SIDE), rng.integers(0, 256)))
        kinds["noise"].append(rng.integers(0, 256, (_SIDE, _SIDE)))
        kinds["gradient"].append((along - along.min()) / np.ptp(along) * 255)
        kinds["stripes"].append(127 + 120 * np.sign(np.sin(rate * along)))
        page = Image.new("L", (_SIDE, _SIDE), 255)
        for line in range(4):
            word = "".join(chr(letter) for letter in rng.integers(97, 123, 8))
            ImageDraw.Draw(page).text((2, 11 * line), word, fill=0, font=font)
        kinds["text"].append(np.asarray(page))
    prepare = Preprocessor(NATIVE48).prepare
    return {
        kind: [prepare(Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))) for levels in images]
        for kind, images in kinds.items()
    }
