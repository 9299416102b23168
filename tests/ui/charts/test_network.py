"""Section of one network: headings, reliability, training, sets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, embedded_checkpoints
from emotion_hub.ui.charts import NetworkRecord, comparison_section, network_records, network_section
from emotion_hub.ui.charts.reliability import wilson
from tests.fakes.html_page import Page, text_of


def report_of(name: str) -> dict[str, Any]:
    return json.loads((embedded_checkpoints()[name] / REPORT_FILE).read_text())


@pytest.mark.parametrize("record", network_records(), ids=lambda record: record.name)
def test_a_section_is_closed_well_formed_and_has_ordered_headings(record: NetworkRecord) -> None:
    html = network_section(record)
    page = Page(html)
    assert page.tags[0][0] == "details"
    assert "open" not in page.tags[0][1]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 3
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels


def test_wilson_intervals_are_those_of_the_literature() -> None:
    low, high = wilson(81, 263)  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 20)[0] == 0.0
    assert round(wilson(0, 20)[1], 4) == 0.1611


def test_the_reliability_table_counts_every_face_and_small_groups_are_not_drawn() -> None:
    report = report_of("upscale224")
    [record] = [record for record in network_records() if record.name == "upscale224"]
    html = network_section(record)
    [body] = re.findall(r"share that is right.*?<tbody>(.*?)</tbody>", html[html.index("<table") :], re.DOTALL)[-1:]
    counts = [int(n.replace(",", "")) for n in re.findall(r"</th><td>([\d,]+)</td>", body)]
    assert sum(counts) == report["n"]
    [chart] = re.findall(r"<svg[^>]*eh-reliability-upscale224.*?</svg>", html, re.DOTALL)
    assert chart.count("<circle") == sum(each["n"] >= 10 for each in report["reliability"])
    assert any(0 < each["n"] < 10 for each in report["reliability"]), "the report has no small group to leave out"


def test_training_curves_show_every_epoch_and_their_stages(changed: Callable[..., NetworkRecord]) -> None:
    record = changed()
    html = network_section(record)
    [chart] = re.findall(r"<svg[^>]*eh-accuracy-native48.*?</svg>", html, re.DOTALL)
    lines = re.findall(r'<polyline class="eh-line" points="([^"]+)"', chart)
    stages = [stage["epochs"] for stage in record.training["stages"]]
    assert [len(line.split()) for line in lines] == [len(epochs) for epochs in stages if len(epochs) > 1]
    assert chart.count("eh-stage") == len(stages) - 1
    assert chart.count("<circle") == sum(len(epochs) == 1 for epochs in stages)
    best = max(epoch["val_accuracy"] for epoch in stages[0])
    assert f"{best:.1%}" in text_of(html[html.index("Stages of the training") :])


def test_a_network_without_a_record_of_its_training_says_so(changed: Callable[..., NetworkRecord]) -> None:
    assert "Not recorded" in network_section(changed(without=TRAINING_FILE))


def test_prediction_sets_are_not_measured_where_the_report_has_none(changed: Callable[..., NetworkRecord]) -> None:
    record = changed(lambda report: report.pop("prediction_sets"))
    assert "this network has no prediction sets" in network_section(record)
    assert text_of(comparison_section([record])).count("not measured") == 1
