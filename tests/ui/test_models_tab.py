"""Models tab: its page as a whole, measured speed, loading, events."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gradio as gr
import pytest

import emotion_hub.ui.charts
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.ui.model_card import safe_markdown
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.models_tab import load_html, models_html, models_tab, speed_html
from tests.fakes.html_page import Page, text_of
from tests.fakes.hub_models import checkpoint_files, put

STYLES = Path(emotion_hub.ui.charts.__file__).parents[1] / "styles"

pytestmark = pytest.mark.usefixtures("new_pool")


def test_ids_are_unique_on_the_page_and_every_chart_is_named_by_its_title_and_description() -> None:
    page = Page(models_html())
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(set(ids)) == len(ids)
    charts = page.all("svg")
    assert len(charts) == 1 + 3 * len(embedded_checkpoints()), "accuracies; per network reliability, accuracy, loss"
    for values in charts:
        assert values["role"] == "img"
        assert set(str(values["aria-labelledby"]).split()) <= set(ids)


def test_charts_are_xml_and_nothing_lies_outside_their_box() -> None:
    charts = re.findall(r"<svg.*?</svg>", models_html(), re.DOTALL)
    for chart in charts:
        root = ElementTree.fromstring(chart)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        positions = [position for line in root.iter("polyline") for position in line.attrib["points"].split()]
        drawn = [tuple(map(float, position.split(","))) for position in positions]
        drawn += [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter("circle")]
        assert drawn
        assert all(0 <= x <= width and 0 <= y <= height for x, y in drawn)


def test_the_page_has_no_script_no_picture_and_loads_nothing() -> None:
    page = Page(models_html())
    assert not {"script", "img", "iframe", "link", "object", "image"} & {tag for tag, _ in page.tags}
    assert not [values for _, values in page.tags if {"src", "srcset", "onclick", "onload"} & set(values)]


def test_the_styles_of_the_tab_have_no_comma_inside_a_selector_function() -> None:
    # gradio prefixes every part between two commas, which changes what such a selector means
    for name in ("models.css", "about.css"):
        assert not re.search(r":(is|where|not|has)\([^)]*,", (STYLES / name).read_text())


def test_headings_of_a_model_card_fit_into_the_page() -> None:
    html = safe_markdown("## A\n#### B\n## C\n> # Q\n### D\n", heading=4)
    assert re.findall(r"<(h\d)>", html) == ["h4", "h5", "h5", "h4", "h5"]
    assert re.findall(r"<(h\d)>", safe_markdown("# A\n")) == ["h3"]


def test_a_model_card_and_its_tables_can_be_scrolled_with_the_keyboard() -> None:
    page = Page(safe_markdown("| a | b |\n|---|---|\n| 1 | 2 |\n"))
    assert [page.all(tag)[0]["tabindex"] for tag in ("div", "table")] == ["0", "0"]


def test_the_measured_speed_names_every_embedded_network_and_this_server() -> None:
    html = speed_html()
    for name in embedded_checkpoints():
        assert f'<th scope="row">{name}</th>' in html
    assert "measured on this server" in html


def test_a_model_of_the_hub_is_loaded_and_then_can_be_chosen(hub: Any) -> None:
    put(hub, "someone/faces", checkpoint_files(README_md="# Faces of someone"))
    html, pending = load_html(" someone/faces ")
    assert pending
    assert "someone/faces: " in html
    until = time.monotonic() + 60
    while pending and time.monotonic() < until:
        time.sleep(0.05)
        html, pending = load_html("someone/faces")
    assert "<strong>someone/faces is ready.</strong>" in html
    assert "48-pixel side" in html
    assert "<h4>Faces of someone</h4>" in html
    assert shared_pool().choose("someone/faces").note == ""


@pytest.mark.parametrize("name", ["", "  ", None])
def test_an_empty_name_is_answered_with_what_to_type(name: str | None) -> None:
    html, pending = load_html(name)
    assert "owner/name" in html
    assert 'role="alert"' in html
    assert not pending


def test_a_name_that_cannot_be_loaded_is_answered_with_the_reason() -> None:
    html, pending = load_html("<b>nothing</b>")
    assert "&lt;b&gt;nothing" in html
    assert "<b>nothing" not in html
    assert "cannot be loaded" in html
    assert ".." not in text_of(html)
    assert not pending


def test_the_figures_are_sent_when_the_tab_is_opened_and_only_once() -> None:
    with gr.Blocks() as demo, gr.Tab("Models") as tab:
        models_tab(tab)
    page = str(demo.get_config_file()["components"])
    assert "eh-net-48" not in page
    assert len(page) < 20_000
    [select] = [fn for fn in demo.fns.values() if any(event == "select" for _, event in fn.targets)]
    assert select.fn is not None
    html, shown = select.fn(False)
    assert (html, shown) == (models_html(), True)
    again, shown = select.fn(True)
    assert again["__type__"] == "update"
    assert "value" not in again
    assert shown
    assert all(fn.api_visibility == "private" for fn in demo.fns.values())
