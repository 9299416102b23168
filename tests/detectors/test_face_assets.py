"""Files that training writes: average neutral faces, mean landmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.detectors import Detection, Framing
from emotion_hub.errors import InputError
from emotion_hub.explainers.regions import LANDMARKS_FILE, region_masks
from emotion_hub.explainers.shap_torch import BACKGROUND_FILE, background_faces
from emotion_hub.labels import FER2013
from training import face_regions, neutral_faces
from training.data.faces import FaceSplit
from training.neutral_faces import SMALLEST, average_faces

NEUTRAL = FER2013.index("neutral")


def split_of(faces: list[Image.Image], label: int = NEUTRAL) -> FaceSplit:
    return FaceSplit("train", faces, np.full(len(faces), label), [str(i) for i in range(len(faces))])


def shades(levels: list[int], each: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray((level + rng.integers(-3, 4, (48, 48))).astype(np.uint8))
        for level in levels
        for _ in range(each)
    ]


def test_average_faces_are_means_of_clusters() -> None:
    levels = [20, 60, 100, 140, 180, 220, 240]
    found = average_faces(split_of(shades(levels, SMALLEST)), 1)
    assert found.shape == (1, 48, 48)
    assert found.dtype == np.uint8
    assert min(abs(float(found[0].mean()) - level) for level in levels) < 2
    assert found[0].std() < 2, "the mean of many faces has no noise of a single one"


def test_averages_of_too_few_faces_are_refused() -> None:
    with pytest.raises(InputError, match=f"{SMALLEST - 1} neutral faces: 1 averages of at least {SMALLEST}"):
        average_faces(split_of(shades([100], SMALLEST - 1)), 1)
    with pytest.raises(InputError, match="0 neutral faces"):
        average_faces(split_of(shades([100], SMALLEST), FER2013.index("happy")), 1)


def test_the_packaged_background_faces_differ_from_each_other() -> None:
    faces = background_faces(24)
    pixels = np.stack([np.asarray(f, dtype=float) for f in faces])
    assert pixels.shape == (24, 48, 48)
    assert BACKGROUND_FILE.stat().st_size < 40_000
    distances = [np.abs(a - b).mean() for i, a in enumerate(pixels) for b in pixels[:i]]
    assert min(distances) > 2


class FixedDetector:
    """A detector whose one face has the same box and landmarks in every image."""

    name, framing = "fixed", Framing(1.0, 0.0)

    def __init__(self, landmarks: tuple[tuple[float, float], ...] | None) -> None:
        self.landmarks = landmarks

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection((0.0, 0.0, 10.0, 10.0), 1.0, self.landmarks)]


def test_mean_landmarks_are_in_pixels_of_the_face() -> None:
    enlarged = tuple(
        ((x + face_regions.PAD) * face_regions.ENLARGE, (y + face_regions.PAD) * face_regions.ENLARGE)
        for x, y in [(16, 18), (32, 18)]
    )
    found = face_regions.mean_landmarks(FixedDetector(enlarged), [Image.new("L", (48, 48))] * 3)
    assert found["mean"] == [[16.0, 18.0], [32.0, 18.0]]
    assert found["sd"] == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(InputError, match="no landmarks"):
        face_regions.mean_landmarks(FixedDetector(None), [Image.new("L", (48, 48))])


def test_the_packaged_regions_are_in_the_order_of_a_face() -> None:
    points = json.loads(LANDMARKS_FILE.read_text())
    assert points["found"] > 0.9 * points["faces"]
    masks = region_masks()
    centre = {name: np.argwhere(mask).mean(axis=0) for name, mask in masks.items()}
    assert centre["brows"][0] < centre["eyes"][0] < centre["nose"][0] < centre["mouth"][0]
    assert all(abs(centre[name][1] - 23.5) < 2 for name in ("brows", "eyes", "nose", "mouth"))


def test_the_scripts_write_the_files_that_the_package_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(shades([20, 60, 100, 140, 180, 220, 240], SMALLEST))
    monkeypatch.setattr(neutral_faces, "load_split", lambda data, name: {"train": split}[name])
    out = neutral_faces.main(["--data", "D", "--count", "1", "--out", str(tmp_path / "faces.png")])
    with Image.open(out) as image:
        assert (image.size, image.mode) == ((48, 48), "L")
    monkeypatch.setattr(face_regions, "load_split", lambda data, name: split)
    monkeypatch.setattr(face_regions, "YuNetDetector", lambda path: FixedDetector(((80.0, 80.0),) * 5))
    face_regions.main(["--data", "D", "--yunet", "Y", "--limit", "4", "--out", str(tmp_path / "landmarks.json")])
    assert json.loads((tmp_path / "landmarks.json").read_text())["faces"] == 4


@pytest.mark.usefixtures("datasets_cache")
def test_data_without_a_training_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test" / "neutral").mkdir(parents=True)
    Image.new("L", (48, 48)).save(tmp_path / "test" / "neutral" / "0.png")
    with pytest.raises(InputError, match=r"no split 'train' in .* it has test"):
        neutral_faces.main(["--data", str(tmp_path), "--out", str(tmp_path / "faces.png")])
