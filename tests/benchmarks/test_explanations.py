"""The benchmark of explanations: its parts and their figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import explanations
from emotion_hub.explainers import list_methods
from emotion_hub.predictor import embedded_predictor


def test_the_first_answer_has_every_quick_method_with_the_shares_of_regions():
    answer = explanations.first_answer([embedded_predictor("native48")])
    assert [(e.model, e.method) for e in answer] == [("native48", "gradcam"), ("native48", "gradcam++")]
    assert all(set(e.scores) == {"regions", "sparseness"} for e in answer)


@pytest.mark.slow
def test_the_benchmark_measures_every_method_and_level(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(explanations, "NETWORKS", ("native48",))
    monkeypatch.setattr(explanations, "SAMPLES", 100)
    figures = explanations.main(["--repeats", "1", "--json", str(tmp_path / "explanations.json")])
    assert json.loads((tmp_path / "explanations.json").read_text()) == figures
    assert figures["first_answer"]["maps"] == 2
    row = figures["networks"]["native48"]
    assert list(row["methods"]) == list_methods(embedded_predictor("native48"))
    assert row["methods"]["lime"]["samples"] == 100
    assert row["metrics"]["map"]["seconds"] < row["metrics"]["fast"]["seconds"] < row["metrics"]["full"]["seconds"]
    assert figures["lime_on_both"]["seconds"] == row["methods"]["lime"]["seconds"] > 0
    assert figures["first_answer"]["processor_seconds"] > 0
