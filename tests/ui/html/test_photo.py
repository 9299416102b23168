"""The photo with face boxes and tags, and thumbnails of faces."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from emotion_hub.quality import FaceWarning
from emotion_hub.ui.html.photo import MAX_LABELS, SHOWN_SIDE, THUMBNAIL, photo_with_tags, shown_label, thumbnail
from tests.fakes.drawn_results import prediction
from tests.fakes.html_page import Page, picture

PHOTO = Image.new("RGB", (200, 100), "teal")


def boxes(html: str) -> list[tuple[str, dict[str, float], list[str], str]]:
    """(number, place in percent, classes of the tag, its text) of every box."""
    found = re.findall(r'data-box="(\d+)" style="([^"]*)"><span class="([^"]*)">([^<]*)</span>', html)
    return [(number, _place(style), css.split(), text) for number, style, css, text in found]


def _place(style: str) -> dict[str, float]:
    return {name: float(value.rstrip("%")) for name, value in (part.split(":") for part in style.split(";"))}


def test_boxes_lie_in_percent_of_the_photo() -> None:
    html = photo_with_tags(PHOTO, [prediction("happy", bbox=(20, 50, 60, 90))])
    [(number, place, css, text)] = boxes(html)
    assert place == {"left": 10.0, "top": 50.0, "width": 20.0, "height": 40.0}
    assert (number, css, text) == ("1", ["eh-tag"], "happy"), "a single face needs no number"
    assert Page(html).all("figure")[0]["style"] == "--eh-ratio:2.0000"


@pytest.mark.parametrize(
    ("bbox", "variants"),
    [
        ((20, 9, 60, 90), []),
        ((20, 8, 60, 90), ["eh-inside"]),
        ((0, 0, 200, 100), ["eh-inside"]),
        ((140, 50, 190, 90), []),
        ((141, 50, 190, 90), ["eh-right"]),
        ((180, 0, 200, 20), ["eh-inside", "eh-right"]),
    ],
)
def test_a_tag_stays_inside_the_photo(bbox: tuple[int, int, int, int], variants: list[str]) -> None:
    [(_, _, css, _)] = boxes(photo_with_tags(PHOTO, [prediction(bbox=bbox)]))
    assert css == ["eh-tag", *variants]


def test_tags_have_number_and_label_and_of_many_faces_the_number_alone() -> None:
    few = [prediction("happy", bbox=(i, 50, i + 1, 60)) for i in range(MAX_LABELS)]
    assert [text for *_, text in boxes(photo_with_tags(PHOTO, few))] == [
        f"{number} happy" for number in range(MAX_LABELS, 0, -1)
    ], "the largest face is drawn last, above the others"
    html = photo_with_tags(PHOTO, [*few, prediction("sad")])
    assert [text for *_, text in boxes(html)] == [str(number) for number in range(MAX_LABELS + 1, 0, -1)]
    assert f"face {MAX_LABELS + 1}: sad" in (Page(html).all("img")[0]["alt"] or ""), "its label is in the text"


def test_other_texts_replace_the_labels_and_all_are_escaped() -> None:
    html = photo_with_tags(PHOTO, [prediction(), prediction("<i>")], ["<b>&", '"sad" / happy'])
    assert [text for *_, text in boxes(html)] == ["2 &quot;sad&quot; / happy", "1 &lt;b&gt;&amp;"]
    assert Page(html).all("img")[0]["alt"] == 'The photo; face 1: <b>&, face 2: "sad" / happy'
    assert "<b>" not in html
    with pytest.raises(ValueError, match="zip"):
        photo_with_tags(PHOTO, [prediction(), prediction()], ["one text"])


def test_boxes_are_hidden_from_screen_readers_which_read_the_pictures_text() -> None:
    page = Page(photo_with_tags(PHOTO, [prediction(), prediction()]))
    assert [box["aria-hidden"] for box in page.all("span", "eh-box")] == ["true", "true"]


def test_what_is_probably_no_face_is_called_so() -> None:
    doubtful = prediction(warnings=(FaceWarning.of("not_a_face", 0.0, 0.15),))
    assert (shown_label(doubtful), shown_label(prediction())) == ("no face?", "happy")
    assert boxes(photo_with_tags(PHOTO, [doubtful]))[0][3] == "no face?"


@pytest.mark.parametrize("size", [(3000, 1000), (1000, 3000), (5000, 2), (120, 90)])
def test_a_large_photo_is_reduced_and_its_boxes_keep_their_places(size: tuple[int, int]) -> None:
    width, height = size
    face = prediction(bbox=(width // 4, 0, width // 2, height))
    html = photo_with_tags(Image.new("RGB", size), [face])
    [image] = Page(html).all("img")
    shown = picture(image["src"])
    assert (image["width"], image["height"]) == tuple(map(str, shown.size))
    assert max(shown.size) == min(max(size), SHOWN_SIDE)
    assert shown.width / shown.height == pytest.approx(width / height, rel=0.01) or 1 in shown.size
    [(_, place, _, _)] = boxes(html)
    assert (place["left"], place["height"]) == (25.0, 100.0)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_photos_of_other_modes_are_shown(mode: str) -> None:
    image = Image.new(mode, (60, 40))
    assert picture(Page(photo_with_tags(image, [prediction()])).all("img")[0]["src"]).size == (60, 40)
    assert thumbnail(image, prediction(), 1)


# thumbnails


def thumb(bbox: tuple[int, int, int, int], photo: Image.Image = PHOTO) -> np.ndarray:
    [image] = Page(thumbnail(photo, prediction(bbox=bbox), 7)).all("img")
    assert image["alt"] == "Face 7"
    small = picture(image["src"])
    assert small.size == (THUMBNAIL, THUMBNAIL)
    return np.asarray(small.convert("RGB")).astype(int)


def test_a_thumbnail_is_the_square_around_the_box() -> None:
    photo = PHOTO.copy()
    ImageDraw.Draw(photo).rectangle((50, 30, 89, 69), fill="white")
    assert thumb((50, 30, 90, 70), photo).min() > 230
    tall = thumb((60, 30, 80, 70), photo)  # as wide as high, so the sides of the face are seen
    assert tall.min() > 230


@pytest.mark.parametrize(
    ("bbox", "black"),
    [
        ((0, 0, 40, 80), np.s_[:, : THUMBNAIL // 4 - 3]),
        ((160, 10, 200, 90), np.s_[:, -THUMBNAIL // 4 + 3 :]),
        ((60, 0, 140, 40), np.s_[: THUMBNAIL // 4 - 3, :]),
        ((60, 60, 140, 100), np.s_[-THUMBNAIL // 4 + 3 :, :]),
    ],
)
def test_what_lies_outside_the_photo_is_black_in_a_thumbnail(
    bbox: tuple[int, int, int, int], black: tuple[slice, slice]
) -> None:
    pixels = thumb(bbox)
    assert pixels[black].max() < 25
    assert np.abs(pixels[THUMBNAIL // 2, THUMBNAIL // 2] - (0, 128, 128)).max() < 25


@pytest.mark.parametrize("bbox", [(0, 0, 1, 1), (199, 99, 200, 100), (0, 0, 200, 100), (7, 3, 8, 100)])
def test_the_smallest_and_the_largest_boxes_have_thumbnails(bbox: tuple[int, int, int, int]) -> None:
    assert thumb(bbox).shape == (THUMBNAIL, THUMBNAIL, 3)
