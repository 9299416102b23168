"""The study of face warnings: faults, figures, page, cost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.quality import CODES, THRESHOLDS
from training.studies.quality_sets import (
    FAULTS,
    crops_without_faces,
    cut_photo,
    drawn_images,
    faulty_faces,
    noface_photos,
)
from training.studies.quality_text import table

STUDY = Path(__file__).parents[3] / "training" / "studies" / "quality.json"


def _face() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (5, 5), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_the_face_alike_each_time_and_more_at_each_strength(fault) -> None:
    face = _face()
    changed = [faulty_faces([face], fault, strength)[0] for strength in fault.strengths]
    assert changed[-1].tobytes() == faulty_faces([face], fault, fault.strengths[-1])[0].tobytes()
    levels = [np.asarray(image.resize((48, 48)), dtype=float) for image in changed]
    distances = [float(np.abs(level - np.asarray(face, dtype=float)).mean()) for level in levels]
    assert distances == sorted(distances)
    assert distances[0] > 0
    assert fault.code is None or fault.code in CODES


@pytest.mark.parametrize("side", range(4))
def test_a_cut_photo_loses_the_margin_and_the_share_at_one_side(side: int) -> None:
    whole, cut = cut_photo(_face(), 0.0, side), cut_photo(_face(), 0.25, side)
    assert sorted(whole.size) == [240, 288]
    assert sorted(cut.size) == [192, 288]


def test_images_without_a_face_have_their_number_and_size(tmp_path: Path) -> None:
    kinds = drawn_images(3, np.random.default_rng(0))
    assert {kind: [image.size for image in images] for kind, images in kinds.items()} == dict.fromkeys(
        ("flat", "noise", "gradient", "stripes", "text"), [(48, 48)] * 3
    )
    crops = list(crops_without_faces([Image.new("RGB", (90, 60))], 20, np.random.default_rng(0)))
    assert len(crops) == 20
    assert all(48 <= crop.width == crop.height <= 60 for crop in crops)
    with pytest.raises(InputError, match=r"no noface_\*\.jpg"):
        noface_photos(tmp_path)


def test_the_page_states_the_report_and_the_report_the_thresholds() -> None:
    report = json.loads(STUDY.read_text(encoding="utf-8"))
    assert table(report) == STUDY.with_suffix(".md").read_text(encoding="utf-8")
    assert report["thresholds"] == dataclasses.asdict(THRESHOLDS)


def test_few_good_faces_are_flagged_and_most_images_without_a_face_are_rejected() -> None:
    report = json.loads(STUDY.read_text(encoding="utf-8"))
    for split in ("clean", "test"):
        assert max(row["flagged"] for row in report[split]["codes"].values()) <= 0.05
    assert min(row["rejected"] for row in report["without_face"]["ready_made"].values()) > 0.9
    assert max(row["share"] for row in report["cost"]["photos"].values()) < 0.2
