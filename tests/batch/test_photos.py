"""Reduced JPEG decoding in batch runs: equal faces and boxes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.batch import photos, predict_many
from emotion_hub.batch.photos import detect_faces
from emotion_hub.detectors import YuNetDetector
from emotion_hub.examples import example_path
from emotion_hub.faces import find_faces
from emotion_hub.images import load_image, load_reduced
from tests.fakes.batch_helpers import CornerDetector, linear_predictor, parquet_rows

ORIENTATION = 0x0112
MIN_FACE = 96


@pytest.fixture(scope="module")
def detector() -> YuNetDetector:
    return YuNetDetector()


@pytest.fixture(scope="module")
def portrait() -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A packaged photo and the box of its face."""
    photo = load_image(example_path("astronaut"))
    return photo, find_faces(photo, YuNetDetector())[0].bbox


def photo_with_face(portrait, long: int, share: float) -> Image.Image:
    """A photo of 4:3 with a face whose height is `share` of the long side `long`."""
    example, (left, top, right, bottom) = portrait
    scale = share * long / (bottom - top)
    photo = Image.new("RGB", (long, long * 3 // 4), (90, 110, 130))
    larger = example.resize((round(example.width * scale), round(example.height * scale)), Image.Resampling.BICUBIC)
    photo.paste(
        larger,
        (round(photo.width * 0.4 - scale * (left + right) / 2), round(photo.height / 2 - scale * (top + bottom) / 2)),
    )
    return photo


def jpeg(image: Image.Image, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


@pytest.fixture
def decoded(monkeypatch) -> list[tuple[int, int]]:
    """The sizes of the pictures that `detect_faces` decoded."""
    sizes: list[tuple[int, int]] = []

    def reduced(source, side):
        image, full = load_reduced(source, side)
        sizes.append(image.size)
        return image, full

    def whole(source):
        image = load_image(source)
        sizes.append(image.size)
        return image

    monkeypatch.setattr(photos, "load_reduced", reduced)
    monkeypatch.setattr(photos, "load_image", whole)
    return sizes


@pytest.mark.parametrize(
    ("long", "share", "sizes"),
    [
        pytest.param(3100, 0.3, [(3100, 2325)], id="the detector's second pass would get fewer pixels"),
        pytest.param(3200, 0.3, [(1600, 1200)], id="large face"),
        pytest.param(3200, 0.07, [(1600, 1200)], id="small face, large enough"),
        pytest.param(3200, 0.04, [(1600, 1200), (3200, 2400)], id="face too small in the reduced photo"),
    ],
)
def test_a_photo_is_reduced_while_its_face_stays_large_enough(long, share, sizes, portrait, detector, decoded):
    data = jpeg(photo_with_face(portrait, long, share))
    found = detect_faces(data, detector, MIN_FACE)
    assert decoded == sizes
    full = detect_faces(data, detector)
    assert (found.width, found.height) == (full.width, full.height) == (long, long * 3 // 4)
    assert len(found.faces) == len(full.faces) == 1
    np.testing.assert_allclose(found.faces[0].bbox, full.faces[0].bbox, atol=0.01 * long)
    assert found.faces[0].score == pytest.approx(full.faces[0].score, abs=0.05)
    assert min(found.crops[0].image.size) >= min(MIN_FACE, 0.95 * min(full.crops[0].image.size))


def test_faces_are_detected_once_also_in_a_photo_that_is_decoded_twice(portrait, decoded):
    calls = []

    class Counted(YuNetDetector):
        def detect(self, image):
            calls.append(image.size)
            return super().detect(image)

    detect_faces(jpeg(photo_with_face(portrait, 3200, 0.04)), Counted(), MIN_FACE)
    assert (len(decoded), calls) == (2, [(1600, 1200)])


def test_a_photo_without_a_face_is_decoded_once(detector, decoded):
    blank = jpeg(Image.linear_gradient("L").resize((3200, 1600)).convert("RGB"))
    assert detect_faces(blank, detector, MIN_FACE).faces == ()
    assert decoded == [(1600, 800)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_pixels_of_the_upright_full_photo(orientation, portrait, detector, decoded):
    data = jpeg(photo_with_face(portrait, 3200, 0.3), orientation)
    upright = load_image(data)
    found = detect_faces(data, detector, MIN_FACE)
    assert (found.width, found.height) == upright.size
    assert max(decoded[0]) == 1600
    expected = find_faces(upright, detector)
    assert len(found.faces) == len(expected)
    for face, other in zip(found.faces, expected, strict=True):
        np.testing.assert_allclose(face.bbox, other.bbox, atol=32)


def test_other_detectors_formats_and_file_objects_get_the_full_size_photo(portrait, detector, decoded):
    photo = photo_with_face(portrait, 3200, 0.3)
    detect_faces(jpeg(photo), CornerDetector(), MIN_FACE)
    file = io.BytesIO()
    photo.save(file, "PNG")
    detect_faces(file.getvalue(), detector, MIN_FACE)
    detect_faces(photo, detector, MIN_FACE)
    detect_faces(np.asarray(photo), detector, MIN_FACE)
    detect_faces(jpeg(photo), detector, None)
    detect_faces(io.BytesIO(jpeg(photo)), detector, MIN_FACE)
    assert decoded == [(3200, 2400)] * 6


def test_a_picture_taken_as_a_face_keeps_twice_the_networks_pixels(decoded):
    for side, left in ((100, 100), (191, 191), (192, 96), (400, 100), (3000, 375)):
        found = detect_faces(jpeg(Image.new("RGB", (side, side // 2))), None, MIN_FACE)
        assert decoded.pop() == (left, -(-(side // 2) * left // side))
        assert found.faces[0].bbox == (0, 0, side, side // 2)


def test_batch_runs_reduce_by_default_and_record_it(portrait, detector, decoded, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(jpeg(photo_with_face(portrait, 3200, 0.3)))
    found = {}
    for name, options in {"reduced": {}, "full": {"full_decode": True}}.items():
        out = tmp_path / f"{name}.parquet"
        predict_many(tmp_path / "pictures", out, models=[linear_predictor()], detector=detector, **options)
        [found[name]] = parquet_rows(out)
    assert decoded == [(1600, 1200), (3200, 2400)]
    assert (found["reduced"]["width"], found["reduced"]["height"]) == (3200, 2400)
    np.testing.assert_allclose(found["reduced"]["bbox"], found["full"]["bbox"], atol=32)
    with pytest.raises(ValueError, match=r"full_decode False \(now True\)"):
        predict_many(
            tmp_path / "pictures",
            tmp_path / "reduced.parquet",
            models=[linear_predictor()],
            detector=detector,
            full_decode=True,
        )


@pytest.mark.parametrize(("preprocess", "expected"), [(["native48"], 96), (["native48", "upscale224"], 96)])
def test_the_smallest_face_follows_from_the_preprocessing(preprocess, expected):
    from emotion_hub.batch.worker import PartPredictor

    models = tuple(linear_predictor(name, preprocess=name) for name in preprocess)
    assert PartPredictor(models, (None,) * len(models)).min_face == expected
    assert PartPredictor(models, (None,) * len(models), full_decode=True).min_face is None


def test_the_packaged_photos_get_the_labels_of_full_decoding(tmp_path: Path):
    """The photos are enlarged to 3,200 pixels and get noise, so that decoding takes as long as for other photos."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for name in ("astronaut", "grace_hopper"):
        photo = load_image(example_path(name))
        large = photo.resize(
            (round(photo.width * 3200 / max(photo.size)), round(photo.height * 3200 / max(photo.size))),
            Image.Resampling.BICUBIC,
        )
        pixels = np.asarray(large) + rng.normal(0, 3, (large.height, large.width, 1))
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(jpeg(Image.fromarray(pixels.clip(0, 255).astype(np.uint8))))
    labels = {}
    for name, options in {"reduced": {}, "full": {"full_decode": True}}.items():
        predict_many(
            tmp_path / "pictures",
            tmp_path / f"{name}.parquet",
            models=["native48"],
            backend="onnx",
            detector=YuNetDetector(),
            **options,
        )
        labels[name] = [
            (row["source"], row["faces"], row["label"]) for row in parquet_rows(tmp_path / f"{name}.parquet")
        ]
    assert labels["reduced"] == labels["full"]
