"""Answer of the Compare tab: verdict, views, costs, several faces."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from emotion_hub.quality import FaceWarning
from emotion_hub.results import Comparison
from emotion_hub.ui.html.comparison import comparison_answer
from tests.fakes.drawn_results import TIMINGS, pair_of, prediction
from tests.fakes.html_page import Page, picture, text_of

PHOTO = Image.new("RGB", (120, 80), "teal")
FIGURES = {
    "native48": {"accuracy": 0.6846, "interval": (0.669, 0.699), "n": 3589},
    "upscale224": {"accuracy": 0.6765, "interval": (0.661, 0.692), "n": 3589},
}


def pairs(count: int = 1, *, disagree: int = 0) -> list[Comparison]:
    """Comparisons of faces from left to right; in the first `disagree` the labels differ."""
    boxes = [(10 * i, 20, 10 * i + 9, 40) for i in range(count)]
    return [
        pair_of(prediction("happy", 0.7, bbox=box), prediction("sad" if i < disagree else "happy", 0.6, bbox=box))
        for i, box in enumerate(boxes)
    ]


def test_a_single_face_has_one_card_that_begins_with_the_verdict() -> None:
    html = comparison_answer(PHOTO, pairs(), "lanczos")
    page = Page(html)
    [card] = page.all("div", "eh-card")
    assert (card["data-face"], card["data-agree"]) == ("0", "true")
    assert text_of(html).startswith("Both say happy. The 224-pixel input is 65 times larger and takes")
    assert len(page.all("h3")) == 1
    assert not page.all("figure", "eh-tagged"), "the photo is in its field"
    assert Page(comparison_answer(PHOTO, pairs(disagree=1), "lanczos")).all("div", "eh-card")[0]["data-agree"] == (
        "false"
    )


def test_both_views_say_what_the_network_gets() -> None:
    html = comparison_answer(PHOTO, pairs(), "nearest")
    small, large = Page(html).all("img", "eh-seen")
    assert [picture(view["src"]).size for view in (small, large)] == [(48, 48), (224, 224)]
    assert [view["alt"] for view in (small, large)] == [
        f"The face as the network on {n} pixels gets it" for n in (48, 224)
    ]
    assert "eh-pixels" in (small["class"] or "")
    assert "eh-pixels" not in (large["class"] or "")
    assert [view["data-model"] for view in (small, large)] == ["native48", "upscale224"]
    captions = [text_of(caption) for caption in re.findall(r"<figcaption>(.*?)</figcaption>", html)]
    assert captions == [
        "48: happy 70% drawn 48×48 pixels, gray",
        "224: happy 60% drawn 224×224 pixels, gray in three channels, enlarged from 48 (nearest)",
    ]


def test_another_model_than_the_sides_own_is_named() -> None:
    named = pair_of(prediction(model="native48"), prediction(model="someone/<b>faces"))
    html = comparison_answer(PHOTO, [named], "lanczos")
    assert [text_of(name) for name in re.findall(r'class="eh-which">(.*?)</span>', html)] == ["someone/<b>faces"]
    assert "<b>" not in html


def test_the_costs_are_a_folded_table_with_headers_and_ratios() -> None:
    slow = TIMINGS | {"preprocess": 1.0, "inference": 6.0}
    html = comparison_answer(PHOTO, [pair_of(prediction(), prediction(timings=slow))], "lanczos")
    page = Page(html)
    [costs] = [fold for fold in page.all("details") if fold["data-fold"] == "costs"]
    assert "open" not in costs
    assert [header["scope"] for header in page.all("th")] == ["col"] * 4 + ["row"] * 4
    assert len(page.all("caption")) == 1
    ratios = {cell["data-ratio"]: float(cell["data-value"] or 0) for cell in page.all("td") if "data-ratio" in cell}
    assert ratios == pytest.approx(
        {"preprocessing": 2.0, "inference": 12.0, "input (float32)": 65.3333, "parameters": 2.5}, abs=1e-4
    )
    row = re.search(r'<tr><th scope="row">inference</th>(.*?)</tr>', html)
    assert row is not None
    assert text_of(row[1]) == "0.50 ms 6.00 ms 12 times as long"


def test_the_shared_probability_is_one_minus_the_distance() -> None:
    pair = pair_of(prediction(probs={"happy": 0.7, "sad": 0.3}), prediction(probs={"happy": 0.5, "sad": 0.5}))
    assert "The two answers share 80% of their probability" in comparison_answer(PHOTO, [pair], "lanczos")


def test_several_faces_have_the_photo_and_a_row_each() -> None:
    html = comparison_answer(PHOTO, pairs(3, disagree=1), "lanczos")
    page = Page(html)
    assert text_of(html).startswith("3 faces: both networks say the same of 2.")
    assert len(page.all("figure", "eh-tagged")) == 1
    rows = [fold for fold in page.all("details") if (fold["data-fold"] or "").startswith("face-")]
    assert [row["data-fold"] for row in rows] == ["face-1", "face-2", "face-3"]
    assert ["open" in row for row in rows] == [True, False, False]
    summaries = [text_of(each) for each in re.findall(r'data-fold="face-\d".*?<summary>(.*?)</summary>', html)]
    assert summaries == ["1 happy / sad 48: 70% · 224: 60%"] + [f"{n} happy 48: 70% · 224: 60%" for n in (2, 3)]
    assert {tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)} == {"h3"}
    agreed = comparison_answer(PHOTO, pairs(2), "lanczos")
    assert text_of(agreed).startswith("2 faces: both networks say the same of each.")


def test_faces_that_were_left_out_are_counted() -> None:
    html = comparison_answer(PHOTO, pairs(2), "lanczos", left_out=5)
    assert "5 smaller faces are left out here; the Predict tab shows all of them." in html
    assert "left out" not in comparison_answer(PHOTO, pairs(2), "lanczos")


def test_what_is_probably_no_face_is_said_first() -> None:
    warnings = (FaceWarning.of("not_a_face", 0.0, 0.15), FaceWarning.of("dark", 20, 90.0))
    pair = pair_of(prediction(warnings=warnings), prediction(warnings=warnings))
    html = comparison_answer(PHOTO, [pair], "lanczos")
    assert re.findall(r'data-code="(\w+)"', html) == ["not_a_face", "dark"], "once, although both networks have them"
    assert html.index('data-code="not_a_face"') < html.index("eh-verdict") < html.index('data-code="dark"')
    several = comparison_answer(PHOTO, [pair, *pairs(1)], "lanczos")
    assert "face 1: no face?, face 2: happy" in several


def test_what_was_measured_is_said_once_below_the_faces() -> None:
    for faces in (pairs(), pairs(3)):
        html = comparison_answer(PHOTO, faces, "lanczos", figures=FIGURES)
        assert html.count("On 3,589 test faces: 68.5% of them right from 48 pixels") == 1
        assert html.index("test faces") > html.index("eh-bars")
    assert "test faces" not in comparison_answer(PHOTO, pairs(), "lanczos")
    html = comparison_answer(PHOTO, pairs(), "lanczos", note='<p class="given">here</p>')
    assert html.endswith('<p class="given">here</p>')


def test_labels_are_escaped() -> None:
    odd = prediction("<b>&", prediction_set=("<b>&", '"'))
    for faces in ([pair_of(odd, odd)], [pair_of(odd, prediction())] * 2):
        html = comparison_answer(PHOTO, faces, "lanczos")
        Page(html)
        assert "<b>" not in html
        assert "&lt;b&gt;&amp;" in html
