"""Overlays of maps on the face, the colour bar and the sheet."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.explainers import Explanation
from emotion_hub.explainers.overlay import colour_bar, overlay, sheet


def explanation_of(
    heatmap: np.ndarray, signed: np.ndarray | None = None, method: str = "gradcam", **scores: object
) -> Explanation:
    """An explanation with this map over a gray face."""
    side = heatmap.shape[0]
    face = Image.new("L", (side, side), 128)
    return Explanation(heatmap, signed, method, "native48", "happy", None, 0.5, {}, scores, 1.0, face)


def left_half_map(side: int = 48) -> np.ndarray:
    """float32: 1 in the left half, 0 in the right."""
    values = np.zeros((side, side), np.float32)
    values[:, : side // 2] = 1
    return values


def test_overlay_colours_relevant_pixels_only() -> None:
    picture = np.asarray(overlay(explanation_of(left_half_map()), 96)).astype(int)
    assert picture.shape == (96, 96, 3)
    assert np.ptp(picture[:, 60:], axis=-1).max() <= 1
    assert np.ptp(picture[:, :36], axis=-1).min() > 40


def test_a_signed_overlay_has_two_colours_and_needs_a_signed_map() -> None:
    signed = left_half_map() * 2 - 1
    picture = np.asarray(overlay(explanation_of(left_half_map(), signed, "shap"), signed=True)).astype(int)
    assert np.abs(picture[24, 4] - picture[24, 44]).sum() > 60
    with pytest.raises(InputError, match="Grad-CAM has no signed map"):
        overlay(explanation_of(left_half_map()), signed=True)
    with pytest.raises(InputError, match="opacity=2"):
        overlay(explanation_of(left_half_map()), opacity=2)


def test_one_outlier_does_not_darken_the_rest_of_the_map() -> None:
    values = left_half_map() * 0.05
    values[0, 0] = 1
    picture = np.asarray(overlay(explanation_of(values))).astype(int)
    assert np.ptp(picture[24, 5]) > 40


def test_lightness_of_the_colours_grows_evenly() -> None:
    lightness = np.asarray(colour_bar(64).convert("L")).astype(int)[0]
    steps = np.diff(lightness)
    assert (steps >= 0).all()
    assert steps.max() <= 8
    signed = np.asarray(colour_bar(65, signed=True).convert("L")).astype(int)[0]
    assert signed[32] < signed[0]
    assert signed[32] < signed[-1]


def test_a_sheet_grows_with_networks_and_methods() -> None:
    one, other = explanation_of(left_half_map()), explanation_of(left_half_map(224))
    small = sheet([one])
    wide = sheet([one, one])
    tall = sheet([one, Explanation(**{**vars(other), "model": "upscale224"})])
    assert wide.width > small.width
    assert wide.height == small.height
    assert tall.height > small.height
    with pytest.raises(InputError, match="at least one"):
        sheet([])
