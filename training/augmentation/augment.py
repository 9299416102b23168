"""Augmentation of prepared faces: geometry, light, degradations."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError
from training.augmentation.degrade import (
    GAUSS,
    SMOOTH,
    add_noise,
    compress,
    erase,
    filtered,
    occlude,
    reduce_and_enlarge,
    soften,
)
from training.augmentation.geometry import move
from training.augmentation.strengths import FACE, Augmentation

__all__ = ["augment_image", "augment_tensor"]


def augment_image(planes: np.ndarray, strengths: Augmentation, generator: torch.Generator) -> np.ndarray:
    """uint8, (N, S, S), after contrast-limited adaptive histogram equalisation, the step that needs 8-bit levels.

    OpenCV's CLAHE with clip limit 2 and tiles of a quarter of the side. Returns the same array when the step is
    off.
    """
    if not strengths.clahe:
        return planes
    chosen = torch.rand(len(planes), generator=generator) < strengths.clahe
    equaliser = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4))
    return np.stack(
        [equaliser.apply(plane) if on else plane for plane, on in zip(planes, chosen.tolist(), strict=True)]
    )


def augment_tensor(
    batch: torch.Tensor,
    strengths: Augmentation,
    generator: torch.Generator,
    size: int | None = None,
    gray: torch.Tensor | None = None,
) -> torch.Tensor:
    """float32, (N, C, H, W), normalised: the augmented batch; the same tensor when all strengths are zero.

    Every image is augmented differently; a step that is off draws no random number. The order is that of a photo:
    crop and pose, covered parts, light, lens, resolution, sensor, compression; erasing comes last. `size` is another
    side of the result (progressive resizing). `gray` is the normalised value of each gray level, float32 (C, 256);
    raises ConfigError when it is missing and `fill` is a gray level, or `gamma`, `small` or `jpeg` is on.
    """
    count, side = batch.shape[0], size or batch.shape[-1]

    def uniform(spread: float, around: float = 0.0) -> torch.Tensor:
        return around + spread * (2 * torch.rand(count, generator=generator) - 1)

    if strengths.moves:
        batch = move(batch, strengths, generator, side, gray)
    elif side != batch.shape[-1]:
        batch = F.interpolate(batch, (side, side), mode="bilinear", align_corners=False, antialias=True)
    if strengths.occlude:
        batch = occlude(batch, strengths.occlude, generator)
    if strengths.contrast:
        mean = batch.mean(dim=(1, 2, 3), keepdim=True)
        batch = mean + (batch - mean) * uniform(strengths.contrast, 1.0).view(-1, 1, 1, 1)
    if strengths.low_contrast:
        batch = _flatten_contrast(batch, strengths.low_contrast, generator)
    if strengths.brightness:
        batch = batch + uniform(strengths.brightness).view(-1, 1, 1, 1)
    if strengths.gamma:
        batch = _gamma(batch, torch.exp(uniform(strengths.gamma)), _levels(gray, "gamma"))
    if strengths.sharpness:
        soft = filtered(batch, SMOOTH)
        batch = soft + (batch - soft) * uniform(strengths.sharpness, 1.0).view(-1, 1, 1, 1)
    if strengths.blur:
        soft = filtered(batch, GAUSS)
        batch = torch.where((torch.rand(count, generator=generator) < strengths.blur).view(-1, 1, 1, 1), soft, batch)
    if strengths.soften:
        batch = soften(batch, strengths.soften * side / FACE, generator)
    if strengths.small:
        batch = reduce_and_enlarge(batch, strengths.small, strengths.small_sides, generator, _levels(gray, "small"))
    if strengths.noise:
        batch = add_noise(batch, strengths.noise, generator)
    if strengths.jpeg:
        batch = compress(batch, strengths.jpeg, strengths.jpeg_quality, generator, _levels(gray, "jpeg"))
    if strengths.erase:
        batch = erase(batch, strengths.erase, strengths.erase_area, generator)
    return batch


def _levels(gray: torch.Tensor | None, step: str) -> torch.Tensor:
    """`gray`; raises ConfigError where it is missing."""
    if gray is None:
        raise ConfigError(f"{step} works on gray levels, which needs the argument `gray`; pass it, or set {step} = 0")
    return gray


def _flatten_contrast(batch: torch.Tensor, largest: float, generator: torch.Generator) -> torch.Tensor:
    """Every second image with its contrast multiplied by a factor between 1 - `largest` and 1."""
    draw = torch.rand(2, batch.shape[0], generator=generator)
    factor = torch.where(draw[1] < 0.5, 1 - largest * draw[0], 1.0).view(-1, 1, 1, 1)
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(factor < 1, mean + (batch - mean) * factor, batch)


def _gamma(batch: torch.Tensor, exponent: torch.Tensor, gray: torch.Tensor) -> torch.Tensor:
    """Each image's gray levels, 0 (black) to 1 (white), raised to its exponent; values outside keep their distance."""
    black, white = (gray[:, level].view(1, -1, 1, 1) for level in (0, 255))
    inside = ((batch - black) / (white - black)).mean(dim=1, keepdim=True).clamp(0, 1)  # all channels are equal
    return batch + (inside ** exponent.view(-1, 1, 1, 1) - inside) * (white - black)
