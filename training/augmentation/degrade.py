"""Degradations of faces: blur, noise, low resolution, JPEG, covered parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from training.augmentation.jpeg import BLOCK, jpeg_levels
from training.augmentation.strengths import FACE

__all__ = ["GAUSS", "SMOOTH", "add_noise", "compress", "erase", "filtered", "occlude", "reduce_and_enlarge", "soften"]

#: The smoothing kernel of Pillow's `ImageEnhance.Sharpness`.
SMOOTH = torch.tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13

_FIVE = torch.tensor([0.0545, 0.2442, 0.4026, 0.2442, 0.0545])

#: A Gaussian kernel of five by five pixels and standard deviation 1.
GAUSS = _FIVE[:, None] * _FIVE[None]

#: Top, left, height and width of one box per image, float32 (N,) each, as shares of the image's side.
Box = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

#: Shares of the face that `occlude` covers: area of a patch, part of a half face, height of a band.
PATCH, HALF, BAND = (0.1, 0.35), (0.3, 0.5), (0.12, 0.25)


def filtered(batch: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The batch, (N, C, H, W), filtered with a symmetric kernel; edges are repeated."""
    pad = kernel.shape[0] // 2
    planes = F.pad(batch.flatten(0, 1).unsqueeze(1), [pad] * 4, mode="replicate")
    return F.conv2d(planes, kernel[None, None]).reshape(batch.shape)


def soften(batch: torch.Tensor, largest: float, generator: torch.Generator) -> torch.Tensor:
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


