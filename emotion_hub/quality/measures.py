"""Measures of a prepared face: brightness, contrast, sharpness, flat blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_hub.errors import InputError

__all__ = ["FaceMeasures", "measure_face", "sharpness"]

#: Gray levels from this one on count as white.
_WHITE = 250

#: Side in pixels of a block, and the standard deviation in gray levels below which a block is flat.
_BLOCK, _FLAT = 6, 1.0

#: Share of the side that is left out on each edge when flat blocks are counted: a face's corners show background, which
#: is flat in studio photos.
_MARGIN = 9 / 48


@dataclass(frozen=True)
class FaceMeasures:
    """Measures of the gray levels of a face, 0..255.

    `bright_level` is their 95th percentile, `white_share` the share of pixels from 250 on, `contrast` the standard
    deviation. `sharpness` is that of `sharpness`. `flat_share` is the share of the inner face's blocks of 6×6 pixels
    whose standard deviation is below one level.
    """

    bright_level: float
    white_share: float
    contrast: float
    sharpness: float
    flat_share: float


def measure_face(levels: np.ndarray) -> FaceMeasures:
    """The measures of a face prepared for a 48-pixel network: uint8, (H, W).

    All sizes are in pixels of the prepared face, so they do not depend on the size of the photo. Raises InputError for
    another array, and for one with a side below 24 pixels.
    """
    if levels.ndim != 2 or levels.dtype != np.uint8 or min(levels.shape) < 24:
        raise InputError(
            f"measure_face needs gray levels of at least 24x24 pixels in uint8, not {levels.dtype} {levels.shape}; "
            "prepare the face with Preprocessor"
        )
    cumulated = np.bincount(levels.ravel(), minlength=256).cumsum()
    pixels = levels.astype(np.float32)
    return FaceMeasures(
        bright_level=float(np.searchsorted(cumulated, 0.95 * levels.size)),
        white_share=float(1 - cumulated[_WHITE - 1] / levels.size),
        contrast=float(pixels.std()),
        sharpness=sharpness(pixels),
        flat_share=_flat_share(pixels),
    )


def sharpness(pixels: np.ndarray) -> float:
    """Mean second difference of neighbouring pixels divided by the mean first difference; float32, (H, W).

    The ratio is 0 for a ramp and falls with the width of a blur; it depends neither on contrast nor on brightness.
    Noise raises it. 0 for an image of one colour.
    """
    first = second = 0.0
    for axis in (0, 1):
        step = np.diff(pixels, axis=axis)
        first += float(np.abs(step).mean())
        second += float(np.abs(np.diff(step, axis=axis)).mean())
    return second / first if first > 0 else 0.0


def _flat_share(pixels: np.ndarray) -> float:
    top, left = (round(_MARGIN * side) for side in pixels.shape)
    rows, columns = ((side - 2 * edge) // _BLOCK for side, edge in zip(pixels.shape, (top, left), strict=True))
    inner = pixels[top : top + rows * _BLOCK, left : left + columns * _BLOCK]
    blocks = inner.reshape(rows, _BLOCK, columns, _BLOCK)
    return float((blocks.std(axis=(1, 3)) < _FLAT).mean())
