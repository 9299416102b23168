"""Augmentation of prepared faces: geometry, light, blur, noise, erasing."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from emotion_hub.errors import ConfigError

__all__ = ["Augmentation", "augment_image", "augment_tensor"]

_PROBABILITIES = ("flip", "vertical_flip", "clahe", "blur", "erase")
_RANGES = ("rotate", "shift", "scale", "shear", "perspective", "brightness", "contrast", "sharpness", "soften", "noise")

#: Side of the face in whose pixels `soften` and `noise` are measured: a camera degrades a face before it is upscaled.
_FACE = 48

#: The smoothing kernel of Pillow's `ImageEnhance.Sharpness`.
_SMOOTH = torch.tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13

#: A five-pixel Gaussian kernel of standard deviation 1.
_GAUSS = torch.tensor([0.0545, 0.2442, 0.4026, 0.2442, 0.0545])


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentation steps; all zero changes nothing.

    Probabilities: `flip`, `vertical_flip` (off by default, as faces are upright), `clahe`, `blur`, `erase`.

    Ranges around the original: `rotate` and `shear` in degrees; `shift`, `scale` and `perspective` (movement of a
    corner) as shares of the side; `brightness` in normalised units; `contrast` and `sharpness` as factors 1 ±
    range. `soften` is the largest standard deviation of a Gaussian blur in pixels of the 48-pixel face, applied
    to every second image. `noise` is the largest standard deviation of Gaussian noise on the 48-pixel face, in
    normalised units.

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
    sharpness: float = 0.0
    clahe: float = 0.0
    blur: float = 0.0
    soften: float = 0.0
    noise: float = 0.0
    fill: float | str = "border"
    ramp_epochs: float = 0.0
    ramp_start: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "erase_area", tuple(self.erase_area))
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
        if len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise ConfigError(
                f"erase_area={self.erase_area!r}: give the smallest and the largest share of the image, above 0 and at "
                "most 1"
            )
        if self.fill != "border" and (isinstance(self.fill, str) or not 0 <= self.fill <= 255):
            raise ConfigError(f"fill={self.fill!r}: give 'border' or a gray level from 0 to 255")

    @property
    def moves(self) -> bool:
        """Whether any geometric step is on."""
        return any((self.flip, self.vertical_flip, self.rotate, self.shift, self.scale, self.shear, self.perspective))

    def at_epoch(self, epoch: float) -> Augmentation:
        """The strengths in this epoch, counted from 0; the same object without a ramp and after it."""
        if epoch >= self.ramp_epochs:
            return self
        share = self.ramp_start + (1 - self.ramp_start) * epoch / self.ramp_epochs
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Augmentation(**{k: v * share if k in _PROBABILITIES + _RANGES else v for k, v in values.items()})


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

    Every image is augmented differently. `size` is another side of the result (progressive resizing). `gray` is
    the normalised value of each gray level, float32 (C, 256); raises ConfigError when `fill` is a gray level and
    `gray` is missing.
    """
    count, side = batch.shape[0], size or batch.shape[-1]

    def uniform(spread: float, around: float = 0.0) -> torch.Tensor:
        return around + spread * (2 * torch.rand(count, generator=generator) - 1)

    if strengths.moves:
        batch = _move(batch, strengths, generator, side, gray)
    elif side != batch.shape[-1]:
        batch = F.interpolate(batch, (side, side), mode="bilinear", align_corners=False, antialias=True)
    if strengths.contrast:
        mean = batch.mean(dim=(1, 2, 3), keepdim=True)
        batch = mean + (batch - mean) * uniform(strengths.contrast, 1.0).view(-1, 1, 1, 1)
    if strengths.brightness:
        batch = batch + uniform(strengths.brightness).view(-1, 1, 1, 1)
    if strengths.sharpness:
        soft = _filter(batch, _SMOOTH)
        batch = soft + (batch - soft) * uniform(strengths.sharpness, 1.0).view(-1, 1, 1, 1)
    if strengths.blur:
        soft = _filter(batch, _GAUSS[:, None] * _GAUSS[None])
        batch = torch.where((torch.rand(count, generator=generator) < strengths.blur).view(-1, 1, 1, 1), soft, batch)
    if strengths.soften:
        batch = _soften(batch, strengths.soften * side / _FACE, generator)
    if strengths.noise:
        sigma = strengths.noise * torch.rand(count, generator=generator).view(-1, 1, 1, 1)
        grain = torch.randn(
            (count, 1, *[min(side, _FACE)] * 2), generator=generator
        )  # all channels have the same gray plane
        if side > _FACE:
            grain = F.interpolate(grain, (side, side), mode="bicubic", align_corners=False)
        batch = batch + sigma * grain
    if strengths.erase:
        batch = _erase(batch, strengths, generator)
    return batch


