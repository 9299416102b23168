"""Face warnings: each fault of a face is flagged, good faces are not."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from emotion_hub.comparison import compare
from emotion_hub.detectors import Detection, Framing, YuNetDetector
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.examples import example_path
from emotion_hub.faces import Face, find_faces, whole_image
from emotion_hub.images import load_image
from emotion_hub.interop.handler import EndpointHandler
from emotion_hub.predictor import EmotionPredictor, embedded_predictor, softmax
from emotion_hub.predictor_ensemble import PredictorEnsemble
from emotion_hub.preprocess import Preprocessor
from emotion_hub.quality import CODES, NOT_A_FACE, THRESHOLDS, FaceWarning, Thresholds, crop_warnings, detected_warnings
from emotion_hub.quality.face_check import check_face
from emotion_hub.quality.measures import measure_face, sharpness
from emotion_hub.quality.pose import head_pose

#: Examples with good faces, and scales at which their faces stay large enough.
GOOD = ("astronaut", "grace_hopper", "group", "disputed")
SCALES = (0.5, 1.0, 2.0)

#: Upright landmarks of a face of 100 pixels: eyes, nose, corners of the mouth.
FRONTAL = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))


@cache
def yunet() -> YuNetDetector:
    return YuNetDetector()


def _photo(name: str, scale: float = 1.0) -> Image.Image:
    photo = load_image(example_path(name))
    size = (round(photo.width * scale), round(photo.height * scale))
    return photo if scale == 1 else photo.resize(size, Image.Resampling.LANCZOS)


def _faces(photo: Image.Image) -> list[Face]:
    return find_faces(photo, yunet())


def _codes(face: Face) -> list[str]:
    return [warning.code for warning in face.warnings]


def _box(photo: Image.Image) -> tuple[int, int, int, int]:
    [face] = _faces(photo)
    return face.bbox


def _blurred(photo: Image.Image) -> Image.Image:
    left, _, right, _ = _box(photo)
    return photo.filter(ImageFilter.GaussianBlur((right - left) / 30))


def _with_bar(photo: Image.Image) -> Image.Image:
    left, top, right, bottom = _box(photo)
    covered = photo.copy()
    ImageDraw.Draw(covered).rectangle((left, (top + 2 * bottom) // 3, right, bottom), fill=(40, 90, 160))
    return covered


def _cut(photo: Image.Image) -> Image.Image:
    left, _, right, _ = _box(photo)
    return photo.crop((left + round(0.3 * (right - left)), 0, *photo.size))


FAULTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark": lambda photo: photo.point(lambda level: level * 0.25),
    "overexposed": lambda photo: photo.point(lambda level: min(255, level * 3)),
    "low_contrast": lambda photo: photo.point(lambda level: 120 + level * 0.15),
    "blurred": _blurred,
    "occluded": _with_bar,
    "cut_off": _cut,
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", GOOD)
def test_a_good_face_has_no_warning_at_any_photo_size(name: str, scale: float) -> None:
    faces = _faces(_photo(name, scale))
    assert [_codes(face) for face in faces] == [[]] * (8 if name == "group" else 1)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_ready_made_crop_has_no_warning(name: str) -> None:
    crop = _faces(_photo(name))[0].image
    for side in (48, 64, 200):
        assert crop_warnings(crop.resize((side, side), Image.Resampling.LANCZOS)) == ()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_is_flagged_at_any_photo_size(code: str, scale: float) -> None:
    [face] = _faces(FAULTS[code](_photo("grace_hopper", scale)))
    assert _codes(face) == [code]


def test_a_small_face_is_flagged_as_small_alone() -> None:
    [face] = _faces(_photo("astronaut", 0.2))
    [warning] = face.warnings
    assert (warning.code, warning.value, warning.unit) == ("small", face.image.width, "pixels")
    assert face.image.width < warning.threshold == THRESHOLDS.side


def test_all_faces_of_a_crowd_are_small() -> None:
    assert {tuple(_codes(face)) for face in _faces(_photo("solvay"))} == {("small",)}


def test_a_profile_is_turned_and_its_mirror_image_too() -> None:
    photo = _photo("profile")
    for image in (photo, photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        [face] = _faces(image)
        [warning] = face.warnings
        assert (warning.code, warning.unit) == ("turned", "degrees")
        assert 40 < warning.value < 70


@pytest.mark.parametrize("angle", [-30, 30])
def test_a_rotated_photo_is_tilted(angle: int) -> None:
    [face] = _faces(_photo("grace_hopper").rotate(angle, Image.Resampling.BICUBIC))
    assert "tilted" in _codes(face)


# what is not a face


def _stripes() -> Image.Image:
    x = np.arange(48)
    return Image.fromarray(np.broadcast_to(np.where(x % 8 < 4, 30, 220).astype(np.uint8), (48, 48)).copy())


def _text() -> Image.Image:
    page = Image.new("L", (48, 48), 255)
    for line in range(4):
        ImageDraw.Draw(page).text((2, 11 * line), "emotion", fill=0)
    return page


NON_FACES = {
    "black": lambda: Image.new("L", (48, 48)),
    "gray": lambda: Image.new("RGB", (48, 48), "gray"),
    "white": lambda: Image.new("L", (48, 48), 255),
    "gradient": lambda: Image.linear_gradient("L").resize((48, 48)),
    "noise": lambda: Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)),
    "stripes": _stripes,
    "text": _text,
    "cat": lambda: _photo("cat"),
    "landscape of a crowd": lambda: _photo("solvay"),
}


@pytest.mark.parametrize("kind", NON_FACES)
def test_what_is_not_a_face_is_flagged_first(kind: str) -> None:
    codes = _codes(whole_image(NON_FACES[kind]()))
    assert codes[0] == NOT_A_FACE
    assert not {"turned", "tilted", "cut_off"} & set(codes)


class _Boxes:
    """Another detector: the given box in every photo, with score 1."""

    name, framing = "boxes", Framing(1.0, 0.0)

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        self.box = box

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection(self.box, 1.0)]


def test_the_boxes_of_another_detector_are_checked() -> None:
    photo = _photo("grace_hopper")
    [background] = find_faces(photo, _Boxes((0, 0, 100, 100)))
    assert _codes(background)[0] == NOT_A_FACE
    [face] = find_faces(photo, _Boxes(_box(photo)))
    assert face.warnings == ()


def test_a_low_score_of_yunet_is_checked_and_a_high_one_is_trusted() -> None:
    image = _photo("cat").crop((0, 0, 120, 120))
    box, square = (0.0, 0.0, 120.0, 120.0), (0, 0, 120, 120)
    doubtful = detected_warnings(image, Detection(box, 0.7, FRONTAL), square, (120, 120), "YuNet")
    assert doubtful[0].code == NOT_A_FACE
    trusted = detected_warnings(image, Detection(box, 0.95, FRONTAL), square, (120, 120), "YuNet")
    assert NOT_A_FACE not in [warning.code for warning in trusted]


def test_the_check_returns_its_box_and_landmarks_in_pixels_of_the_crop() -> None:
    gray = Preprocessor().prepare(_faces(_photo("grace_hopper"))[0].image)
    found = check_face(gray)
    assert found is not None
    assert found.score > 0.8
    left, top, right, bottom = found.bbox
    assert -10 < left < 15 < 33 < right < 58
    assert -10 < top < 15 < 33 < bottom < 58
    (left_eye, _), (right_eye, _), *_ = found.landmarks
    assert 5 < left_eye < 24 < right_eye < 43
    assert check_face(Image.new("L", (48, 48))) is None


# measures


def test_sharpness_depends_neither_on_contrast_nor_on_brightness_and_falls_with_blur() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (48, 48)).astype(np.float32)
    assert sharpness(0.3 * pixels + 40) == pytest.approx(sharpness(pixels), rel=1e-4)
    noise = Image.fromarray(pixels.astype(np.uint8))
    blurred = [noise.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 3)]
    values = [sharpness(np.asarray(image, dtype=np.float32)) for image in blurred]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((48, 48), 7, np.float32)) == 0
    ramp = np.add.outer(np.arange(48), np.arange(48)).astype(np.float32)
    assert sharpness(ramp) == 0


def test_measures_of_a_drawn_face_are_those_computed_by_hand() -> None:
    levels = np.full((48, 48), 100, np.uint8)
    levels[:12] = 250
    measures = measure_face(levels)
    assert measures.bright_level == 250
    assert measures.white_share == pytest.approx(0.25)
    assert measures.contrast == pytest.approx(150 * math.sqrt(0.25 * 0.75), rel=1e-5)
    assert measures.flat_share == pytest.approx(20 / 25), "of five rows of blocks, the first one has the edge"


@pytest.mark.parametrize("levels", [np.zeros((48, 48)), np.zeros((1, 48, 48), np.uint8), np.zeros((23, 48), np.uint8)])
def test_measures_of_another_array_are_refused(levels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"measure_face needs .* in uint8, not .*Preprocessor"):
        measure_face(levels)


def _rotated(points: tuple[tuple[float, float], ...], degrees: float) -> list[tuple[float, float]]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(c * x - s * y, s * x + c * y) for x, y in points]


@pytest.mark.parametrize("degrees", [-60, -20, 0, 20, 60])
def test_roll_is_the_rotation_of_the_landmarks_and_leaves_the_yaw(degrees: float) -> None:
    turned = (*FRONTAL[:2], (58.0, 60.0), *FRONTAL[3:])
    pose, upright = head_pose(_rotated(turned, degrees)), head_pose(turned)
    assert pose is not None
    assert upright is not None
    assert pose.roll == pytest.approx(degrees, abs=1e-6)
    assert pose.yaw == pytest.approx(upright.yaw, abs=1e-6)
    assert upright.yaw == pytest.approx(math.degrees(math.atan(0.4 / 1.1)))
    mirrored = head_pose([(100 - x, y) for x, y in (turned[1], turned[0], turned[2])])
    assert mirrored is not None
    assert mirrored.yaw == pytest.approx(-upright.yaw)


@pytest.mark.parametrize(
    "points",
    [None, (), FRONTAL[:2], [(5.0, 5.0)] * 5, [(math.nan, 1.0), *FRONTAL[1:]], [(-math.inf, 1.0), *FRONTAL[1:]]],
    ids=["none", "empty", "two", "one place", "nan", "infinite"],
)
def test_unusable_landmarks_have_no_pose(points: object) -> None:
    assert head_pose(points) is None  # type: ignore[arg-type]


# hostile input


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (12, 12), (12, 900), (2000, 30)])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_every_image_has_warnings_and_no_error(size: tuple[int, int], mode: str) -> None:
    codes = [warning.code for warning in crop_warnings(Image.new(mode, size))]
    assert codes
    assert set(codes) <= set(CODES)


def test_landmarks_far_outside_the_photo_raise_nothing() -> None:
    photo = _photo("grace_hopper")
    box = _box(photo)
    points = ((-1e9, 1e9), (1e9, -1e9), (1e12, 0.0), (0.0, 0.0), (0.0, 0.0))
    crop = photo.crop(box)
    warnings = detected_warnings(crop, Detection(box, 0.95, points), box, photo.size, "YuNet")
    assert {warning.code for warning in warnings} <= set(CODES)


def test_an_empty_square_is_not_cut_off() -> None:
    crop = _photo("grace_hopper").crop((0, 0, 60, 60))
    warnings = detected_warnings(crop, Detection((5, 5, 5, 5), 0.95), (5, 5, 5, 5), (60, 60), "YuNet")
    assert "cut_off" not in [warning.code for warning in warnings]


# predictions


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    return EmotionPredictor.from_pretrained("native48")


def _two_faces() -> Image.Image:
    """A profile, which is turned, beside a good face."""
    photo = Image.new("RGB", (1000, 512))
    photo.paste(_photo("profile"))
    photo.paste(_photo("astronaut").crop((0, 0, 480, 512)), (520, 0))
    return photo


def test_predictions_carry_the_warnings_of_their_faces(predictor: EmotionPredictor) -> None:
    photo = _two_faces()
    predictions = predictor.predict(photo)
    assert sorted([w.code for w in p.warnings] for p in predictions) == [[], ["turned"]]
    assert [p.warnings for p in predictions] == [face.warnings for face in _faces(photo)]
    [again] = predictor.predict_batch([photo])
    assert [p.warnings for p in again] == [p.warnings for p in predictions]
    for prediction in predictions:
        assert prediction.to_dict()["warnings"] == [warning.to_dict() for warning in prediction.warnings]


def test_what_is_not_a_face_has_its_probabilities_all_the_same(predictor: EmotionPredictor) -> None:
    [prediction] = predictor.predict(_photo("cat"), whole=True)
    assert prediction.warnings[0].code == NOT_A_FACE
    assert sum(prediction.probs.values()) == pytest.approx(1)
    logits = predictor.backend.logits(predictor.preprocessor.batch([_photo("cat")]))
    assert list(prediction.probs.values()) == pytest.approx(softmax(logits)[0].tolist(), abs=1e-6)
    [crop] = predictor.predict_faces([_photo("cat")])
    assert crop.warnings == prediction.warnings


def test_both_sides_of_a_comparison_and_an_ensemble_carry_the_warnings() -> None:
    [pair] = compare(_photo("profile"))
    assert [w.code for w in pair.native48.prediction.warnings] == ["turned"]
    assert pair.upscale224.prediction.warnings == pair.native48.prediction.warnings
    [prediction] = PredictorEnsemble.from_pretrained(["native48", "emotion_cnn"]).predict(_photo("profile"))
    assert prediction.warnings == pair.native48.prediction.warnings


@pytest.mark.parametrize("whole", [False, True])
def test_an_endpoint_adds_the_warnings_to_each_row_on_request(predictor: EmotionPredictor, whole: bool) -> None:
    handler = EndpointHandler(predictor=predictor)
    data = {"inputs": example_path("profile").read_bytes(), "parameters": {"whole": whole, "top_k": 2}}
    plain = handler(data)
    assert [set(row) for row in plain] == [{"label", "score"}] * 2
    rows = handler({**data, "parameters": {**data["parameters"], "warnings": True}})
    [expected] = predictor.predict(example_path("profile"), whole=whole)
    assert rows == [{**row, "warnings": [w.to_dict() for w in expected.warnings]} for row in plain]
    with pytest.raises(InputError, match="warnings='yes': true or false"):
        handler({**data, "parameters": {"warnings": "yes"}})


# warnings and thresholds


@pytest.mark.parametrize("code", CODES)
def test_a_message_says_what_is_wrong_and_what_to_do(code: str) -> None:
    warning = FaceWarning.of(code, 12.345678, 30.0)
    assert "{" not in warning.message
    assert warning.message.count(". ") >= 1, "a sentence on the fault, another one on the next step"
    assert warning.message.endswith(".")
    assert any(word in warning.message.lower() for word in ("use", "take", "move", "hold", "rotate"))
    values = json.loads(json.dumps(warning.to_dict()))
    assert values == {**dataclasses.asdict(warning)}
    assert values["value"] == 12.3457


def test_the_codes_are_documented() -> None:
    expected = "not_a_face cut_off small dark overexposed low_contrast blurred turned tilted occluded"
    assert expected.split() == list(CODES)


def test_other_thresholds_change_the_warnings() -> None:
    crop = _faces(_photo("grace_hopper"))[0].image
    assert [w.code for w in crop_warnings(crop, Thresholds(side=1000.0))] == ["small"]
    assert [w.code for w in crop_warnings(crop, Thresholds(sharpness=9.0))] == ["blurred"]


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", None, True])
def test_an_unusable_threshold_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match="roll="):
        Thresholds(roll=value)  # type: ignore[arg-type]


def test_warnings_of_a_ready_made_crop_are_computed_when_they_are_first_read(monkeypatch):
    runs = []
    monkeypatch.setattr("emotion_hub.quality.assess.check_face", lambda gray: runs.append(gray.size))
    crop = Image.linear_gradient("L").resize((48, 48))
    [prediction] = embedded_predictor("emotion_cnn").predict_faces([crop])
    assert prediction.label
    assert not runs, "the check costs as much as a small network"
    assert prediction.warnings == crop_warnings(crop)
    assert prediction.warnings[0].code == NOT_A_FACE
    assert [warning.code for warning in prediction.warnings[:1]] == [NOT_A_FACE]
    assert runs == [(48, 48)] * 2, "once by the prediction, once by crop_warnings"
    assert prediction.warnings != ()
    assert hash(prediction.warnings) == hash(crop_warnings(crop))
    assert repr(prediction.warnings) == repr(crop_warnings(crop))
