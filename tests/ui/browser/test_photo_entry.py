"""Ways to enter a photo in Chromium: upload, paste, snapshot, bad files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.examples import example_path
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.results import Prediction
from tests.fakes.demo_browser import astronaut, chromium_marks
from tests.fakes.demo_page import Visitor, assert_equal_probs

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

#: Writes a PNG file, given as base64, to the clipboard.
_COPY = """async (data) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    await navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})]);
}"""


def predicted(photo: Path) -> list[Prediction]:
    return EmotionPredictor.from_pretrained("native48").predict(photo)


@pytest.fixture(scope="module")
def visitor(open_visitor: Callable[..., Visitor]) -> Visitor:
    """A page on the Predict tab that may use the camera and the clipboard."""
    visitor = open_visitor(permissions=["camera", "clipboard-read", "clipboard-write"])
    visitor.tab("predict")
    visitor.wait_for_answer("predict")
    return visitor


def test_an_uploaded_photo_shows_the_probabilities_of_predict(visitor: Visitor, tmp_path: Path) -> None:
    photo = tmp_path / "astronaut.png"
    astronaut().save(photo)
    with visitor.new_answer("predict"):
        visitor.upload(photo)
    expected = predicted(photo)
    assert expected, "the detector must find the astronaut"
    cards = visitor.page.locator("#predict-answer .eh-card")
    assert cards.count() == len(expected)
    assert_equal_probs(visitor.probs("predict", "native48"), expected[0].probs)
    assert cards.first.get_attribute("data-label") == expected[0].label
    visitor.page.locator("#predict-answer [data-fold=times] summary").click()
    assert re.search(r"find faces\s+[\d.]+ ms", visitor.text("predict"))


def test_a_pasted_picture_shows_the_probabilities_of_predict(visitor: Visitor, tmp_path: Path) -> None:
    photo = tmp_path / "mirrored.png"
    astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo)
    visitor.page.evaluate(_COPY, base64.b64encode(photo.read_bytes()).decode())
    with visitor.new_answer("predict"):
        visitor.remove()
    with visitor.new_answer("predict"):
        visitor.page.locator("#photo").get_by_label("Paste from clipboard").click()
    assert_equal_probs(visitor.probs("predict", "native48"), predicted(photo)[0].probs)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40", "cannot be read"),
        ("empty.jpg", b"", "empty"),
        ("note.png", b"this is a text", "text"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_an_unreadable_file_gets_a_readable_message(
    visitor: Visitor, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with visitor.new_answer("predict"):
        visitor.upload(path)
    alert = visitor.page.locator("#predict-answer .eh-error[role=alert]").inner_text()
    assert "This picture cannot be read." in alert
    assert words in alert
    assert "Traceback" not in alert
    assert "/" not in alert.replace("48/", ""), "no path of the server"


def test_a_photo_without_a_face_gets_a_message_and_can_be_taken_whole(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (200, 160), "teal").save(path)
    with visitor.new_answer("predict"):
        visitor.upload(path)
    assert "No face was found" in visitor.text("predict")
    visitor.open_fold("advanced")
    whole = visitor.page.locator("#whole input")
    with visitor.new_answer("predict"):
        whole.check()
    assert visitor.page.locator("#predict-answer .eh-card").count() == 1
    with visitor.new_answer("predict"):
        whole.uncheck()
    with visitor.new_answer("predict"):
        visitor.example("cat")
    assert "451×300 pixels, no face." in visitor.text("predict")


def test_an_example_shows_the_probabilities_of_predict(visitor: Visitor) -> None:
    with visitor.new_answer("predict"):
        visitor.example("profile")
    assert_equal_probs(visitor.probs("predict", "native48"), predicted(example_path("profile"))[0].probs)


def test_a_webcam_snapshot_shows_the_probabilities_of_predict_on_the_same_frame(visitor: Visitor) -> None:
    field = visitor.page.locator("#photo")
    if field.get_by_label("Remove Image").count():
        with visitor.new_answer("predict"):
            visitor.remove()
    assert "Add a photo" in visitor.text("predict")
    with (
        visitor.new_answer("predict"),
        visitor.page.expect_response(lambda r: "/upload?" in r.url and r.request.method == "POST") as upload,
    ):
        field.get_by_label("Capture from camera").click()
        field.get_by_text("Click to Access Webcam").click()
        visitor.page.wait_for_function(
            "() => { const v = document.querySelector('#photo video');"
            " return v && v.videoWidth > 0 && v.readyState >= 2 }"
        )
        field.get_by_label("capture photo").click()
    frame = Path(upload.value.json()[0])  # the server's file of the snapshot
    expected = predicted(frame)
    assert expected, "the face must be found in the camera's frame"
    assert_equal_probs(visitor.probs("predict", "native48"), expected[0].probs)
