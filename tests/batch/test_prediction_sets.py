"""Prediction sets in batch results of every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from emotion_hub.batch import predict_many
from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.predictor import EmotionPredictor
from tests.fakes.batch_helpers import linear_predictor, noise_png, parquet_rows

SETS = PredictionSets(0.9, {label: 0.8 + k / 50 for k, label in enumerate(FER2013.labels)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight face crops and an unreadable file."""
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(8):
        (made / f"{i}.png").write_bytes(noise_png(i))
    (made / "8.png").write_bytes(b"no picture")
    return made


def _models() -> list[EmotionPredictor]:
    """One model with a rule and one without."""
    with_sets, without = linear_predictor("sets"), linear_predictor("plain", seed=1)
    with_sets.prediction_sets = SETS
    return [with_sets, without]


def _rows(out: Path) -> list[dict]:
    if out.suffix == ".parquet":
        return parquet_rows(out)
    if out.suffix == ".csv":
        rows = list(csv.DictReader(out.open(newline="", encoding="utf-8")))
        return [{**row, "prediction_set": row["prediction_set"].split("|")} for row in rows]
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet"])
@pytest.mark.parametrize("labels", [None, "six_class"])
def test_every_format_has_the_sets_of_the_library(suffix, labels, folder, tmp_path):
    out = tmp_path / f"result{suffix}"
    predict_many(folder, out, models=_models(), whole=True, labels=labels, batch_size=3, part_size=4)
    model = _models()[0] if labels is None else _models()[0].with_labels(SIX_CLASS)
    expected = [list(model.predict((folder / f"{i}.png").read_bytes(), whole=True)[0].prediction_set) for i in range(8)]
    assert len({len(labels) for labels in expected}) > 1
    rows = _rows(out)
    none = [""] if suffix == ".csv" else None
    assert [row["prediction_set"] for row in rows if row["model"] == "sets"] == [*expected, none]
    assert [row["prediction_set"] for row in rows if row["model"] == "plain"] == [none] * 9
    assert all(row["prediction_set"][0] == row["label"] for row in rows[:16:2])


def test_a_run_with_another_rule_does_not_continue_a_result(folder, tmp_path):
    out = tmp_path / "result.csv"
    predict_many(folder, out, models=_models(), whole=True)
    models = _models()
    models[0].prediction_sets = PredictionSets(0.5, dict.fromkeys(FER2013.labels, 0.5))
    with pytest.raises(InputError, match="restart"):
        predict_many(folder, out, models=models, whole=True)
    predict_many(folder, out, models=models, whole=True, restart=True)
