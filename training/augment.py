"""Augmentation of a prepared batch: random flip, affine, brightness, contrast and erasing, on tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError

__all__ = ["Augmentation", "augment_tensor"]


@dataclass(frozen=True)
class Augmentation:
    """Strengths; all zero is the identity. Angles in degrees, shifts and scales as shares of the side."""

    flip: float = 0.0
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.15)

    def __post_init__(self) -> None:
        object.__setattr__(self, "erase_area", tuple(self.erase_area))
        for name in ("flip", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} is a probability from 0 to 1")
        for name in ("rotate", "shift", "scale", "brightness", "contrast"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)!r} is a range around the original: finite and not negative")
        if self.scale >= 1:
            raise ConfigError(f"scale={self.scale!r} would shrink a face to nothing; stay below 1")
        if len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise ConfigError(f"erase_area={self.erase_area!r}: give the smallest and the largest share of the image, above 0 and at most 1")

    @property
    def moves(self) -> bool:
        """Whether any geometric step is on."""
        return any((self.flip, self.rotate, self.shift, self.scale))


def augment_tensor(batch: torch.Tensor, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """float32, (N, C, H, W), normalised, augmented image by image; the same tensor when every strength is zero."""
    count = batch.shape[0]

    def uniform(spread: float, around: float = 0.0) -> torch.Tensor:
        return around + spread * (2 * torch.rand(count, generator=generator) - 1)

    if how.moves:
        angle = uniform(math.radians(how.rotate))
        zoom = 1 / uniform(how.scale, 1.0)
        mirror = torch.where(torch.rand(count, generator=generator) < how.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        row_x = torch.stack([cos * mirror, -sin, uniform(2 * how.shift)], dim=1)
        row_y = torch.stack([sin * mirror, cos, uniform(2 * how.shift)], dim=1)
        grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), list(batch.shape), align_corners=False)
        batch = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    if how.contrast:
        mean = batch.mean(dim=(1, 2, 3), keepdim=True)
        batch = mean + (batch - mean) * uniform(how.contrast, 1.0).view(-1, 1, 1, 1)
    if how.brightness:
        batch = batch + uniform(how.brightness).view(-1, 1, 1, 1)
    if how.erase:
        batch = _erase(batch, how, generator)
    return batch


def _erase(batch: torch.Tensor, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """One box an image set to the image's mean (Zhong et al. 2020, arXiv:1708.04896, with a constant fill)."""
    count, _, height, width = batch.shape
    draw = torch.rand(5, count, generator=generator)
    low, high = how.erase_area
    area, aspect = low + (high - low) * draw[0], torch.exp((2 * draw[1] - 1) * math.log(2.5))
    box_h, box_w = torch.sqrt(area * aspect).clamp(max=0.9), torch.sqrt(area / aspect).clamp(max=0.9)
    top, left = draw[2] * (1 - box_h), draw[3] * (1 - box_w)
    y, x = torch.arange(height)[None] / height, torch.arange(width)[None] / width
    rows = (y >= top[:, None]) & (y < (top + box_h)[:, None])
    cols = (x >= left[:, None]) & (x < (left + box_w)[:, None])
    mask = (rows[:, :, None] & cols[:, None, :] & (draw[4] < how.erase)[:, None, None]).unsqueeze(1)
    return torch.where(mask, batch.mean(dim=(1, 2, 3), keepdim=True), batch)
