"""Temperature scaling: fitting, folding, and packaged checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import training.package
import training.publishing.int8
import training.publishing.package
import training.publishing.prediction_sets
from emotion_hub.checkpoints import INT8_FILE, ONNX_FILE, TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.labels import FER2013
from emotion_hub.models import create_model, list_models
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.models.parts import last_linear
from emotion_hub.predictor import EmotionPredictor, softmax
from emotion_hub.preprocess import NATIVE48, Preprocessor
from tests.tolerances import assert_same_logits
from training.data.faces import FaceSplit
from training.evaluation.calibration import calibration_record, fit_temperature, fold_temperature
from training.evaluation.conformal import fit_prediction_sets
from training.evaluation.metrics import expected_calibration_error, negative_log_likelihood
from training.fit.recipe import Recipe

RECIPE = Recipe("tiny", "emotion_cnn", NATIVE48, epochs=2, lr=0.02, options={"dropout": 0.4})
TRUE = 2.5


def _drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """int64 (N,): labels drawn from softmax(logits / TRUE), for which the best temperature is TRUE."""
    cumulative = softmax(logits / TRUE).cumsum(axis=1)
    return (np.random.default_rng(seed).random((len(logits), 1)) > cumulative).sum(axis=1).clip(0, logits.shape[1] - 1)


# fitting


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Overconfident logits, float32 (4000, 7), and their labels."""
    logits = np.random.default_rng(1).normal(0, 4, (4000, 7)).astype(np.float32)
    return logits, _drawn(logits)


def test_fit_temperature_recovers_the_true_temperature(answers):
    assert fit_temperature(*answers) == pytest.approx(TRUE, rel=0.06)


def test_no_other_temperature_has_a_lower_likelihood_loss(answers):
    logits, labels = answers
    best = fit_temperature(logits, labels)
    losses = [
        negative_log_likelihood(labels, softmax(logits / t)) for t in (best, best * 0.98, best * 1.02, 0.5, 1.0, 5.0)
    ]
    assert min(losses) == losses[0]


def test_underconfident_logits_get_a_temperature_below_one(answers):
    logits, labels = answers
    assert fit_temperature(logits / 10, labels) == pytest.approx(TRUE / 10, rel=0.06)


def test_the_record_has_metrics_before_and_after_the_temperature(answers):
    logits, labels = answers
    record = calibration_record(logits, labels, fit_temperature(logits, labels))
    figures = record["validation"]
    assert figures["n"] == 4000
    assert figures["nll"]["before"] == pytest.approx(negative_log_likelihood(labels, softmax(logits)))
    assert figures["ece"]["after"] == pytest.approx(
        expected_calibration_error(labels, softmax(logits / record["temperature"]))
    )
    assert figures["nll"]["after"] < figures["nll"]["before"] - 0.1
    assert figures["ece"]["after"] < 0.03 < 0.2 < figures["ece"]["before"]


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.eye(7), np.arange(7), "all right"),
        (np.zeros((0, 7)), np.zeros(0, int), "at least one"),
        (np.zeros((3, 7)), np.zeros(2, int), "one row of logits"),
    ],
    ids=["perfect", "empty", "uneven"],
)
def test_logits_without_a_finite_temperature_are_rejected(logits, labels, message):
    with pytest.raises(InputError, match=message):
        fit_temperature(logits, labels)


# folding


@pytest.mark.parametrize("name", ["emotion_cnn", "enhanced_cnn48", "mobilenetv2_224", "resnet18_48"])
def test_folding_divides_the_logits_and_keeps_the_prediction(name):
    assert name in list_models()
    torch.manual_seed(0)
    network = create_model(name).eval()
    channels = 1 if "cnn" in name else 3
    pixels = torch.randn(2, channels, 48, 48)
    with torch.no_grad():
        before = network(pixels)
        fold_temperature(network, 1.7)
        assert_same_logits(network(pixels), before / 1.7)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_finite_number_above_zero(temperature):
    network = create_model("emotion_cnn")
    before = last_linear(network).weight.clone()
    with pytest.raises(InputError, match="above 0"):
        fold_temperature(network, temperature)
    assert torch.equal(last_linear(network).weight, before)


# packaging


