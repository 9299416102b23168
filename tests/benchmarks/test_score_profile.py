"""The profile of batch prediction: drawn photos and reported stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import score_profile


@pytest.mark.slow
def test_the_profile_has_stages_of_both_decoding_modes_and_differences(tmp_path, monkeypatch):
    monkeypatch.setattr(score_profile, "SIZES", (1, 8))
    monkeypatch.setattr(score_profile, "SHARES", (0.3, None))
    found = score_profile.main(["--photos", "6", "--json", str(tmp_path / "profile.json")])
    assert json.loads((tmp_path / "profile.json").read_text()) == found
    assert [photo["face_share"] for photo in found["distinct"]] == [0.3, 0.3, None, None]
    reduced, full = found["runs"]["reduced"], found["runs"]["full"]
    assert (reduced["faces"], full["faces"]) == (4, 4)
    assert (reduced["decoded_again"], full["decoded_again"]) == (0, 0)
    for run in (reduced, full):
        stages = run["milliseconds_per_photo"]
        assert list(stages) == ["decode", "detect", "crop and preprocess", "network", "writing"]
        assert min(stages.values()) > 0
        assert run["cpu_milliseconds_per_photo"] > 0
    assert found["differences"]["faces"] == 4
    assert found["differences"]["photos_with_another_face_count"] == 0
    assert found["differences"]["largest_probability_change"] < 0.2


def test_further_photos_are_links_to_distinct_ones(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(score_profile, "SIZES", (1,))
    made = score_profile.draw_photos(tmp_path, 9)
    files = sorted(tmp_path.iterdir())
    assert (len(made), len(files), len({path.stat().st_ino for path in files})) == (4, 9, 4)
    with Image.open(files[8]) as photo:
        assert list(photo.size) == made[0]["pixels"] == [1155, 866]
