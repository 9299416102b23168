"""The photo field, its examples, and faces in an uploaded photo."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from emotion_hub.errors import ImageError
from emotion_hub.examples import EXAMPLES
from emotion_hub.faces import DetectedPhoto, whole_image
from emotion_hub.ui.compare import compare_html
from emotion_hub.ui.photo import (
    FIRST,
    NO_FACE,
    THUMBNAIL,
    _thumbnail,
    chosen_face,
    detected_photo,
    example_photos,
    face_choices,
    photo_input,
)
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.predict import predict_html, predict_json
from tests.fakes.html_page import Page, picture
from tests.fakes.photos import huge_png, unusual_pictures

# the field


def test_the_photo_field_returns_the_file_undecoded() -> None:
    field = PhotoInput()
    assert field.get_block_name() == "image"
    assert field.preprocess(None) is None
    assert field.preprocess(SimpleNamespace(url=None, path="/tmp/never/opened")) == "/tmp/never/opened"
    assert field.preprocess(SimpleNamespace(url="data:image/png;base64,aGVsbG8=", path=None)) == b"hello"


def test_too_long_data_urls_are_refused_before_decoding() -> None:
    with pytest.raises(gr.Error, match="larger than 10 MB"):
        PhotoInput().preprocess(SimpleNamespace(url="data:image/png;base64," + "A" * (15 * 2**20), path=None))


def test_a_damaged_data_url_is_refused() -> None:
    with pytest.raises(
        gr.Error, match=r"^\"the data URL's base64 cannot be read; send the whole file, encoded once\"$"
    ):
        PhotoInput().preprocess(SimpleNamespace(url="data:image/png;base64,aGVsbG8", path=None))


def test_the_server_downloads_nothing_for_a_request() -> None:
    with pytest.raises(gr.Error, match="downloads nothing"):
        PhotoInput().move_resource_to_block_cache("https://example.com/large.png")
    with pytest.raises(gr.Error, match="downloads nothing"):
        asyncio.run(PhotoInput().async_move_resource_to_block_cache("https://example.com/large.png"))


def test_the_field_shows_the_first_example_on_arrival() -> None:
    with gr.Blocks():
        field = photo_input("photo")
    assert Path(field.value["path"]).read_bytes() == FIRST.path.read_bytes()
    assert (field.elem_id, field.sources) == ("photo", ["upload", "webcam", "clipboard"])


# examples


def test_an_example_is_a_small_picture_with_title_and_text() -> None:
    for name, example in EXAMPLES.items():
        html = _thumbnail(name)
        [image] = Page(html).all("img")
        assert image["alt"] == example.note
        assert example.licence in (image["title"] or "")
        assert f"<span>{example.title}</span>" in html
        assert picture(image["src"]).size == (THUMBNAIL, THUMBNAIL)
        assert len(html) < 8000, name


def test_a_click_on_an_example_puts_its_file_into_the_field() -> None:
    with gr.Blocks() as page:
        field = photo_input("photo")
        example_photos(field)
    [fn] = [fn for fn in page.fns.values() if fn.fn]
    for index, example in enumerate(EXAMPLES.values()):
        path = fn.fn(index)["value"]["path"]
        assert Path(path).read_bytes() == example.path.read_bytes()
        assert path in field.keep_in_cache, "the clean-up does not delete it"


# faces


def test_a_choice_of_faces_is_visible_where_there_are_several() -> None:
    for count, choices, visible in ((0, ["1"], False), (1, ["1"], False), (3, ["1", "2", "3"], True)):
        update = face_choices(count)
        assert [value for _, value in gr.Radio(update["choices"]).choices] == choices
        assert update["visible"] is visible
        assert "value" not in update, "the visitor's choice is kept"


def test_the_chosen_face_is_that_of_the_number_and_the_largest_for_any_other() -> None:
    images = [Image.new("RGB", (side, side)) for side in (40, 30, 20)]
    photo = DetectedPhoto(images[0], tuple(map(whole_image, images)), {})
    assert [chosen_face(photo, number).image.width for number in ("1", "2", "3")] == [40, 30, 20]
    assert [chosen_face(photo, number).image.width for number in ("4", "", None)] == [40, 40, 40]


def test_the_whole_picture_is_a_face_where_that_is_wanted() -> None:
    cat = str(EXAMPLES["cat"].path)
    assert detected_photo(cat, False).faces == ()
    [face] = detected_photo(cat, True).faces
    assert face.image.size == detected_photo(cat, True).photo.size
    assert len(detected_photo(EXAMPLES["group"].path.read_bytes(), False).faces) == 8


def test_a_photo_without_a_face_gets_the_next_step() -> None:
    for html, faces in (
        predict_html(str(EXAMPLES["cat"].path), "native48", False),
        compare_html(str(EXAMPLES["cat"].path), "lanczos", False),
    ):
        assert NO_FACE in html
        assert faces == []
        assert 'role="alert"' not in html, "it is no error"


# files that cannot be used


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "header cannot be read"),
    ],
)
def test_an_unreadable_picture_gets_an_error_in_place_of_the_answer(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    for html, faces in (predict_html(str(path), "native48", False), compare_html(str(path), "lanczos", False)):
        assert words in html
        assert 'role="alert"' in html
        assert faces == []
    with pytest.raises(gr.Error, match=words):
        predict_json(str(path), "native48", False)


def test_a_picture_of_12000_pixels_per_side_is_refused_before_decoding(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "huge.png")
    started = time.thread_time()
    with pytest.raises(ImageError, match="144 megapixels; the limit is 40"):
        detected_photo(path, False)
    assert time.thread_time() - started < 0.1, "the pixels were decoded, which takes 0.2 seconds"


@pytest.mark.parametrize("kind", unusual_pictures())
def test_unusual_pictures_are_predicted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(unusual_pictures()[kind])
    html, faces = predict_html(str(path), "native48", True)
    assert len(faces) == 1
    assert "eh-card" in html
    assert NO_FACE in predict_html(str(path), "native48", False)[0]


def test_a_deleted_photo_gets_a_message_without_its_path(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.png")
    for html in (predict_html(gone, "native48", False)[0], compare_html(gone, "lanczos", False)[0]):
        assert "deleted from the server, as announced" in html
        assert str(tmp_path) not in html


def test_a_photo_that_cannot_be_opened_is_refused_without_the_systems_message(tmp_path: Path) -> None:
    """A folder in place of a file: no error number, type or path reaches the page or the API."""
    for html in (predict_html(str(tmp_path), "native48", False)[0], compare_html(str(tmp_path), "lanczos", False)[0]):
        assert "Upload it again" in html
        assert str(tmp_path) not in html
    with pytest.raises(gr.Error, match=re.escape("Upload it again.")) as caught:
        predict_json(str(tmp_path), "native48", False)
    assert str(caught.value) == "'The photo has been deleted from the server, as announced. Upload it again.'"
