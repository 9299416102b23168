"""Answer of the Predict tab: cards, rows, prediction sets, times."""

from __future__ import annotations

import re

from PIL import Image

from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.quality import FaceWarning
from emotion_hub.results import Prediction
from emotion_hub.ui.html.prediction import MAX_CARDS, prediction_answer
from tests.fakes.drawn_results import TIMINGS, prediction
from tests.fakes.html_page import Page, text_of

PHOTO = Image.new("RGB", (120, 30), "teal")
SETS = PredictionSets(0.9, {"happy": 0.7, "sad": 0.7})


def faces(count: int) -> list[Prediction]:
    return [prediction("happy", 0.7, bbox=(4 * i, 4, 4 * i + 3, 8)) for i in range(count)]


def test_a_single_face_has_one_card_and_the_photo_below_it() -> None:
    html = prediction_answer(PHOTO, faces(1))
    page = Page(html)
    [card] = page.all("div", "eh-card")
    assert (card["data-face"], card["data-label"]) == ("0", "happy")
    assert text_of(html).startswith("The network says happy. 70%")
    assert html.index("eh-card") < html.index("eh-tagged")
    assert len(page.all("h3")) == 1


def test_all_faces_are_boxed_and_only_the_largest_get_cards() -> None:
    html = prediction_answer(PHOTO, faces(MAX_CARDS + 3))
    page = Page(html)
    assert len(page.all("span", "eh-box")) == MAX_CARDS + 3
    rows = [fold for fold in page.all("details") if (fold["data-fold"] or "").startswith("face-")]
    assert len(page.all("div", "eh-card")) == len(rows) == MAX_CARDS
    assert ["open" in row for row in rows] == [True] + [False] * (MAX_CARDS - 1)
    assert "3 smaller faces have a box in the photo and no row." in html
    assert f"face {MAX_CARDS + 3}: happy" in html
    assert text_of(html).startswith(f"{MAX_CARDS + 3} faces")
    assert "smaller faces" not in prediction_answer(PHOTO, faces(MAX_CARDS))


def test_a_row_has_number_label_and_confidence() -> None:
    doubtful = prediction("sad", 0.8, warnings=(FaceWarning.of("not_a_face", 0.0, 0.15),))
    html = prediction_answer(PHOTO, [faces(1)[0], doubtful])
    summaries = re.findall(r'data-fold="face-\d".*?<summary>(.*?)</summary>', html)
    assert [text_of(summary) for summary in summaries] == ["1 happy 70%", "2 no face? 80%"]


def test_a_card_names_the_prediction_set_and_one_line_says_what_it_means() -> None:
    sets = (("sad",), ("sad", "neutral"), ("sad", "neutral", "<b>"), None)
    html = prediction_answer(PHOTO, [prediction("sad", 0.5, prediction_set=labels) for labels in sets], sets=SETS)
    likely = re.findall(r'<p class="eh-set">(.*?)</p>', html)
    assert likely == ["Likely: sad or neutral.", "Likely: sad, neutral or &lt;b&gt;."], "not for a set of one label"
    assert html.count("“Likely”: in 9 of 10 faces of the test set, the true label is among these.") == 1
    without = prediction_answer(PHOTO, [prediction("sad", 0.5)])
    assert "Likely" not in without


def test_what_the_percentage_means_comes_from_the_models_report() -> None:
    figures = {"reliability": [{"from": 0.6, "to": 0.8, "n": 400, "accuracy": 0.66}]}
    html = prediction_answer(PHOTO, faces(1), figures=figures)
    assert "the label was right for 66% of the 400 with about 70%." in html
    assert "What the percentages mean" not in prediction_answer(PHOTO, faces(1))


def test_notices_stand_at_their_places() -> None:
    warnings = (FaceWarning.of("not_a_face", 0.0, 0.15), FaceWarning.of("dark", 20, 90.0))
    html = prediction_answer(PHOTO, [prediction(warnings=warnings)])
    assert html.index('data-code="not_a_face"') < html.index("eh-verdict") < html.index('data-code="dark"')
    assert "This is probably not a face; the network would say happy." in html


def test_the_colour_of_the_bars_is_that_of_the_networks_side() -> None:
    for side in ("native48", "upscale224"):
        assert f'class="eh-fill eh-{side}"' in prediction_answer(PHOTO, faces(1), side=side)


def test_times_are_folded_and_those_of_all_faces_are_added() -> None:
    html = prediction_answer(PHOTO, faces(3))
    [times] = [fold for fold in Page(html).all("details") if fold["data-fold"] == "times"]
    assert "open" not in times
    found = re.search(r'data-fold="times".*', html)
    assert found is not None
    assert text_of("<" + found[0].split("<", 1)[1]) == (
        f"Time: {TIMINGS['decode'] + TIMINGS['detect'] + 3:.0f} ms decode the photo 1.0 ms find faces 2.0 ms"
        " prepare the faces 1.5 ms run the network 1.5 ms"
    )


def test_labels_and_models_are_escaped() -> None:
    html = prediction_answer(PHOTO, [prediction("<b>&", model="<i>")] * 2)
    Page(html)
    assert not re.search("<[bi]>", html)
