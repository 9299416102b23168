"""Perturbations of gray levels: blur, brightness, occlusion, noise, rotation.

The robustness figures of the model cards and the stress test share these functions. They need Pillow and NumPy only,
because the demo runs without SciPy. After rounding to 8 bits, blur and rotation equal SciPy's `gaussian_filter` and
`rotate` (order 1, mode "nearest") in every pixel of FER2013's 7,178 validation and test faces, at the strengths of the
robustness figures.

Levels are float32, (H, W), 0..255; results may leave that range, and no function changes its input.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from emotion_hub.images import crop

__all__ = ["blurred", "brightened", "covered", "noisy", "rotated"]

#: The Gaussian of the blur is cut off after this many standard deviations.
_TRUNCATE = 4.0

#: The side, in pixels, of the face that `blurred` measures its standard deviation on.
_FACE = 48


def brightened(levels: np.ndarray, factor: float) -> np.ndarray:
    """The levels times `factor`; a factor below 1 darkens."""
    return levels * factor


def blurred(levels: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur with repeated edges; `sigma` is in pixels of a 48-pixel face and scales with the longer side."""
    sigma = sigma * max(levels.shape) / _FACE
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius == 0:
        return levels
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    return _filtered(_filtered(levels, weights).T, weights).T


def _filtered(levels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32, (H, W): the columns correlated with the symmetric weights, with repeated edges, summed in float64."""
    radius = len(weights) // 2
    padded = np.pad(levels, ((radius, radius), (0, 0)), mode="edge").astype(np.float64)
    total = np.zeros(levels.shape)
    for shift, weight in enumerate(weights):
        total += weight * padded[shift : shift + len(levels)]
    return total.astype(np.float32)


def noisy(levels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """The levels plus Gaussian noise of this standard deviation, in gray levels, drawn from `rng`."""
    return levels + deviation * rng.standard_normal(levels.shape, dtype=np.float32)


def covered(levels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The levels with the mean level inside `box` (left, top, right, bottom), in pixels."""
    left, top, right, bottom = box
    result = levels.copy()
    result[top:bottom, left:right] = levels.mean()
    return result


def rotated(levels: np.ndarray, degrees: float) -> np.ndarray:
    """The levels turned counter-clockwise around the centre, bilinear, with repeated edges; the size is kept."""
    height, width = levels.shape
    pad = max(height, width)
    padded = crop(Image.fromarray(levels), (-pad, -pad, width + pad, height + pad))
    turned = padded.rotate(float(degrees), Image.Resampling.BILINEAR)
    return np.asarray(turned)[pad : pad + height, pad : pad + width]
