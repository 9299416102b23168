"""Parts of the charts: tables, figures as text, scales, measured speed."""

from __future__ import annotations

from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui.charts.speed import ROUNDS, measure_speed, speed_section
from emotion_hub.ui.charts.svg import Plot, whisker
from emotion_hub.ui.charts.tables import interval, points, table
from tests.fakes.html_page import Page


def test_a_table_escapes_its_caption_and_can_be_scrolled_with_the_keyboard() -> None:
    html = table('<u>"x"', ["<i>a</i>"], [["r", "1"], ["group"], ["s", "2"]])
    assert "<u>" not in html
    assert 'tabindex="0"' in html
    page = Page(html)
    assert [values.get("scope") for tag, values in page.tags if tag == "th"] == ["col", "row", "rowgroup", "row"]
    assert sum(tag == "tbody" for tag, _ in page.tags) == 2


def test_a_table_that_a_phone_stacks_keeps_its_roles() -> None:
    page = Page(table("x", ["a", "b"], [["r", "1", "2"]], stacked=True))
    roles = [values.get("role") for tag, values in page.tags if tag in ("table", "thead", "tbody", "tr", "th", "td")]
    assert None not in roles
    assert roles.count("cell") == 3
    assert (roles.count("columnheader"), roles.count("rowheader"), roles.count("row")) == (2, 1, 2)
    assert all(values.get("role") is None for tag, values in Page(table("x", ["a"], [])).tags if tag == "td")


def test_figures_as_text() -> None:
    assert (points(-0.19866), points(0.0204), points(-0.00001)) == ("−19.9", "+2.0", "0.0")
    assert interval([0.669, 0.699]) == "66.9 to 69.9%"
    assert interval([2.313, 2.392], share=False, digits=2) == "2.31 to 2.39"


def test_larger_values_are_drawn_further_right_and_higher_up() -> None:
    plot = Plot((0.0, 10.0), (0.0, 1.0))
    assert plot.at(0, 0) == (plot.left, plot.height - plot.bottom)
    assert plot.at(10, 1) == (plot.width - plot.right, plot.top)
    assert whisker((1, 5), (9, 5)).count("L") == 3


def test_the_speed_is_the_median_of_runs_on_this_machine() -> None:
    speeds = measure_speed({name: embedded_predictor(name) for name in ("emotion_cnn", "native48")})
    assert [each.name for each in speeds] == ["emotion_cnn", "native48"]
    for each in speeds:
        assert 0 < each.network < 1000
        assert 0 < each.prepare < 1000
        assert 1 <= each.runs <= ROUNDS
        assert each.total == each.prepare + each.network
    html = speed_section(speeds, when="at 12:00:00 UTC")
    assert f"<strong>{speeds[1].total:.2f}</strong>" in html
    assert f"Medians of {speeds[0].runs} runs, at 12:00:00 UTC" in html
