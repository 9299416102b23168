"""JPEG compression of gray images in torch, with Pillow's quality scale."""

from __future__ import annotations

import math

import torch

__all__ = ["BLOCK", "jpeg_levels", "quantisation"]

#: Side of a block in pixels.
BLOCK = 8

#: Luminance table of the JPEG standard (ITU-T T.81, table K.1), rows of vertical frequencies.
_LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)

_FREQUENCY = torch.arange(BLOCK, dtype=torch.float64)

#: Orthonormal DCT-II, (frequency, position); JPEG's transform of a block B is _DCT @ B @ _DCT.T (T.81, A.3.3).
_DCT = (
    torch.cos(math.pi * (2 * _FREQUENCY[None] + 1) * _FREQUENCY[:, None] / (2 * BLOCK))
    * torch.where(_FREQUENCY == 0, math.sqrt(1 / BLOCK), math.sqrt(2 / BLOCK))[:, None]
).float()


def quantisation(quality: torch.Tensor) -> torch.Tensor:
    """float32 (N, 8, 8): libjpeg's quantisation tables, which Pillow uses, for int64 (N,) qualities of 1 to 100."""
    scale = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table = (_LUMINANCE * scale[:, None, None] + 50) // 100
    return table.clamp(1, 255).float()


def jpeg_levels(levels: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """float32 (N, H, W), whole numbers of 0..255: the gray images after JPEG at each one's quality.

    `levels` are whole numbers of 0..255 and H and W multiples of 8. The coefficients of the discrete cosine transform
    of each block are divided by the table, rounded and multiplied again; the lossless part of JPEG is left out.
    libjpeg transforms in integers, so that a few coefficients that lie next to a half are rounded the other way.
    """
    count, height, width = levels.shape
    blocks = (levels - 128).reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    table = quantisation(quality)[:, None, None]
    ratio = _DCT @ blocks @ _DCT.T / table
    kept = ratio.sign() * (ratio.abs() + 0.5 + 1e-6).floor() * table  # halves, which are frequent, away from zero
    decoded = (_DCT.T @ kept @ _DCT + 128).round().clamp(0, 255)
    return decoded.transpose(2, 3).reshape(count, height, width)