def _faces(count: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    faces = []
    for _ in range(count):
        pixels = rng.integers(0, 80, (48, 48))
        top, left = rng.integers(0, 24, 2)
        pixels[top : top + 20, left : left + 20] += rng.integers(40, 170)
        faces.append(Image.fromarray(pixels.astype(np.uint8)))
    return faces


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The files of a finished run: random weights whose logits have a standard deviation of 4 over faces."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    network = create_model("emotion_cnn", 7, dropout=0.4).eval()
    pixels = torch.from_numpy(Preprocessor(NATIVE48).batch(_faces(100, 5)))
    with torch.no_grad():
        logits, last = network(pixels), network.classifier[-1]
        last.bias.copy_(4 * (last.bias - logits.mean(0)) / logits.std(0))
        last.weight.mul_(4 / logits.std(0)[:, None])
    save_file(network.state_dict(), folder / "best.safetensors")
    epochs = [
        {"epoch": e, "loss": 2.0 - e / 4, "val_accuracy": e / 4, "val_macro_f1": e / 5, "seconds": 1.5} for e in (1, 2)
    ]
    data = {
        "total": 45,
        "kept": 39,
        "copies_in_evaluation": 2,
        "conflicting": 2,
        "surplus_copies": 1,
        "constant": 1,
        "validation": 14,
    }
    (folder / "history.json").write_text(
        json.dumps({"recipe": RECIPE.to_dict(), "data": data, "environment": {}, "epochs": epochs})
    )
    return folder


def _package(run: Path, out: Path, *more: str) -> Path:
    return training.package.main(["--run", str(run), "--out", str(out), *more])


@pytest.fixture(scope="module")
def checkpoint(run, tmp_path_factory) -> Path:
    return _package(run, tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def splits(checkpoint) -> dict[str, FaceSplit]:
    """600 validation faces whose labels fit the temperature TRUE, and 100 with wrong labels that test has too."""
    faces = _faces(700, 9)
    predictor = EmotionPredictor.from_pretrained(checkpoint)
    logits = predictor.backend.logits(predictor.preprocessor.batch(faces))
    labels, hashes = _drawn(logits), [str(i) for i in range(700)]
    labels[600:] = logits[600:].argmin(axis=1)
    return {
        "validation": FaceSplit("validation", faces, labels, hashes),
        "test": FaceSplit("test", faces[600:], labels[600:], hashes[600:]),
    }


@pytest.fixture
def calibrated(run, splits, tmp_path, monkeypatch, capsys) -> tuple[Path, str]:
    """The packaged checkpoint and the printed text."""
    loaded: list[Any] = []

    def load_split(data: str, name: str, labels: Any) -> FaceSplit:
        loaded.append((data, name, labels))
        return splits[name]

    monkeypatch.setattr(training.publishing.package, "load_split", load_split)
    monkeypatch.setattr(training.publishing.prediction_sets, "load_split", lambda data, name, labels: splits[name])
    train = FaceSplit("train", _faces(40, 10), np.zeros(40, dtype=np.int64), [f"train {i}" for i in range(40)])
    monkeypatch.setattr(
        training.publishing.int8, "load_split", lambda data, name, labels: {**splits, "train": train}[name]
    )
    folder = _package(run, tmp_path / "calibrated", "--data", "DATA")
    assert loaded == [("DATA", "validation", FER2013), ("DATA", "test", FER2013)]
    assert (folder / INT8_FILE).is_file()
    return folder, capsys.readouterr().out


def test_packaging_with_data_folds_the_temperature_of_validation_without_test_images(checkpoint, calibrated, splits):
    calibrated, printed = calibrated
    record = json.loads((calibrated / TRAINING_FILE).read_text())["calibration"]
    assert record["temperature"] == pytest.approx(TRUE, rel=0.12), (
        "the mislabelled images shared with test would increase it"
    )
    assert record["validation"]["n"] == 600
    assert record["validation"]["nll"]["after"] < record["validation"]["nll"]["before"]
    assert record["validation"]["ece"]["after"] < record["validation"]["ece"]["before"] / 2
    faces = splits["validation"].faces[:50]
    before, after = (
        (p := EmotionPredictor.from_pretrained(folder)).backend.logits(p.preprocessor.batch(faces))
        for folder in (checkpoint, calibrated)
    )
    np.testing.assert_allclose(after, before / record["temperature"], atol=0.02)
    plain, folded = load_file(checkpoint / WEIGHTS_FILE), load_file(calibrated / WEIGHTS_FILE)
    changed = {name for name in plain if not torch.equal(plain[name], folded[name])}
    assert changed == {"classifier.4.weight", "classifier.4.bias"}
    assert f"temperature {record['temperature']:.4f} on 600" in printed


def test_packaging_with_data_fits_prediction_sets_on_the_calibrated_probabilities(checkpoint, calibrated, splits):
    folder, _ = calibrated
    assert EmotionPredictor.from_pretrained(checkpoint).prediction_sets is None
    predictor = EmotionPredictor.from_pretrained(folder, backend="torch")
    faces, labels = splits["validation"].faces[:600], splits["validation"].labels[:600]
    probs = softmax(predictor.backend.logits(predictor.preprocessor.batch(faces)))
    expected = fit_prediction_sets(labels, probs, FER2013.labels)
    assert predictor.prediction_sets.thresholds == pytest.approx(expected.thresholds, abs=2e-4)
    for name in (ONNX_FILE, INT8_FILE):
        exported = EmotionPredictor.from_onnx(folder / name)
        assert exported.prediction_sets == predictor.prediction_sets, "the file alone has the rule, too"


def test_a_network_that_does_not_end_in_a_linear_layer_is_rejected(run, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(training.publishing.package, "load_split", lambda data, name, labels: splits[name])
    forward = nn.Module.__call__

    def log_softmax(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        return torch.log_softmax(out, 1) if isinstance(self, EmotionClassifier) else out

    monkeypatch.setattr(EmotionClassifier, "__call__", log_softmax)
    with pytest.raises(CheckpointError, match="last linear layer"):
        _package(run, tmp_path / "out", "--data", "DATA")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_holds_the_best_weights_in_half_precision(run, checkpoint):
    best, packed = load_file(run / "best.safetensors"), load_file(checkpoint / WEIGHTS_FILE)
    assert list(packed) == list(best)
    for name, tensor in best.items():
        assert torch.equal(packed[name], tensor.half() if tensor.is_floating_point() else tensor)
    model = EmotionClassifier.from_pretrained(checkpoint)
    assert model.config.options == {"dropout": 0.4}
    assert model.labels == FER2013


def test_a_checkpoint_has_its_history_and_that_of_earlier_runs(run, checkpoint, tmp_path):
    history = json.loads((run / "history.json").read_text())
    assert json.loads((checkpoint / TRAINING_FILE).read_text()) == {"stages": [history]}
    _package(run, tmp_path, "--earlier", str(run))
    assert json.loads((tmp_path / TRAINING_FILE).read_text()) == {"stages": [history, history]}


def test_a_run_that_started_from_another_is_packaged_with_it(run, tmp_path):
    second = shutil.copytree(run, tmp_path / "second")
    history = json.loads((run / "history.json").read_text())
    history["recipe"] |= {"name": "second", "init": "checkpoint"}
    (second / "history.json").write_text(json.dumps(history))
    with pytest.raises(
        CheckpointError, match=r"run 'second' started from the weights of an earlier run, .* with --earlier"
    ):
        _package(second, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    _package(second, tmp_path / "out", "--earlier", str(run))
    assert [
        stage["recipe"]["name"] for stage in json.loads((tmp_path / "out" / TRAINING_FILE).read_text())["stages"]
    ] == [RECIPE.name, "second"]


def test_a_run_without_a_finished_epoch_is_not_packaged(tmp_path):
    with pytest.raises(CheckpointError, match="no finished epoch"):
        _package(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_over_the_size_limit_is_rejected(run, tmp_path, monkeypatch):
    monkeypatch.setattr(training.publishing.package, "LIMIT", 1_000_000)
    with pytest.raises(CheckpointError, match=r"of 3\.0 MB; .* at most"):
        _package(run, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "a rejected file must not remain"


def test_packaging_again_deletes_the_report_of_the_earlier_weights(run, tmp_path):
    (tmp_path / "report.json").write_text("{}")
    _package(run, tmp_path)
    assert not (tmp_path / "report.json").exists()
