"""Geometric augmentation: one homography per image."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError
from training.augmentation.strengths import Augmentation

__all__ = ["CROP_SHIFT", "CROP_ZOOM", "move"]

#: Standard deviations of YuNet's framed crops on FER2013 faces: logarithm of the side, and shift to the right and
#: down in sides. Mean 0, almost uncorrelated, close to normal (training/studies/jitter.md, 1,434 validation faces).
#: Crops of one face under small changes of its photo vary by .035, .013 and .018.
CROP_ZOOM, CROP_SHIFT = 0.178, (0.058, 0.052)

#: Crops further out than this, in standard deviations, are drawn in towards it.
_OUTERMOST = 2.5


def move(
    batch: torch.Tensor, strengths: Augmentation, generator: torch.Generator, side: int, gray: torch.Tensor | None
) -> torch.Tensor:
    """Flips, rotation, shift, scale, crop, shear and perspective as one homography per image, resampled once.

    float32 (N, C, H, W) -> (N, C, side, side). Raises ConfigError when `fill` is a gray level and `gray`, as in
    `augment_tensor`, is missing.
    """
    count = batch.shape[0]

    def uniform(spread: float, around: float = 0.0) -> torch.Tensor:
        return around + spread * (2 * torch.rand(count, generator=generator) - 1)

    angle = uniform(math.radians(strengths.rotate))
    zoom = 1 / uniform(strengths.scale, 1.0)
    mirror = torch.where(torch.rand(count, generator=generator) < strengths.flip, -1.0, 1.0)
    across, down = uniform(2 * strengths.shift), uniform(2 * strengths.shift)
    if strengths.crop:
        draw = strengths.crop * torch.randn(3, count, generator=generator).clamp(-_OUTERMOST, _OUTERMOST)
        zoom = zoom * torch.exp(CROP_ZOOM * draw[0])
        across, down = across + 2 * CROP_SHIFT[0] * draw[1], down + 2 * CROP_SHIFT[1] * draw[2]
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    ones, zeros = torch.ones(count), torch.zeros(count)
    lean = torch.tan(uniform(math.radians(strengths.shear))) if strengths.shear else zeros
    upside = (
        torch.where(torch.rand(count, generator=generator) < strengths.vertical_flip, -1.0, 1.0)
        if strengths.vertical_flip
        else ones
    )
    tilt_x, tilt_y = (
        (uniform(strengths.perspective), uniform(strengths.perspective)) if strengths.perspective else (zeros, zeros)
    )
    rows = [
        torch.stack([cos * mirror, lean - sin * upside, across], dim=1),
        torch.stack([sin * mirror, cos * upside, down], dim=1),
        torch.stack([tilt_x, tilt_y, ones], dim=1),
    ]
    matrix = torch.stack(rows, dim=1)
    steps = (torch.arange(side, dtype=torch.float32) * 2 + 1) / side - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])
    mapped = matrix @ points
    grid = (mapped[:, :2] / mapped[:, 2:]).transpose(1, 2).reshape(count, side, side, 2)
    if strengths.fill == "border":
        return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    if gray is None:
        raise ConfigError(
            f"fill={strengths.fill!r} is a gray level, which needs the argument `gray`; pass it, or use fill='border'"
        )
    level = gray[:, round(float(strengths.fill))].view(1, -1, 1, 1)
    return F.grid_sample(batch - level, grid, padding_mode="zeros", align_corners=False) + level
