"""Face warnings in batch results and in timelines of videos."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.batch import predict_many
from emotion_hub.batch.photos import detect_faces
from emotion_hub.detectors import YuNetDetector
from emotion_hub.examples import example_path
from tests.fakes.batch_helpers import linear_predictor, parquet_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good face, a turned one, 18 small ones and a photo without a face."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("astronaut", "cat", "profile", "solvay"):
        shutil.copy(example_path(name), photos / f"{name}.jpg")
    return photos


def test_every_format_has_the_codes_per_face(folder: Path, tmp_path: Path) -> None:
    rows = {}
    for suffix in ("csv", "ndjson", "parquet"):
        out = tmp_path / f"result.{suffix}"
        predict_many(folder, out, models=[linear_predictor()], detector=YuNetDetector())
        rows[suffix] = out
    table = parquet_rows(rows["parquet"])
    assert [row["warnings"] for row in table] == [[], None, ["turned"], *[["small"]] * 18]
    lines = [json.loads(line) for line in rows["ndjson"].read_text().splitlines()]
    assert [row["warnings"] for row in lines] == [row["warnings"] for row in table]
    with rows["csv"].open(newline="") as file:
        assert [row["warnings"] for row in csv.DictReader(file)] == ["", "", "turned", *["small"] * 18]


def test_ready_made_crops_are_checked_on_request(tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    crops.mkdir()
    Image.new("L", (48, 48), 128).save(crops / "a.png")
    found = []
    for options in ({}, {"check_crops": True}, {"check_crops": True, "whole": True}):
        out = tmp_path / "result.ndjson"
        predict_many(crops, out, models=[linear_predictor()], detector=None, restart=True, **options)
        found.append(json.loads(out.read_text())["warnings"])
    assert found == [None, ["not_a_face", "low_contrast"], ["not_a_face", "low_contrast"]]


def test_a_photo_decoded_at_a_reduced_size_has_the_warnings_of_the_full_size(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.open(example_path("profile")).resize((3400, 3400), Image.Resampling.LANCZOS).save(path, quality=90)
    reduced = detect_faces(str(path), YuNetDetector(), 96)
    full = detect_faces(str(path), YuNetDetector())
    assert [face.warnings for face in reduced.faces] == [face.warnings for face in full.faces] == [("turned",)]