def _move(
    batch: torch.Tensor, strengths: Augmentation, generator: torch.Generator, side: int, gray: torch.Tensor | None
) -> torch.Tensor:
    """Flips, rotation, shift, scale, shear and perspective as one homography per image, resampled once."""
    count = batch.shape[0]

    def uniform(spread: float, around: float = 0.0) -> torch.Tensor:
        return around + spread * (2 * torch.rand(count, generator=generator) - 1)

    angle = uniform(math.radians(strengths.rotate))
    zoom = 1 / uniform(strengths.scale, 1.0)
    mirror = torch.where(torch.rand(count, generator=generator) < strengths.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    across, down = uniform(2 * strengths.shift), uniform(2 * strengths.shift)
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


def _filter(batch: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The batch filtered with a symmetric kernel; edges are repeated."""
    pad = kernel.shape[0] // 2
    planes = F.pad(batch.flatten(0, 1).unsqueeze(1), [pad] * 4, mode="replicate")
    return F.conv2d(planes, kernel[None, None]).reshape(batch.shape)


def _soften(batch: torch.Tensor, largest: float, generator: torch.Generator) -> torch.Tensor:
    """Every second image blurred by a Gaussian of its own standard deviation, uniform up to `largest` pixels."""
    count, channels, height, width = batch.shape
    sigma = largest * torch.rand(count, generator=generator).clamp(min=1e-3)
    chosen = torch.nonzero(torch.rand(count, generator=generator) < 0.5).flatten()
    if not len(chosen):
        return batch
    radius = math.ceil(3 * float(sigma[chosen].max()))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma[chosen, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = F.pad(batch[chosen].reshape(1, -1, height, width), [radius] * 4, mode="replicate")
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=len(kernel))
    planes = F.conv2d(planes, kernel[:, None, None, :], groups=len(kernel))
    return batch.index_copy(0, chosen, planes.reshape(-1, channels, height, width))


def _erase(batch: torch.Tensor, strengths: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """One box per image set to the image's mean (Zhong et al. 2020, arXiv:1708.04896, with a constant fill)."""
    count, _, height, width = batch.shape
    draw = torch.rand(5, count, generator=generator)
    low, high = strengths.erase_area
    area, aspect = low + (high - low) * draw[0], torch.exp((2 * draw[1] - 1) * math.log(2.5))
    box_h, box_w = torch.sqrt(area * aspect).clamp(max=0.9), torch.sqrt(area / aspect).clamp(max=0.9)
    top, left = draw[2] * (1 - box_h), draw[3] * (1 - box_w)
    y, x = torch.arange(height)[None] / height, torch.arange(width)[None] / width
    rows = (y >= top[:, None]) & (y < (top + box_h)[:, None])
    cols = (x >= left[:, None]) & (x < (left + box_w)[:, None])
    mask = (rows[:, :, None] & cols[:, None, :] & (draw[4] < strengths.erase)[:, None, None]).unsqueeze(1)
    return torch.where(mask, batch.mean(dim=(1, 2, 3), keepdim=True), batch)
