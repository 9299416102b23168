"""Jitter of framed crops: differences, and changed photos mapped back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from emotion_hub.detectors import Detection, Framing
from training.augmentation.geometry import CROP_SHIFT, CROP_ZOOM
from training.evaluation.robustness import ENLARGE, FRAME, PAD
from training.studies.jitter import against_frames, summary, under_small_changes


class FixedBox:
    """A detector with one box, which moves by `step` at each call."""

    name = "fixed"
    framing = Framing(scale=1.0, down=0.0)

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.boxes = list(boxes)

    def detect(self, image: Image.Image) -> list[Detection]:
        box = self.boxes.pop(0)
        return [Detection(box, 0.9)] if box else []


class BrightBox:
    """A detector of the bright square in a black photo, upright: its centre, and a side from its area."""

    name = "bright"
    framing = Framing(scale=1.2, down=0.1)

    def detect(self, image: Image.Image) -> list[Detection]:
        levels = np.asarray(image.convert("L"), dtype=np.float64) / 255
        side = math.sqrt(levels.sum())
        x, y = (
            (levels.sum(axis=axis) * (np.arange(levels.shape[1 - axis]) + 0.5)).sum() / levels.sum() for axis in (0, 1)
        )
        return [Detection((x - side / 2, y - side / 2, x + side / 2, y + side / 2), 0.9)]


def test_a_crop_is_measured_against_the_frame_of_its_face():
    side, pad = FRAME * ENLARGE, PAD * ENLARGE
    frame = (pad, pad, pad + side, pad + side)
    larger = (pad - side / 2, pad - side / 2, pad + 1.5 * side, pad + 1.5 * side)  # twice the side, same centre
    moved = (pad + side / 4, pad - side / 8, pad + 1.25 * side, pad + 0.875 * side)
    detector = FixedBox(frame, larger, (), moved)
    rows = against_frames(detector, [Image.new("L", (FRAME, FRAME))] * 4)
    np.testing.assert_allclose(rows, [(0, 0, 0), (math.log(2), 0, 0), (0, 0.25, -0.125)], atol=1e-9)


def test_crops_of_changed_photos_are_mapped_back():
    photo = Image.new("RGB", (400, 300))
    photo.paste((255, 255, 255), (120, 90, 200, 170))
    rows = under_small_changes(BrightBox(), [photo], changes=20)
    assert len(rows) == 20
    # whole pixels of a crop of 96 pixels, and its shift down, which is upright in the changed photo
    assert np.abs(rows[:, 0]).max() < 0.03
    assert np.abs(rows[:, 1:]).max() < 0.03
    assert np.abs(rows).max() > 0


def test_photos_without_a_large_face_give_no_crops():
    photo = Image.new("RGB", (400, 300))
    photo.paste((255, 255, 255), (120, 90, 140, 110))
    assert under_small_changes(BrightBox(), [photo]).shape == (0, 3)


def test_a_summary_has_the_deviations_of_its_rows():
    rows = np.random.default_rng(0).normal((0.1, 0, -0.05), (0.2, 0.05, 0.04), (4000, 3))
    figures = summary(rows)
    assert figures["crops"] == 4000
    assert figures["log_zoom"]["deviation"] == pytest.approx(0.2, rel=0.05)
    assert figures["log_zoom"]["spread"] == pytest.approx(0.2, rel=0.05)
    assert figures["down"]["mean"] == pytest.approx(-0.05, abs=0.005)
    assert abs(figures["correlation"]["across, down"]) < 0.05


def test_the_augmentation_draws_crops_from_the_measured_distribution():
    import json
    from pathlib import Path

    import training.studies

    study = json.loads((Path(training.studies.__file__).parent / "jitter.json").read_text())["frames"]
    measured = [round(study[name]["deviation"], 3) for name in ("log_zoom", "across", "down")]
    assert measured == [CROP_ZOOM, *CROP_SHIFT]
