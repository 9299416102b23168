"""Where brows, eyes, nose, mouth and background lie in a prepared face, and how much of a map falls on each."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from emotion_hub.explainers.base import GRID, on_grid

__all__ = ["LANDMARKS_FILE", "REGIONS", "areas", "region_masks", "shares"]

#: The mean landmarks of training faces, written by `python -m training.face_regions`.
LANDMARKS_FILE = Path(__file__).with_name("landmarks.json")

#: A partition of the face; where two overlap, the earlier one has the cell.
REGIONS = ("eyes", "brows", "mouth", "nose", "face", "background")


@lru_cache(maxsize=1)
def region_masks() -> dict[str, np.ndarray]:
    """{region: bool (GRID, GRID)}, each cell in exactly one; `face` is what is left of it, cheeks, chin and forehead.

    Fixed before any map was looked at: ellipses around the mean landmarks that YuNet finds in training faces, their sizes in distances between the eyes. The
    faces of FER2013 are registered to about a fifth of that (`sd` in the file); of a face that is turned or badly framed the shares say less.
    """
    points = np.array(json.loads(LANDMARKS_FILE.read_text())["mean"])
    return _masks(points)


def _masks(points: np.ndarray) -> dict[str, np.ndarray]:
    left_eye, right_eye, nose, left_mouth, right_mouth = points
    unit = float(np.linalg.norm(right_eye - left_eye))
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    half_mouth = float(np.linalg.norm(right_mouth - left_mouth)) / 2

    def ellipse(centre: np.ndarray, across: float, down: float) -> np.ndarray:
        y, x = np.mgrid[0:GRID, 0:GRID] + 0.5
        return ((x - centre[0]) / across) ** 2 + ((y - centre[1]) / down) ** 2 <= 1

    up = np.array([0.0, 1.0])
    middle = (eyes + mouth) / 2
    shapes = {
        "eyes": ellipse(left_eye, 0.36 * unit, 0.2 * unit) | ellipse(right_eye, 0.36 * unit, 0.2 * unit),
        "brows": ellipse(left_eye - 0.38 * unit * up, 0.45 * unit, 0.24 * unit)
        | ellipse(right_eye - 0.38 * unit * up, 0.45 * unit, 0.24 * unit),
        "mouth": ellipse(mouth, half_mouth + 0.22 * unit, 0.34 * unit),
        "nose": ellipse((eyes + 2 * nose) / 3, 0.3 * unit, 0.42 * unit),
        "face": ellipse(middle - 0.05 * unit * up, 1.12 * unit, 1.5 * unit),
    }
    masks, taken = {}, np.zeros((GRID, GRID), dtype=bool)
    for name, shape in shapes.items():
        masks[name] = shape & ~taken
        taken |= shape
    masks["background"] = ~taken
    return {name: masks[name] for name in REGIONS}


def shares(heatmap: np.ndarray) -> dict[str, float]:
    """{region: its share of the map's positive relevance}, summing to 1; all 0 for an empty map. `heatmap` is (S, S)."""
    values = np.maximum(on_grid(heatmap), 0).astype(np.float64)
    total = values.sum()
    return {name: float(values[mask].sum() / total) if total else 0.0 for name, mask in region_masks().items()}


def areas() -> dict[str, float]:
    """{region: its share of the picture}: what a map without preference would give it."""
    return {name: float(mask.mean()) for name, mask in region_masks().items()}
