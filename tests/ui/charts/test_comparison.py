"""The table of all networks and the plot of their accuracies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from emotion_hub.checkpoints import REPORT_FILE, embedded_checkpoints
from emotion_hub.ui.charts import NetworkRecord, comparison_section, network_records, network_section
from emotion_hub.ui.charts.robustness import loss_at
from emotion_hub.ui.charts.tables import points
from tests.fakes.html_page import Page, text_of


def report_of(name: str) -> dict[str, Any]:
    return json.loads((embedded_checkpoints()[name] / REPORT_FILE).read_text())


def test_the_table_has_the_figures_of_every_report() -> None:
    text = text_of(comparison_section(network_records()))
    for name in embedded_checkpoints():
        report = report_of(name)
        low, high = report["interval"]["accuracy"]
        assert f"{report['parameters']:,}" in text
        assert f"{report['accuracy']:.1%} {100 * low:.1f} to {100 * high:.1f}%" in text
        assert f"{report['macro_f1']:.2f} " in text
        assert f"{report['prediction_sets']['mean_size']:.2f} labels" in text


def test_each_network_is_a_column_with_a_header_and_each_figure_a_row_with_one() -> None:
    page = Page(comparison_section(network_records()))
    scopes = [values.get("scope") for tag, values in page.tags if tag == "th"]
    assert scopes.count("col") == len(embedded_checkpoints())
    cells = sum(tag == "td" for tag, _ in page.tags) - 1  # the empty corner
    assert cells == scopes.count("row") * scopes.count("col")
    assert sum(tag == "caption" for tag, _ in page.tags) == 1


def test_a_degraded_face_is_not_measured_where_the_report_has_no_such_figure(
    changed: Callable[..., NetworkRecord],
) -> None:
    record = changed(lambda report: report.pop("robustness"))
    assert loss_at(record.report, "blur", 1.25) is None
    assert text_of(comparison_section([record])).count("not measured") == 2
    assert "Not measured for native48 yet" in network_section(record)


def test_a_change_under_blur_is_the_difference_to_unchanged_faces() -> None:
    measured = report_of("native48")["robustness"]
    [level] = [level for level in measured["blur"]["levels"] if level["strength"] == 1.25]
    change = loss_at(report_of("native48"), "blur", 1.25)
    assert change == pytest.approx(level["accuracy"] - measured["clean"]["accuracy"])
    assert change is not None
    assert points(change) in text_of(comparison_section(network_records()))
    assert loss_at(report_of("native48"), "blur", 99.0) is None


def test_the_sentence_says_whether_the_intervals_overlap(changed: Callable[..., NetworkRecord]) -> None:
    native48 = next(record for record in network_records() if record.name == "native48")
    assert "intervals overlap" in comparison_section(network_records())
    interval_of = {"accuracy": [0.39, 0.41], "macro_f1": [0.3, 0.4]}
    worse = changed(lambda report: report.update(accuracy=0.4, interval=interval_of))
    assert "overlap" not in comparison_section([native48, worse])


def test_a_network_without_a_report_is_shown_as_not_measured(changed: Callable[..., NetworkRecord]) -> None:
    record = changed(without=REPORT_FILE)
    assert text_of(comparison_section([record])).count("not measured") == 7
    assert "no report lies beside this network" in network_section(record)