def add_noise(batch: torch.Tensor, largest: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise on the 48-pixel face, of a standard deviation uniform up to `largest`; equal in all channels."""
    count, side = batch.shape[0], batch.shape[-1]
    sigma = largest * torch.rand(count, generator=generator).view(-1, 1, 1, 1)
    grain = torch.randn((count, 1, *[min(side, FACE)] * 2), generator=generator)
    if side > FACE:
        grain = F.interpolate(grain, (side, side), mode="bicubic", align_corners=False)
    return batch + sigma * grain


def reduce_and_enlarge(
    batch: torch.Tensor, share: float, sides: tuple[int, int], generator: torch.Generator, gray: torch.Tensor
) -> torch.Tensor:
    """A `share` of the images reduced to a side of `sides` pixels of the 48-pixel face, and enlarged again.

    Pillow's filters: bilinear, then LANCZOS as in preprocessing. `gray` is as in `augment_tensor`.
    """
    count = batch.shape[0]
    chosen = torch.nonzero(torch.rand(count, generator=generator) < share).flatten()
    drawn = torch.randint(sides[0], sides[1] + 1, (count,), generator=generator)[chosen].tolist()

    def change(planes: torch.Tensor) -> torch.Tensor:
        side = planes.shape[-1]
        there_and_back = torch.stack([_round_trip(side, max(1, round(small * side / FACE))) for small in drawn])
        return there_and_back @ planes @ there_and_back.transpose(1, 2)

    return _on_small_faces(batch, chosen, gray, change)


def compress(
    batch: torch.Tensor, share: float, quality: tuple[int, int], generator: torch.Generator, gray: torch.Tensor
) -> torch.Tensor:
    """A `share` of the images after JPEG at a quality of that range, on the 48-pixel face; `gray` as above.

    The blocks of a photo lie anywhere on a face, so that each batch gets another offset of the grid of blocks.
    """
    count = batch.shape[0]
    chosen = torch.nonzero(torch.rand(count, generator=generator) < share).flatten()
    drawn = torch.randint(quality[0], quality[1] + 1, (count,), generator=generator)[chosen]
    top, left = torch.randint(0, BLOCK, (2,), generator=generator).tolist()

    def change(planes: torch.Tensor) -> torch.Tensor:
        height, width = planes.shape[-2:]
        pad = [left, -(left + width) % BLOCK, top, -(top + height) % BLOCK]
        padded = F.pad((255 * planes).round().clamp(0, 255).unsqueeze(1), pad, mode="replicate").squeeze(1)
        return jpeg_levels(padded, drawn)[:, top : top + height, left : left + width] / 255

    return _on_small_faces(batch, chosen, gray, change)


def _on_small_faces(
    batch: torch.Tensor, chosen: torch.Tensor, gray: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The batch with `change` applied to the chosen images, as faces of at most 48 pixels.

    `change` gets and returns gray levels, float32 (chosen, S, S), where 0 is black and 1 white. A larger image gets
    the difference that it makes, enlarged; its own detail stays.
    """
    if not len(chosen):
        return batch
    black, white = (gray[:, level].view(1, -1, 1, 1) for level in (0, 255))
    images, side = batch[chosen], batch.shape[-1]
    planes = ((images - black) / (white - black)).mean(dim=1, keepdim=True)
    if side > FACE:
        planes = F.interpolate(planes, (FACE, FACE), mode="bicubic", align_corners=False, antialias=True)
    difference = change(planes.squeeze(1)).unsqueeze(1) - planes
    if side > FACE:
        difference = F.interpolate(difference, (side, side), mode="bicubic", align_corners=False)
    return batch.index_copy(0, chosen, images + difference * (white - black))


@lru_cache(maxsize=256)
def _round_trip(side: int, small: int) -> torch.Tensor:
    """float32 (side, side): the linear map of one image axis to `small` pixels and back, by Pillow's filters."""

    def resized(pixels: np.ndarray, rows: int, resample: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((pixels.shape[1], rows), resample))

    down = resized(np.eye(side, dtype=np.float32), small, Image.Resampling.BILINEAR)
    return torch.from_numpy(resized(down, side, Image.Resampling.LANCZOS).copy())


def _inside(box: Box, size: torch.Size) -> torch.Tensor:
    """bool (N, H, W): the pixels inside each image's box."""
    (top, left, box_h, box_w), (height, width) = box, size[-2:]
    y, x = torch.arange(height)[None] / height, torch.arange(width)[None] / width
    rows = (y >= top[:, None]) & (y < (top + box_h)[:, None])
    cols = (x >= left[:, None]) & (x < (left + box_w)[:, None])
    return rows[:, :, None] & cols[:, None, :]


def _patch(area: torch.Tensor, draw: torch.Tensor) -> Box:
    """Top, left, height and width of boxes with these areas, from three uniform random numbers each, (3, N)."""
    aspect = torch.exp((2 * draw[0] - 1) * math.log(2.5))
    box_h, box_w = torch.sqrt(area * aspect).clamp(max=0.9), torch.sqrt(area / aspect).clamp(max=0.9)
    return draw[1] * (1 - box_h), draw[2] * (1 - box_w), box_h, box_w


def erase(batch: torch.Tensor, share: float, area: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """One box per image set to the image's mean (Zhong et al. 2020, arXiv:1708.04896, with a constant fill)."""
    draw = torch.rand(5, batch.shape[0], generator=generator)
    box = _patch(area[0] + (area[1] - area[0]) * draw[0], draw[1:4])
    mask = (_inside(box, batch.shape) & (draw[4] < share)[:, None, None]).unsqueeze(1)
    return torch.where(mask, batch.mean(dim=(1, 2, 3), keepdim=True), batch)


def occlude(batch: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """A `share` of the images with one part covered: a patch, one side of the face, or a dark band.

    The three are equally likely. A patch or side has one gray level between the image's darkest and brightest, a band
    its darkest.
    """
    draw = torch.rand(8, batch.shape[0], generator=generator)
    zeros, ones = torch.zeros_like(draw[0]), torch.ones_like(draw[0])

    def within(ends: tuple[float, float], number: torch.Tensor) -> torch.Tensor:
        return ends[0] + (ends[1] - ends[0]) * number

    part, band = within(HALF, draw[2]), within(BAND, draw[2])
    sides = [(zeros, zeros, ones, part), (zeros, 1 - part, ones, part)]
    ends = [(zeros, zeros, part, ones), (1 - part, zeros, part, ones)]
    boxes = [_patch(within(PATCH, draw[2]), draw[3:6]), *sides, *ends, (draw[3] * (1 - band), zeros, band, ones)]
    kind = (3 * draw[1]).long()  # 0: patch, 1: half face, 2: band
    number = torch.where(kind == 1, 1 + (4 * draw[6]).long(), torch.where(kind == 2, len(boxes) - 1, 0))
    stacked = torch.stack([torch.stack(box) for box in boxes])  # (boxes, 4, N)
    top, left, box_h, box_w = stacked.gather(0, number.expand(1, 4, -1)).squeeze(0)
    mask = (_inside((top, left, box_h, box_w), batch.shape) & (draw[0] < share)[:, None, None]).unsqueeze(1)
    low, high = batch.amin(dim=(2, 3), keepdim=True), batch.amax(dim=(2, 3), keepdim=True)
    level = torch.where(kind == 2, 0.0, draw[7]).view(-1, 1, 1, 1)
    return torch.where(mask, low + level * (high - low), batch)
