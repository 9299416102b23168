"""Bars of probabilities: order, widths, marks, data attributes."""

from __future__ import annotations

import re

from emotion_hub.ui.html.bars import bars_of_both, bars_of_one
from tests.fakes.drawn_results import prediction
from tests.fakes.html_page import Page, text_of

PROBS = {"angry": 0.05, "happy": 0.6, "sad": 0.15, "neutral": 0.2}


def shown(html: str) -> list[tuple[str | None, str | None, float]]:
    """(model, label, probability) of every bar, from top to bottom."""
    values = Page(html).all("span", "eh-value")
    return [(value["data-model"], value["data-label"], float(value["data-prob"] or "nan")) for value in values]


def test_the_most_probable_label_comes_first() -> None:
    html = bars_of_one(3, prediction("happy", probs=PROBS), "native48")
    assert shown(html) == [
        ("drawn", "happy", 0.6),
        ("drawn", "neutral", 0.2),
        ("drawn", "sad", 0.15),
        ("drawn", "angry", 0.05),
    ]
    assert re.findall(r"width:([\d.]+)%", html) == ["60.00", "20.00", "15.00", "5.00"]
    assert text_of(html) == "happy 60% neutral 20% sad 15% angry 5%"
    assert {value["data-face"] for value in Page(html).all("span", "eh-value")} == {"3"}


def test_only_the_predicted_label_is_marked_and_the_colour_is_that_of_the_side() -> None:
    page = Page(bars_of_one(0, prediction("happy", probs=PROBS), "upscale224"))
    assert [("eh-top" in (row["class"] or "")) for row in page.all("div", "eh-row")] == [True, False, False, False]
    assert len(page.all("span", "eh-upscale224")) == len(PROBS)
    assert page.all("div", "eh-bars")[0]["aria-label"] == "Probabilities"


def test_bars_of_both_networks_are_ordered_by_their_mean() -> None:
    small = prediction("happy", probs={"happy": 0.5, "sad": 0.4, "neutral": 0.1})
    large = prediction("neutral", probs={"happy": 0.2, "sad": 0.35, "neutral": 0.45})
    html = bars_of_both(0, {"native48": small, "upscale224": large})
    values = shown(html)
    assert [label for _, label, _ in values[::2]] == ["sad", "happy", "neutral"], "0.375, 0.35 and 0.275"
    assert [model for model, _, _ in values] == ["native48", "upscale224"] * 3
    assert text_of(html).startswith("sad 48 40% 224 35% happy 48 50% 224 20%")
    top = re.findall(r'eh-row eh-top">.*?data-model="(\w+)" data-label="(\w+)"', html)
    assert top == [("native48", "happy"), ("upscale224", "neutral")]


def test_a_label_that_one_network_does_not_know_has_an_empty_bar() -> None:
    small = prediction("happy", probs={"happy": 0.9, "sad": 0.1})
    large = prediction("happy", probs={"happy": 0.8, "contempt": 0.2})
    values = {(m, label): p for m, label, p in shown(bars_of_both(0, {"native48": small, "upscale224": large}))}
    assert values["native48", "contempt"] == values["upscale224", "sad"] == 0.0
    assert len(values) == 6


def test_labels_and_names_are_escaped() -> None:
    odd = prediction("<b>&", probs={"<b>&": 0.7, '"': 0.3}, model='<i>"')
    for html in (bars_of_one(0, odd, "native48"), bars_of_both(0, {"native48": odd, "upscale224": odd})):
        assert {label for _, label, _ in shown(html)} == {"<b>&", '"'}
        assert not re.search("<[bi]>", html)
