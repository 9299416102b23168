"""Strip of the resolution ladder and answer of the stress test, as HTML."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from PIL import Image

import emotion_hub.ui.html.strips
from emotion_hub.perturb import Ladder, LadderSide, StressSettings, reduced
from emotion_hub.preprocess import UPSCALE224, Preprocessor
from emotion_hub.results import ComparedSide, Comparison, Prediction
from emotion_hub.ui.html.strips import ladder_strip, stress_answer
from tests.fakes.html_page import Page, picture, text_of

SIDES = (12, 20, 28, 48)
NAMES = {name[0]: name for name in ("angry", "happy", "sad", "neutral")}
STYLE = Path(emotion_hub.ui.html.strips.__file__).parents[1] / "styles" / "strips.css"


def _prediction(label: str, p: float = 0.62) -> Prediction:
    """A prediction of the label that begins with this letter; a second label has the rest."""
    name = NAMES.get(label, label)
    other = "happy" if name != "happy" else "sad"
    return Prediction(name, 0, {name: p, other: 1 - p}, (0, 0, 9, 9), "drawn", {})


def _ladder(small: str, large: str, full: str = "hh", face_side: int = 100) -> Ladder:
    """The labels of each network at 12, 20, 28 and 48 pixels, as letters; `full` those of the whole face."""
    face = Image.linear_gradient("L").resize((100, 100))
    parts = (
        LadderSide(_prediction(whole), SIDES, tuple(map(_prediction, labels)))
        for whole, labels in zip(full, (small, large), strict=True)
    )
    return Ladder(*parts, face_side, tuple(reduced(face, side) for side in SIDES))


def _pair(small: Prediction, large: Prediction, level: int = 90) -> Comparison:
    face = Image.new("L", (48, 48), level)
    enlarged = Preprocessor(UPSCALE224).prepare(face)
    return Comparison(ComparedSide(small, face, 1, 1), ComparedSide(large, enlarged, 1, 1))


def _finding(html: str) -> str:
    return text_of(re.search(r'class="eh-strip-finding">(.*?)</p>', html).group(1))


def _cells(html: str, name: str) -> list[str]:
    row = re.search(rf'<tr data-model="{name}">(.*?)</tr>', html).group(1)
    return [text_of(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


# the ladder


@pytest.mark.parametrize(
    ("ladder", "sentence"),
    [
        (
            _ladder("nhhh", "nnhh"),
            "The 48-pixel network keeps its answer, happy, down to 20 pixels, the 224-pixel network down to 28 pixels.",
        ),
        (_ladder("nhhh", "shhh"), "Both networks keep their answer, happy, down to 20 pixels."),
        (_ladder("hhhh", "hhhh"), "Both networks keep their answer, happy, at every size down to 12 pixels."),
        (
            _ladder("hhhh", "hhnn", "hn"),
            "The 48-pixel network keeps its answer, happy, at every size down to 12 pixels. The 224-pixel network"
            " keeps its answer, neutral, down to 28 pixels.",
        ),
        (
            _ladder("shhh", "hhhn", "hn"),
            "The 48-pixel network keeps its answer, happy, down to 20 pixels. The 224-pixel network changes from"
            " neutral to happy already at 28 pixels.",
        ),
        (
            _ladder("hhhs", "hhhh"),
            "The 48-pixel network changes from happy to sad already at 48 pixels. The 224-pixel network keeps its"
            " answer, happy, at every size down to 12 pixels.",
        ),
        (
            _ladder("hahh", "hhhh", face_side=26),
            "The 48-pixel network changes from happy to angry already at 20 pixels. The 224-pixel network keeps its"
            " answer, happy, at every size down to 12 pixels.",
        ),
        (
            _ladder("hhhh", "hhhh", face_side=12),
            "This face has only 12 pixels per side: there is nothing to take away.",
        ),
    ],
)
def test_the_first_sentence_says_down_to_which_size_an_answer_stays(ladder: Ladder, sentence: str) -> None:
    html = ladder_strip(ladder)
    assert _finding(html) == sentence
    assert html.index(sentence[:20]) < html.index("<table")


def test_a_new_answer_is_marked_by_a_word_and_a_rule() -> None:
    html = ladder_strip(_ladder("hnhh", "nnnh"))
    assert _cells(html, "native48") == ["happy 62%", "happy 62%", "now neutral 62%", "again happy 62%"]
    assert _cells(html, "upscale224") == ["happy 62%", "now neutral 62%", "neutral 62%", "neutral 62%"]
    changed = re.findall(r'<td class="eh-strip-changed">(.*?)</td>', html)
    assert [text_of(cell).split()[0] for cell in changed] == ["now", "again", "now"]
    rule = re.search(r"\.eh-strip-changed \{ (border-left: [^;}]+)", STYLE.read_text()).group(1)
    assert "solid" in rule


def test_the_largest_size_is_marked_where_it_differs_from_the_whole_face() -> None:
    assert _cells(ladder_strip(_ladder("hhhs", "hhhh")), "native48")[:2] == ["now sad 62%", "again happy 62%"]


def test_the_table_has_headers_for_rows_and_columns_and_a_caption() -> None:
    html = ladder_strip(_ladder("nhhh", "nnhh"))
    page = Page(html)
    assert [header["scope"] for header in page.all("th")] == ["col"] * 5 + ["row"] * 3
    heads = [text_of(cell) for cell in re.findall(r"<th[^>]*>(.*?)</th>", html)]
    assert heads == ["Size", "48 px", "28 px", "20 px", "12 px", "Face", "48 -pixel network", "224 -pixel network"]
    assert len(page.all("caption")) == 1
    [region] = [attributes for attributes in page.all("div") if attributes.get("role") == "region"]
    assert region["tabindex"] == "0", "the keyboard can scroll it"
    assert region["aria-label"]


def test_faces_are_small_files_drawn_at_one_size_with_their_pixels() -> None:
    page = Page(ladder_strip(_ladder("nhhh", "nnhh")))
    pictures = page.all("img")
    assert len({(image["width"], image["height"]) for image in pictures}) == 1
    assert [image["alt"] for image in pictures] == [f"The face with {n} × {n} pixels" for n in (48, 28, 20, 12)]
    assert [picture(image["src"]).width for image in pictures] == [48, 28, 20, 12]
    assert all(len(image["src"]) < 1500 for image in pictures)
    assert re.search(r"\.eh-strip-table img \{[^}]*image-rendering: pixelated", STYLE.read_text())


def test_sizes_above_that_of_the_face_are_one_column() -> None:
    html = ladder_strip(_ladder("hhhh", "hhhh", face_side=26))
    assert re.findall(r'<th scope="col">(\d+) px', html) == ["26", "20", "12"]
    assert "the face has only 26 pixels per side" in html
    assert "the face has only" not in ladder_strip(_ladder("hhhh", "hhhh"))


# the stress test

HAPPY, NEUTRAL = _prediction("h", 0.62), _prediction("n", 0.9)
BLURRED = StressSettings({"blur": 1.5})


@pytest.mark.parametrize(
    ("after", "before", "settings", "sentence"),
    [
        ((HAPPY, HAPPY), (HAPPY, HAPPY), BLURRED, "Unchanged: both still say happy."),
        (
            (HAPPY, NEUTRAL),
            (HAPPY, NEUTRAL),
            BLURRED,
            "Unchanged: the 48-pixel network still says happy and the 224-pixel network still says neutral.",
        ),
        (
            (_prediction("fear", 0.41), HAPPY),
            (HAPPY, HAPPY),
            BLURRED,
            "The 48-pixel network now says fear (41%) instead of happy (62%). The 224-pixel network still says happy.",
        ),
        (
            (HAPPY, _prediction("s", 0.5)),
            (HAPPY, NEUTRAL),
            BLURRED,
            "The 224-pixel network now says sad (50%) instead of neutral (90%). The 48-pixel network still says happy.",
        ),
        (
            (_prediction("s", 0.5), _prediction("a", 0.3)),
            (HAPPY, NEUTRAL),
            BLURRED,
            "The 48-pixel network now says sad (50%) instead of happy (62%). The 224-pixel network now says angry (30%)"
            " instead of neutral (90%).",
        ),
        ((HAPPY, HAPPY), (HAPPY, HAPPY), StressSettings(), "Nothing is changed yet: both say happy."),
    ],
)
def test_the_first_sentence_says_which_answers_changed(
    after: tuple[Prediction, Prediction],
    before: tuple[Prediction, Prediction],
    settings: StressSettings,
    sentence: str,
) -> None:
    assert _finding(stress_answer(_pair(*after), _pair(*before), settings)) == sentence


def test_confidences_before_and_after_are_text_and_bars() -> None:
    html = stress_answer(_pair(_prediction("s", 0.41), HAPPY), _pair(HAPPY, HAPPY), BLURRED)
    assert _cells(html, "native48") == ["happy 62%", "now sad 41% happy has 59% left"]
    assert _cells(html, "upscale224") == ["happy 62%", "happy 62%"]
    assert re.findall(r'style="width:([\d.]+)%"', html) == ["62.0", "41.0", "62.0", "62.0"]
    page = Page(html)
    assert [header["scope"] for header in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert len(page.all("caption")) == 1


def test_the_changed_face_is_shown_as_both_networks_get_it() -> None:
    page = Page(stress_answer(_pair(HAPPY, HAPPY, level=200), _pair(HAPPY, HAPPY, level=90), BLURRED))
    small, large = page.all("img")
    assert [picture(image["src"]).size for image in (small, large)] == [(48, 48), (224, 224)]
    assert picture(small["src"]).convert("L").getpixel((20, 20)) == 200
    assert (small.get("class"), large.get("class")) == ("eh-stress-pixels", None)
    assert (small["width"], small["height"]) == (large["width"], large["height"])
    assert [image["alt"] for image in (small, large)] == [
        f"The changed face as the {n}-pixel network gets it" for n in (48, 224)
    ]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (StressSettings(), "Move a slider to blur, darken, turn or cover the face."),
        (StressSettings({"noise": 8, "rotation": -20.0}), "Applied: rotation −20°, noise 8 of 255 gray levels."),
        (
            StressSettings({"occlusion": 0.3, "brightness": 0.6}, position="mouth"),
            "Applied: covered part at the mouth 30% of the side, brightness × 0.6.",
        ),
        (BLURRED, "Applied: blur 1.5 pixels."),
    ],
)
def test_what_is_applied_is_said_in_words(settings: StressSettings, text: str) -> None:
    assert text in text_of(stress_answer(_pair(HAPPY, HAPPY), _pair(HAPPY, HAPPY), settings))


def test_labels_of_other_models_are_escaped() -> None:
    odd = dataclasses.replace(HAPPY, label="<b>&", probs={"<b>&": 0.9})
    ladder = _ladder("hhhh", "hhhh")
    part = LadderSide(odd, SIDES, (HAPPY, odd, odd, odd))
    for html in (
        ladder_strip(dataclasses.replace(ladder, native48=part)),
        stress_answer(_pair(odd, HAPPY), _pair(HAPPY, odd), BLURRED),
    ):
        assert "<b>" not in html
        assert "&lt;b&gt;&amp;" in html
        Page(html)


def test_every_class_of_the_html_has_a_style_and_no_script_is_in_it() -> None:
    html = ladder_strip(_ladder("nhhh", "nnhh"))
    html += stress_answer(_pair(_prediction("s"), HAPPY), _pair(HAPPY, HAPPY), BLURRED)
    style = STYLE.read_text()
    names = {name for names in re.findall(r'class="([^"]+)"', html) for name in names.split()}
    assert names
    assert not {name for name in names if f".{name}" not in style}
    assert not re.search(r"<script|\son\w+=", html)
