"""Regions of a prepared face (eyes, mouth, ...) and their share of a map."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from emotion_hub.explainers.base import GRID, on_grid

__all__ = ["LANDMARKS_FILE", "REGIONS", "areas", "region_masks", "shares"]

#: The mean landmarks of training faces, written by `python -m training.face_regions`.
LANDMARKS_FILE = Path(__file__).with_name("landmarks.json")

#: A partition of the face. A cell where two shapes overlap belongs to the first of them.
REGIONS = ("eyes", "brows", "mouth", "nose", "face", "background")


@lru_cache(maxsize=1)
def region_masks() -> dict[str, np.ndarray]:
    """{region: bool (GRID, GRID)}; each cell is in exactly one region. `face` is the rest: cheeks, chin and forehead.

    The regions are ellipses around the mean landmarks that YuNet finds in training faces; their sizes are multiples
    of the distance between the eyes. They were fixed before any map was computed. Landmarks of FER2013 faces vary by
    about a fifth of that distance (`sd` in the file). For a turned or badly framed face the shares mean less.
    """
    points = np.array(json.loads(LANDMARKS_FILE.read_text())["mean"])
    return _masks(points)


def _masks(points: np.ndarray) -> dict[str, np.ndarray]:
    """The masks for five landmarks, (5, 2) as x, y in cells: two eyes, nose tip, two mouth corners."""
    left_eye, right_eye, nose, left_mouth, right_mouth = points
    unit = float(np.linalg.norm(right_eye - left_eye))
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    half_mouth = float(np.linalg.norm(right_mouth - left_mouth)) / 2

    def ellipse(centre: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
        y, x = np.mgrid[0:GRID, 0:GRID] + 0.5
        return ((x - centre[0]) / half_width) ** 2 + ((y - centre[1]) / half_height) ** 2 <= 1

    up = np.array([0.0, 1.0])  # subtracted: y grows downwards
    middle = (eyes + mouth) / 2
    shapes = {
        "eyes": ellipse(left_eye, 0.36 * unit, 0.2 * unit) | ellipse(right_eye, 0.36 * unit, 0.2 * unit),
        "brows": ellipse(left_eye - 0.38 * unit * up, 0.45 * unit, 0.24 * unit)
        | ellipse(right_eye - 0.38 * unit * up, 0.45 * unit, 0.24 * unit),
        "mouth": ellipse(mouth, half_mouth + 0.22 * unit, 0.34 * unit),
        "nose": ellipse((eyes + 2 * nose) / 3, 0.3 * unit, 0.42 * unit),
        "face": ellipse(middle - 0.05 * unit * up, 1.12 * unit, 1.5 * unit),
    }
    masks, assigned = {}, np.zeros((GRID, GRID), dtype=bool)
    for name, shape in shapes.items():
        masks[name] = shape & ~assigned
        assigned |= shape
    masks["background"] = ~assigned
    return {name: masks[name] for name in REGIONS}


def shares(heatmap: np.ndarray) -> dict[str, float]:
    """{region: its share of the positive relevance of a map (S, S)}, with sum 1; all 0 for an empty map."""
    values = np.maximum(on_grid(heatmap), 0).astype(np.float64)
    total = values.sum()
    return {name: float(values[mask].sum() / total) if total else 0.0 for name, mask in region_masks().items()}


def areas() -> dict[str, float]:
    """{region: its share of the picture's area}, which is also its share of a constant map."""
    return {name: float(mask.mean()) for name, mask in region_masks().items()}
