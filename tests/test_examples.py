"""Example photos: predictions in their notes, sizes, credits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.examples import EXAMPLES, ExamplePhoto, example_path
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.results import Prediction

#: Largest total size of the photos in bytes.
LIMIT = 400_000

#: {photo: (number of detected faces, label of native48, label of upscale224)}; None when the note has no label.
NOTED = {
    "astronaut": (1, "happy", "happy"),
    "grace_hopper": (1, "neutral", "neutral"),
    "einstein": (1, "sad", "sad"),
    "group": (8, None, None),
    "disputed": (1, "happy", "neutral"),
    "profile": (1, "sad", "sad"),
    "solvay": (18, None, None),
    "cat": (0, None, None),
}


@pytest.fixture(scope="module")
def predictions() -> dict[str, tuple[list[Prediction], list[Prediction]]]:
    """The predictions of native48 and upscale224 for each photo."""
    native48, upscale224 = (
        EmotionPredictor.from_pretrained(name, backend="onnx") for name in ("native48", "upscale224")
    )
    return {name: (native48.predict(photo.path), upscale224.predict(photo.path)) for name, photo in EXAMPLES.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_faces_and_labels_are_those_of_the_note(
    name: str, predictions: dict[str, tuple[list[Prediction], list[Prediction]]]
) -> None:
    faces, *labels = NOTED[name]
    assert [len(side) for side in predictions[name]] == [faces, faces]
    for side, label in zip(predictions[name], labels, strict=True):
        if label is not None:
            assert side[0].label == label, "another network or encoding: choose another photo, or change its note"
            assert label in EXAMPLES[name].note


def test_a_label_in_a_note_has_a_clear_margin(
    predictions: dict[str, tuple[list[Prediction], list[Prediction]]],
) -> None:
    for name, (_, *labels) in NOTED.items():
        for side in predictions[name] if labels[0] else ():
            first, second, *_ = sorted(side[0].probs.values(), reverse=True)
            assert first - second > 0.1, name


def test_both_networks_are_right_about_the_group_of_eight(
    predictions: dict[str, tuple[list[Prediction], list[Prediction]]],
) -> None:
    for side in predictions["group"]:
        smiling = {face.label for face in side if face.bbox[0] < 400}  # the four on the left smile
        assert (smiling, {face.label for face in side if face.bbox[0] >= 400}) == ({"happy"}, {"neutral"})
        assert sum(face.bbox[0] < 400 for face in side) == 4


def test_the_faces_of_the_crowd_are_small_and_some_predictions_differ(
    predictions: dict[str, tuple[list[Prediction], list[Prediction]]],
) -> None:
    assert max(face.bbox[2] - face.bbox[0] for face in predictions["solvay"][0]) <= 21
    assert 0 < sum(a.label != b.label for a, b in zip(*predictions["solvay"], strict=True)) < 18


def test_the_photos_are_small_jpegs_without_metadata() -> None:
    assert sum(photo.path.stat().st_size for photo in EXAMPLES.values()) <= LIMIT
    for photo in EXAMPLES.values():
        with Image.open(photo.path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert max(image.size) <= 800
            assert not image.getexif()
            assert not {"comment", "icc_profile", "xmp", "photoshop", "exif"} & set(image.info)
            left, top, right, bottom = photo.focus
            assert 0 <= left < right <= image.width
            assert 0 <= top < bottom <= image.height
            assert right - left == bottom - top, "the gallery shows squares"


def test_the_folder_has_no_other_files_and_names_are_keys() -> None:
    folder = example_path("astronaut").parent
    assert {path.name for path in folder.iterdir()} == {f"{name}.jpg" for name in EXAMPLES}
    assert {name: photo.name for name, photo in EXAMPLES.items()} == {name: name for name in EXAMPLES}
    assert NOTED.keys() == EXAMPLES.keys()


def test_notice_credits_every_photo() -> None:
    notice = " ".join((Path(__file__).parents[1] / "NOTICE").read_text().split())
    for photo in EXAMPLES.values():
        assert f"{photo.name}.jpg: {photo.source}; {photo.licence}" in notice
    assert "https://creativecommons.org/licenses/by/4.0/" in notice


def test_an_unknown_name_lists_the_photos() -> None:
    with pytest.raises(InputError, match=r"no example photo 'mona_lisa'; choose one of astronaut, grace_hopper, "):
        example_path("mona_lisa")


def test_an_example_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES["cat"].title = "Dog"
    assert {field.name for field in dataclasses.fields(ExamplePhoto)} == {
        "name",
        "title",
        "note",
        "source",
        "licence",
        "focus",
    }
