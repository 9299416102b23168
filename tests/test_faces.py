"""Faces of a photo: detections, crops, boxes, the default detector."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.detectors import (
    DETECTOR_VARIABLE,
    YUNET_VARIABLE,
    Detection,
    FaceDetector,
    Framing,
    YuNetDetector,
    default_detector,
)
from emotion_hub.errors import DetectorError, InputError
from emotion_hub.examples import EXAMPLES, example_path
from emotion_hub.faces import READY_MADE_SIDE, find_faces, whole_image
from emotion_hub.images import load_image

YUNET_FILE = "face_detection_yunet_2023mar.onnx"

#: {photo: number of faces that YuNet detects}.
PHOTOS = {
    "difficult_profile_camera_cc0": 1,
    "group2_obama_biden_whitehouse_montage": 2,
    "group8_london_montage_ccby": 8,
    "group_solvay_1911_small": 18,
    "noface_chelsea": 0,
    "noface_coffee": 0,
    "noface_pixabay_cardinal-2872966_640": 0,
    "noface_pixabay_fox-715588_640": 0,
    "noface_pixabay_mountains-615428_640": 0,
    "noface_pixabay_sunflower-1627193_640": 0,
    "noface_rocket": 0,
    "single_astronaut_nasa": 1,
    "single_biden_whitehouse": 1,
    "single_grace_hopper_usnavy": 1,
    "single_lisa1_cc0": 1,
    "single_lisa2_cc0": 1,
    "single_obama_whitehouse": 1,
    "single_zoom_30cm_cc0": 1,
    "single_zoom_45cm_cc0": 1,
}


class FakeDetector:
    """Detects the given boxes in every image, with falling scores."""

    name = "fake"

    def __init__(self, *boxes: tuple[float, float, float, float], framing: Framing | None = None) -> None:
        self.boxes, self.framing = boxes, framing or Framing(scale=1.0, down=0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection(box, 0.9 - 0.1 * i) for i, box in enumerate(self.boxes)]


@pytest.fixture(scope="module")
def yunet() -> YuNetDetector:
    return YuNetDetector()


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment names no detector and no YuNet file."""
    for name in (DETECTOR_VARIABLE, YUNET_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def _photo(width: int = 200, height: int = 150) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("name", PHOTOS)
def test_yunet_detects_every_face_of_the_photos(name: str, yunet: YuNetDetector, shared_data: Path) -> None:
    detections = yunet.detect(load_image(shared_data / "photos" / f"{name}.jpg"))
    assert len(detections) == PHOTOS[name]
    assert all(0.6 <= d.score <= 1 for d in detections)


@pytest.mark.parametrize(("name", "faces"), [("astronaut", 1), ("group", 8), ("profile", 1), ("cat", 0)])
@pytest.mark.parametrize("change", ["smaller", "mirrored", "darker"])
def test_yunet_detects_as_many_faces_in_a_changed_photo(
    name: str, faces: int, change: str, yunet: YuNetDetector
) -> None:
    image = load_image(example_path(name))
    if change == "smaller":
        image = image.resize((round(image.width * 0.7), round(image.height * 0.7)), Image.Resampling.BICUBIC)
    elif change == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    else:
        image = image.point(lambda level: round(level * 0.6))
    assert len(yunet.detect(image)) == faces


@pytest.mark.parametrize("size", [(12, 500), (500, 12), (65, 65), (1500, 20)])
def test_yunet_accepts_images_of_any_shape(size: tuple[int, int], yunet: YuNetDetector) -> None:
    assert yunet.detect(_photo(*size)) == []


def test_yunet_detects_a_face_that_fills_the_image(yunet: YuNetDetector) -> None:
    tight = load_image(example_path("astronaut")).crop((170, 65, 275, 170))
    assert len(yunet.detect(tight)) == 1


def test_threads_that_share_a_detector_get_the_same_detections(yunet: YuNetDetector) -> None:
    astronaut = load_image(example_path("astronaut")).crop((100, 20, 340, 230))
    images = [astronaut, astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 4
    expected = [yunet.detect(image) for image in images[:2]] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(yunet.detect, images)) == expected
    assert all(len(detections) == 1 for detections in expected)


def test_threads_may_share_yunet_for_photos_of_different_sizes(yunet: YuNetDetector) -> None:
    images = [load_image(photo.path) for photo in EXAMPLES.values()]
    assert len({image.size for image in images}) > 4
    expected = [yunet.detect(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(yunet.detect, images)) == expected


def test_an_image_of_at_most_64_pixels_is_a_face_crop_and_is_not_detected() -> None:
    image = _photo(READY_MADE_SIDE, 48)
    (face,) = find_faces(image, FakeDetector((0, 0, 10, 10), (5, 5, 20, 20)))
    assert face.image is image
    assert (face.bbox, face.square, face.score, face.detector) == ((0, 0, 64, 48), (0, 0, 64, 48), None, None)


def test_an_image_of_65_pixels_is_detected() -> None:
    assert find_faces(_photo(READY_MADE_SIDE + 1, 48), FakeDetector()) == []


@pytest.mark.parametrize("size", [(1, 1), (11, 11), (11, 400), (400, 11)])
def test_an_image_with_a_side_below_12_pixels_has_no_face(size: tuple[int, int]) -> None:
    assert find_faces(_photo(*size), FakeDetector((0, 0, 10, 10))) == []


def test_the_largest_face_comes_first() -> None:
    faces = find_faces(_photo(), FakeDetector((0, 0, 20, 20), (50, 50, 110, 110), (120, 10, 160, 50)))
    assert [face.bbox for face in faces] == [(50, 50, 110, 110), (120, 10, 160, 50), (0, 0, 20, 20)]
    assert [face.score for face in faces] == [0.8, 0.7, 0.9]
    assert {face.detector for face in faces} == {"fake"}


def test_a_crop_over_the_border_repeats_edge_pixels() -> None:
    image = _photo()
    (face,) = find_faces(image, FakeDetector((0, 0, 40, 40), framing=Framing(scale=1.5, down=0.0)))
    assert (face.square, face.image.size) == ((-10, -10, 50, 50), (60, 60))
    pixels = np.asarray(face.image)
    assert (pixels[:10, :10] == np.asarray(image)[0, 0]).all()
    assert (pixels[10:, 10:] == np.asarray(image)[:50, :50]).all()


def test_boxes_are_clipped_to_the_image_and_boxes_outside_are_dropped() -> None:
    image = _photo(200, 150)
    faces = find_faces(image, FakeDetector((-20.4, 100.2, 60.6, 180.0), (300.0, 10.0, 340.0, 50.0)))
    assert [face.bbox for face in faces] == [(0, 100, 61, 150)]


@pytest.mark.parametrize(
    ("scale", "down", "bbox", "square"),
    [
        (1.0, 0.0, (10, 20, 30, 40), (10, 20, 30, 40)),
        (2.0, 0.0, (10, 20, 30, 40), (0, 10, 40, 50)),
        (1.0, 0.25, (10, 20, 50, 60), (10, 30, 50, 70)),
        (1.0, -0.25, (10, 20, 50, 60), (10, 10, 50, 50)),
        (1.0, 0.0, (10, 0, 30, 40), (0, 0, 40, 40)),
        (1.0, 0.0, (0, 10, 40, 30), (0, 0, 40, 40)),
        (0.01, 0.0, (10, 10, 30, 30), (20, 20, 21, 21)),
    ],
    ids=["unchanged", "twice the side", "lower", "higher", "tall box", "wide box", "at least one pixel"],
)
def test_framing_turns_a_box_into_a_square(
    scale: float, down: float, bbox: tuple[float, float, float, float], square: tuple[int, int, int, int]
) -> None:
    assert Framing(scale, down).square(bbox) == square


def test_the_box_of_a_whole_image_is_the_image() -> None:
    face = whole_image(_photo(90, 70))
    assert (face.bbox, face.square, face.score) == ((0, 0, 90, 70), (0, 0, 90, 70), None)


def test_an_object_with_name_framing_and_detect_is_a_detector(yunet: YuNetDetector) -> None:
    assert isinstance(FakeDetector(), FaceDetector)
    assert isinstance(yunet, FaceDetector)
    assert not isinstance(object(), FaceDetector)


def test_the_packaged_yunet_is_the_default_and_loaded_once(no_variables: pytest.MonkeyPatch) -> None:
    detector = default_detector()
    assert isinstance(detector, YuNetDetector)
    assert default_detector() is detector


def test_the_environment_variable_names_another_yunet_file(no_variables: pytest.MonkeyPatch, shared_data: Path) -> None:
    no_variables.setenv(YUNET_VARIABLE, str(shared_data / "detectors" / YUNET_FILE))
    detector = default_detector()
    assert isinstance(detector, YuNetDetector)
    assert default_detector() is detector


@pytest.mark.parametrize("value", ["off", "OFF", "0", "gone.onnx", "/"])
def test_a_variable_that_names_no_file_is_refused(value: str, no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setenv(YUNET_VARIABLE, value)
    with pytest.raises(
        DetectorError, match=rf"EMOTION_HUB_YUNET='{value}' names no file; .*unset it to use the packaged one"
    ):
        default_detector()


def test_an_empty_variable_is_ignored(no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setenv(YUNET_VARIABLE, "")
    assert isinstance(default_detector(), YuNetDetector)


@pytest.mark.parametrize("content", [b"", b"this is not a network", b"\x08\x07" * 500], ids=["empty", "text", "bytes"])
def test_a_file_that_is_not_yunet_is_refused_by_name(
    content: bytes, no_variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    no_variables.setenv(YUNET_VARIABLE, str(path))
    with pytest.raises(DetectorError, match=r"other\.onnx"):
        default_detector()


@pytest.mark.parametrize("threshold", [0, 1, -0.5, 2])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match="threshold"):
        YuNetDetector("unused.onnx", threshold=threshold)


def test_a_box_whose_square_lies_outside_the_image_is_dropped() -> None:
    detector = FakeDetector(
        (-150.0, 20.0, 1.0, 120.0), (40.0, 40.0, 120.0, 120.0), framing=Framing(scale=0.97, down=0.0)
    )
    assert [face.bbox for face in find_faces(Image.new("RGB", (200, 200)), detector)] == [(40, 40, 120, 120)]
