"""Reports of the embedded checkpoints against FER2013 itself."""

from __future__ import annotations

import json

import pytest

from emotion_hub.checkpoints import REPORT_FILE, embedded_checkpoints
from training.evaluation.evaluate import evaluate


@pytest.mark.slow
@pytest.mark.parametrize("name", list(embedded_checkpoints()))
def test_an_embedded_checkpoint_has_the_accuracy_of_its_report(shared_data, name, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    stated = json.loads((embedded_checkpoints()[name] / REPORT_FILE).read_text())
    measured = evaluate(name, str(shared_data / "fer2013"), "test")
    assert measured["n"] == stated["n"] == 3589
    assert measured["accuracy"] == pytest.approx(stated["accuracy"], abs=0.001)
    assert measured["without_copies"]["accuracy"] == pytest.approx(stated["without_copies"]["accuracy"], abs=0.001)
    assert measured["data"]["pixels_sha256"] == stated["data"]["pixels_sha256"]
    assert measured["sha256"] == stated["sha256"]
