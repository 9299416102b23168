"""The section of a card on other data: from reports of the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import training.package
from emotion_hub.checkpoints import REPORT_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.labels import FER2013
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from tests.fakes.drawn_data import drawn_face, drawn_folder
from training.data.files import write_json
from training.data.manifests import write_manifest
from training.evaluation.own_data import evaluate_own
from training.publishing import package
from training.publishing.card_results import RESULTS_FILE, results_text
from training.publishing.card_sections import body

NAME = "emotion_cnn"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a shipped checkpoint on 64 drawn faces in two groups."""
    folder, random = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    names = [f"{number}.png" for number in range(64)]
    for number, name in enumerate(names):
        drawn_face(number % 2, random).save(folder / name)
    labels = ["happy" if number % 2 else "sad" for number in range(64)]
    write_manifest(folder / "labels.csv", names, labels, {"hand": ["left"] * 32 + ["right"] * 32})
    path = folder / "report.json"
    write_json(path, evaluate_own(NAME, folder, groups=["hand"], permutations=99).report)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded_checkpoints()[NAME], tmp_path / NAME))


def test_a_card_has_the_section_when_a_report_was_given(checkpoint: Path, report: Path) -> None:
    before = body(NAME, checkpoint, "##")
    assert "Results on other data" not in before
    assert training.package.main(["--out", str(checkpoint), "--results", str(report)]) == checkpoint
    figures = json.loads(report.read_text())
    text = body(NAME, checkpoint, "##")
    section = text.partition("## Results on other data\n")[2].partition("\n## Explanations")[0]
    assert f"| {report.parent.name} | 64 | {figures['accuracy']:.2%} (" in section
    assert f"### Groups of {report.parent.name}" in section
    assert "#### By hand" in section
    left = figures["groups"]["hand"]["values"]["left"]
    assert f"| left | 32 | 0 | {left['accuracy']:.2%} (" in section
    assert f"p = {figures['groups']['hand']['gaps']['accuracy']['p_holm']:.4f} corrected" in section
    assert text.replace(results_text(checkpoint, "##"), "") == before


def test_the_report_on_the_test_split_stays(checkpoint: Path, report: Path) -> None:
    before = (checkpoint / REPORT_FILE).read_bytes()
    training.package.main(["--out", str(checkpoint), "--results", str(report)])
    assert (checkpoint / REPORT_FILE).read_bytes() == before


def test_a_report_of_other_weights_is_refused(checkpoint: Path, report: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    write_json(other, {**json.loads(report.read_text()), "sha256": "0" * 64})
    with pytest.raises(CheckpointError, match=r"measured the weights 000000000000….*training\.evaluate --checkpoint"):
        training.package.main(["--out", str(checkpoint), "--results", str(other)])
    assert not (checkpoint / RESULTS_FILE).exists()


def test_what_is_no_report_on_own_images_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.json"
    text.write_text("[1")
    for path, message in ((checkpoint / REPORT_FILE, "is a report on a split"), (text, "is no report")):
        with pytest.raises(CheckpointError, match=message):
            training.package.main(["--out", str(checkpoint), "--results", str(path)])


def test_neither_a_run_nor_a_report_is_a_wrong_call(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        training.package.main(["--out", str(checkpoint)])
    assert stop.value.code == 2
    assert "give --run to make a checkpoint, or --results" in capsys.readouterr().err


def test_a_checkpoint_without_a_fitting_temperature_is_not_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, datasets_cache: None
) -> None:
    def fit(*_: object) -> float:
        raise InputError("these predictions are all right")

    monkeypatch.setattr(package, "fit_temperature", fit)
    model = EmotionClassifier(ClassifierConfig("emotion_cnn", FER2013.labels)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert package.calibrate(model, drawn_folder(tmp_path / "data")) is None
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert "not calibrated: these predictions are all right" in caplog.text
