"""Figures of a model's report: accuracy, interval, reliability, damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emotion_hub.checkpoints import REPORT_FILE, WEIGHTS_FILE, checkpoint_summary, embedded_checkpoints, file_hash
from emotion_hub.errors import CheckpointError
from emotion_hub.ui.choices import Choice
from emotion_hub.ui.html.verdict import accuracy_sentence, calibration_sentence
from emotion_hub.ui.loading import LoadedModel, load
from emotion_hub.ui.model_card import model_facts

NAME = "native48"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an embedded checkpoint, whose report the tests replace."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(embedded_checkpoints()[NAME], folder)
    return folder


def loaded(folder: Path, report: str | bytes | dict[str, Any] | None) -> LoadedModel:
    path = folder / REPORT_FILE
    path.unlink(missing_ok=True)
    if isinstance(report, dict):
        report = json.dumps({"sha256": file_hash(folder / WEIGHTS_FILE), **report})
    if report is not None:
        path.write_bytes(report.encode() if isinstance(report, str) else report)
    return load(Choice("mine", folder=folder))


@pytest.mark.parametrize("name", embedded_checkpoints())
def test_the_figures_are_those_of_the_report(name: str) -> None:
    folder = embedded_checkpoints()[name]
    report = json.loads((folder / REPORT_FILE).read_text())
    figures = load(Choice(name, folder=folder)).figures
    assert figures["accuracy"] == report["accuracy"] == checkpoint_summary(name)["accuracy"]
    assert (figures["n"], figures["split"]) == (report["n"], report["split"])
    assert figures["interval"] == tuple(report["interval"]["accuracy"])
    low, high = figures["interval"]
    assert low < figures["accuracy"] < high
    rows = figures["reliability"]
    assert [(row["to"], row["n"], row["accuracy"]) for row in rows] == [
        (row["to"], row["n"], row["accuracy"]) for row in report["reliability"] if row["n"]
    ]
    assert sum(row["n"] for row in rows) == figures["n"], "no face is lost"
    assert all(row["from"] < row["to"] for row in rows)


def test_a_row_without_faces_is_left_out_and_the_next_one_does_not_take_its_confidences(copied: Path) -> None:
    table = [
        {"to": 0.5, "n": 40, "accuracy": 0.4},
        {"to": 0.75, "n": 0, "accuracy": None},
        {"to": 1.0, "n": 60, "accuracy": 0.9},
    ]
    figures = loaded(copied, {"accuracy": 0.7, "n": 100, "reliability": table}).figures
    assert [(row["from"], row["to"]) for row in figures["reliability"]] == [(0.0, 0.5), (0.75, 1.0)]
    assert calibration_sentence({"": (0.6, figures)}) == ""
    assert "90% of the 60" in calibration_sentence({"": (0.8, figures)})


ROW = {"to": 0.5, "n": 40, "accuracy": 0.4}

#: {what is wrong with a report: its content}.
DAMAGED: dict[str, Any] = {
    "missing": None,
    "empty": "",
    "no JSON": "{",
    "bytes": b"\xff\xfe\x00",
    "nested": "[" * 100_000,
    "a list": "[1, 2]",
    "of other weights": json.dumps({"sha256": "0" * 64, "accuracy": 0.9, "n": 3589}),
    "nothing in it": {},
    "words": {"accuracy": "high", "n": "many", "split": 3, "interval": "wide", "reliability": "good"},
    "not finite": {
        "accuracy": float("nan"),
        "n": float("inf"),
        "interval": {"accuracy": [float("-inf"), float("inf")]},
        "reliability": [{"to": float("inf"), "n": float("inf"), "accuracy": float("nan")}],
    },
    "outside of the range": {
        "accuracy": 70.0,
        "n": -1,
        "interval": {"accuracy": [66.0, 70.0]},
        "reliability": [{"to": 0.5, "n": -40, "accuracy": 0.4}],
    },
    "true and false": {
        "accuracy": True,
        "n": True,
        "interval": {"accuracy": [False, True]},
        "reliability": [{"to": True, "n": True, "accuracy": True}],
    },
    "an interval of one": {"interval": {"accuracy": [0.7]}},
    "an interval without accuracy": {"interval": {"macro_f1": [0.6, 0.7]}},
    "rows that are no objects": {"reliability": [ROW, 3]},
    "rows without keys": {"reliability": [ROW, {"to": 1.0}]},
    "rows of words": {"reliability": [ROW, ROW | {"n": "40"}]},
    "rows without accuracy": {"reliability": [ROW, ROW | {"accuracy": None}]},
    "an object of rows": {"reliability": {"0": ROW}},
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_report_gives_no_figures_and_breaks_nothing(copied: Path, kind: str) -> None:
    model = loaded(copied, DAMAGED[kind])
    assert {key: value for key, value in model.figures.items() if key != "reliability"} == {}
    assert not model.figures.get("reliability")
    assert model_facts(model)["accuracy"].endswith(("(according to its card)", "not measured yet"))
    assert accuracy_sentence({"48": model.figures, "224": model.figures}) == ""
    assert calibration_sentence({"": (0.4, model.figures)}) == ""


def test_a_report_of_another_order_of_labels_is_refused(copied: Path) -> None:
    with pytest.raises(CheckpointError, match="one of them was edited") as caught:
        loaded(copied, {"labels": ["happy", "sad"]})
    assert str(copied) not in str(caught.value), "a visitor does not see the server's folders"
