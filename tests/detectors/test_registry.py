"""Registry of face detectors: names, default, environment variables."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from emotion_hub.comparison import compare
from emotion_hub.detectors import (
    DETECTOR_VARIABLE,
    DETECTORS,
    YUNET_VARIABLE,
    Detection,
    FaceDetector,
    Framing,
    WholeImageDetector,
    YuNetDetector,
    default_detector,
    get_detector,
)
from emotion_hub.errors import DetectorError
from emotion_hub.examples import example_path
from emotion_hub.faces import locate
from emotion_hub.predictor import EmotionPredictor


class CentreDetector:
    """A detector whose one face is the centre of the image."""

    name = "centre"
    framing = Framing(scale=1.0, down=0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        width, height = image.size
        return [Detection((width / 4, height / 4, 3 * width / 4, 3 * height / 4), 0.5)]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (DETECTOR_VARIABLE, YUNET_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def centre(monkeypatch: pytest.MonkeyPatch) -> None:
    """CentreDetector is registered as "centre"."""
    module = SimpleNamespace(CentreDetector=CentreDetector)
    monkeypatch.setitem(sys.modules, "emotion_hub.detectors.centre", module)
    monkeypatch.setitem(DETECTORS, "centre", "centre:CentreDetector")


@pytest.fixture
def photo() -> Image.Image:
    y, x = np.mgrid[0:160, 0:200]
    return Image.fromarray(np.stack([x, y, (x + y) % 256], axis=-1).astype(np.uint8))


def test_every_registered_detector_can_be_built() -> None:
    for name in DETECTORS:
        detector = get_detector(name)
        assert isinstance(detector, FaceDetector)
        assert detector.name.lower() == name


def test_get_detector_returns_a_detector_as_it_is() -> None:
    detector = CentreDetector()
    assert get_detector(detector) is detector


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(DetectorError, match=r"no face detector 'dlib'; choose from none, yunet"):
        get_detector("dlib")
    with pytest.raises(DetectorError, match=r"no face detector 'dlib'; choose from none, yunet"):
        EmotionPredictor.from_pretrained("emotion_cnn", detector="dlib")


@pytest.mark.parametrize("value", [None, "", "yunet"])
def test_yunet_is_the_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv(DETECTOR_VARIABLE, value)
    assert isinstance(default_detector(), YuNetDetector)


def test_the_environment_variable_names_the_default(monkeypatch: pytest.MonkeyPatch, photo: Image.Image) -> None:
    monkeypatch.setenv(DETECTOR_VARIABLE, "none")
    assert isinstance(default_detector(), WholeImageDetector)
    [face] = locate(photo).faces
    assert face.bbox == (0, 0, 200, 160)


def test_an_unknown_name_in_the_environment_is_reported_with_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DETECTOR_VARIABLE, "YuNet")
    with pytest.raises(
        DetectorError, match=r"EMOTION_HUB_DETECTOR='YuNet' names no face detector; choose from none, yunet"
    ):
        default_detector()


def test_a_file_of_yunet_that_does_not_exist_does_not_matter_to_another_detector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(YUNET_VARIABLE, "gone.onnx")
    monkeypatch.setenv(DETECTOR_VARIABLE, "none")
    assert isinstance(default_detector(), WholeImageDetector)


@pytest.mark.parametrize("example", ["astronaut", "group", "cat"])
def test_detector_none_gives_the_predictions_of_whole(example: str) -> None:
    path: Path = example_path(example)
    [prediction] = EmotionPredictor.from_pretrained("emotion_cnn", detector="none").predict(path)
    [whole] = EmotionPredictor.from_pretrained("emotion_cnn").predict(path, whole=True)
    assert prediction.probs == whole.probs
    assert (prediction.bbox, prediction.score, prediction.detector) == (whole.bbox, whole.score, whole.detector)
    assert prediction.detector is None


def test_the_whole_image_detector_gives_the_image_as_one_box(photo: Image.Image) -> None:
    assert WholeImageDetector().detect(photo) == [Detection((0, 0, 200, 160), 1.0)]


@pytest.mark.usefixtures("centre")
def test_a_registered_detector_is_used_by_name(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    [prediction] = EmotionPredictor.from_pretrained("emotion_cnn", detector="centre").predict(photo)
    assert (prediction.bbox, prediction.score, prediction.detector) == ((50, 40, 150, 120), 0.5, "centre")
    [pair] = compare(photo, detector="centre")
    assert pair.native48.prediction.bbox == pair.upscale224.prediction.bbox == (50, 40, 150, 120)
    monkeypatch.setenv(DETECTOR_VARIABLE, "centre")
    [prediction] = EmotionPredictor.from_pretrained("emotion_cnn").predict(photo)
    assert prediction.detector == "centre"


@pytest.mark.usefixtures("centre")
def test_the_error_lists_registered_detectors() -> None:
    with pytest.raises(DetectorError, match=r"choose from none, yunet, centre"):
        get_detector("dlib")
