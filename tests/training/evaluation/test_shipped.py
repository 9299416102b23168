"""The accuracy check of shipped checkpoints: pass, fail, skip, other data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import training.check_shipped
from emotion_hub.checkpoints import ONNX_FILE, REPORT_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.labels import FER2013
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from tests.fakes.drawn_data import drawn_face, drawn_folder
from training.evaluation.evaluate import evaluate
from training.evaluation.shipped import MARGIN, VARIABLE, AccuracyCheck, find_fer2013

pytestmark = pytest.mark.usefixtures("datasets_cache")

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_folder(tmp_path_factory.mktemp("data") / "fer2013")


@pytest.fixture
def checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny "shipped" checkpoint of random weights, some of whose predictions are right, and its report by torch."""
    torch.manual_seed(0)
    model = EmotionClassifier(ClassifierConfig("emotion_cnn", FER2013.labels)).eval()
    last = model.network.classifier[-1]
    with torch.no_grad():  # centred and spread, so that the predictions differ between faces
        logits = model(torch.from_numpy(model.preprocessor.batch([drawn_face(k % 7, k) for k in range(21)])))
        last.bias -= logits.mean(0)
        last.weight.mul_(3 / logits.std())
        last.bias.mul_(3 / logits.std())
    folder = tmp_path / "tiny"
    model.save_pretrained(folder)
    export_onnx(model, folder / ONNX_FILE, weights_file=folder / WEIGHTS_FILE)
    (folder / REPORT_FILE).write_text(json.dumps(evaluate(str(folder), str(data), "test")))
    monkeypatch.setattr(training.check_shipped, "embedded_checkpoints", lambda: {"tiny": folder})
    return folder


def change(checkpoint: Path, **values: object) -> None:
    path = checkpoint / REPORT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_unchanged_checkpoint_passes(checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [check] = training.check_shipped.main(["--data", str(data)])
    assert check.passed
    assert (check.n, check.measured) == (14, check.reported)
    assert "passed: tiny has an accuracy of" in capsys.readouterr().out


def test_a_lower_accuracy_fails_with_exit_status_1(
    checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = json.loads((checkpoint / REPORT_FILE).read_text())["accuracy"]
    change(checkpoint, accuracy=measured + 0.004)
    with pytest.raises(SystemExit) as stop:
        training.check_shipped.main(["--data", str(data)])
    assert stop.value.code == 1
    line = capsys.readouterr().out
    for part in (
        "FAILED: tiny",
        f"{measured:.2%}",
        f"{measured + 0.004:.2%}",
        "(-0.40 points; at most 0.3 points lower pass)",
    ):
        assert part in line


def test_a_higher_accuracy_passes(checkpoint: Path, data: Path) -> None:
    change(checkpoint, accuracy=0.0)
    assert training.check_shipped.main(["--data", str(data)])[0].passed


def test_eleven_images_of_private_test_are_too_many() -> None:
    ten, eleven = (AccuracyCheck("native48", (2457 - k) / 3589, 2457 / 3589, 3589, 1.0) for k in (10, 11))
    assert ten.passed
    assert not eleven.passed
    assert AccuracyCheck("exact", 0.7 - MARGIN / 100, 0.7, 1000, 1.0).passed


def test_without_the_data_the_check_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert training.check_shipped.main([]) == []
    assert capsys.readouterr().out.startswith("accuracy of the shipped checkpoints: skipped, there is no fer2013")


def test_the_data_is_found_where_the_tests_look_for_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(data.parent))
    assert find_fer2013() == data
    monkeypatch.delenv(VARIABLE)
    assert find_fer2013() in (None, ROOT.parent / "shared" / "data" / "fer2013")


def test_other_images_than_the_report_measured_are_refused(checkpoint: Path, data: Path) -> None:
    change(checkpoint, data={"name": "FER2013", "pixels_sha256": "0" * 64})
    with pytest.raises(InputError, match=r"is not the one that report\.json of tiny measured.*give FER2013"):
        training.check_shipped.main(["--data", str(data)])


@pytest.mark.parametrize("split", ["validation", None], ids=["another split", "no report"])
def test_a_checkpoint_without_a_test_report_is_refused(checkpoint: Path, data: Path, split: str | None) -> None:
    if split:
        change(checkpoint, split=split)
    else:
        (checkpoint / REPORT_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"no test accuracy to compare tiny with.*--split test --out"):
        training.check_shipped.main(["--data", str(data)])


def test_continuous_integration_runs_the_check() -> None:
    assert "python -m training.check_shipped" in (ROOT / ".ci" / "run").read_text().splitlines()
