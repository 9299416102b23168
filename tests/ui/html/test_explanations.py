"""Answer of the Explain tab: sections, findings, scores, sheet, progress."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_hub.explainers import METHODS
from emotion_hub.explainers.base import Explanation, Relevance
from emotion_hub.explainers.finding import alternative_text, finding
from emotion_hub.explainers.metrics import random_map
from emotion_hub.explainers.scores import score_map
from emotion_hub.ui.html.explanations import explanation_answer, progress_line
from tests.fakes.html_page import Page, picture, text_of

OF_MAP = {"sparseness": 0.4, "regions": {"eyes": 1.0}}
FAST = OF_MAP | {"deletion": 0.21, "insertion": 0.64}


def explained(method: str = "gradcam", side: int = 48, seed: int = 0, **changes: Any) -> Explanation:
    values: dict[str, Any] = {
        "heatmap": random_map(SimpleNamespace(size=side), seed),  # type: ignore[arg-type]  # it needs the size alone
        "signed": None,
        "method": method,
        "model": "native48" if side == 48 else "upscale224",
        "target": "happy",
        "versus": None,
        "confidence": 0.62,
        "parameters": {},
        "scores": OF_MAP,
        "milliseconds": 12.0,
        "prepared": Image.new("L", (side, side), 120),
    }
    return Explanation(**(values | changes))


def test_each_network_has_a_section_with_its_input_and_its_maps() -> None:
    html = explanation_answer([explained(), explained(side=224), explained("gradcam++", seed=1)])
    page = Page(html)
    assert [section["data-model"] for section in page.all("section")] == ["native48", "upscale224"]
    headings = [text_of(heading) for heading in re.findall(r"<h3[^>]*>(.*?)</h3>", html)]
    assert headings == ["native48: why happy 62%", "upscale224: why happy 62%"]
    maps = [(figure.get("data-model"), figure.get("data-method")) for figure in page.all("figure", "eh-map")]
    assert maps == [
        (None, None),
        ("native48", "gradcam"),
        ("native48", "gradcam++"),
        (None, None),
        ("upscale224", "gradcam"),
    ]
    keys = [key["class"] for key in page.all("span", "eh-key")]
    assert keys == ["eh-key eh-native48", "eh-key eh-upscale224"]


def test_a_map_has_its_finding_as_text_and_as_alternative_text() -> None:
    for each in (explained(seed=3), explained(heatmap=np.zeros((48, 48), np.float32))):
        html = explanation_answer([each])
        images = Page(html).all("img", "eh-seen")
        assert [image["alt"] for image in images] == ["The face as native48 gets it", alternative_text(each)]
        assert finding(each).rstrip(".").lower() in (images[1]["alt"] or "").lower()
        [shown] = re.findall(r'class="eh-finding">(.*?)</span>', html)
        assert text_of(shown) == finding(each)
        assert picture(images[1]["src"]).size == (224, 224)


def test_a_label_against_another_is_in_the_heading() -> None:
    html = explanation_answer([explained(versus="<b>")])
    assert "why happy rather than &lt;b&gt;" in html
    assert "<b>" not in html


def test_maps_that_were_not_measured_have_no_table_of_scores() -> None:
    own = {"fit": 0.8, "additivity": 0.001}  # of LIME and SHAP, which have them at every level
    for scores in ({}, OF_MAP, OF_MAP | own, own):
        html = explanation_answer([explained(scores=scores)])
        assert not Page(html).all("table")
        assert "How good" not in html


def test_measured_maps_share_one_table_with_the_meaning_of_each_score() -> None:
    measured = [explained(scores=FAST), explained("lime", seed=1, scores=FAST | {"fit": 0.8})]
    html = explanation_answer(measured)
    page = Page(html)
    assert len(page.all("table")) == len(page.all("caption")) == 1
    assert text_of("".join(re.findall(r"<thead>(.*?)</thead>", html))) == "map deletion insertion sparseness fit"
    rows = [text_of(row) for row in re.findall(r"<tr>(.*?)</tr>", html)[1:]]
    assert rows == ["Grad-CAM, native48 0.21 0.64 0.40 –", "LIME, native48 0.21 0.64 0.40 0.80"]
    assert {header["scope"] for header in page.all("th")} == {"col", "row"}
    [meanings] = [fold for fold in page.all("details") if fold["data-fold"] == "meanings"]
    assert "open" not in meanings
    assert html.count("probability left when the marked parts are blurred; lower is better") == 1
    assert len(page.all("dt")) == 4


def test_scores_of_the_level_map_are_those_without_a_table() -> None:
    no_network: Any = None
    scores = score_map(no_network, METHODS["gradcam"], {}, Relevance(positive=explained().heatmap), "map")
    assert set(scores) == set(OF_MAP)
    assert not Page(explanation_answer([explained(scores=scores)])).all("table")


def test_the_agreement_of_several_maps_is_a_number_with_its_scale() -> None:
    same = explanation_answer([explained(seed=2), explained("gradcam++", seed=2)])
    assert "How far these maps agree: 1.00 (1: they rank the pixels alike, 0: not at all)." in same
    assert "agree" not in explanation_answer([explained()])


@pytest.mark.parametrize("download", [False, True])
def test_all_maps_can_be_downloaded_as_one_picture(download: bool) -> None:
    links = Page(explanation_answer([explained()], download=download)).all("a")
    assert [link["download"] for link in links] == ["emotion_hub_explanations.png"] * download
    for link in links:
        assert picture(link["href"]).width > 224


def test_the_page_says_what_a_map_does_not_show() -> None:
    assert "not whether the prediction is right" in explanation_answer([explained()])


def test_progress_is_that_of_all_maps_and_stays_within_its_range() -> None:
    [bar] = Page(progress_line("LIME on <b>", 0.5, 2, 4)).all("progress")
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("0.375", "1", "LIME on <b>")
    assert "50% · map 2 of 4" in progress_line("LIME", 0.5, 2, 4)
    assert Page(progress_line("LIME", 1.7, 4, 4)).all("progress")[0]["value"] == "1.000"
    assert Page(progress_line("LIME", -1, 1, 4)).all("progress")[0]["value"] == "0.000"
