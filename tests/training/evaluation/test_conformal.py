"""Conformal quantile, fitted thresholds, figures, and the command."""

from __future__ import annotations

import json
import math
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import training.conformal
import training.evaluate
from emotion_hub.checkpoints import CONFIG_FILE, INT8_FILE, ONNX_FILE, REPORT_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError, ConfigError, InputError
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor, softmax
from tests.fakes.drawn_data import drawn_face
from training.evaluation.conformal import (
    conformal_quantile,
    coverage_figures,
    fit_prediction_sets,
    set_figures,
)
from training.evaluation.summary import markdown
from training.publishing.card_sections import body
from training.publishing.prediction_sets import add_to_report, write_config

ABC = ("a", "b", "c")

each_checkpoint = pytest.mark.parametrize("name", embedded_checkpoints())


def _drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(labels, probabilities) of three labels, of which the third is rare and hard."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=[0.6, 0.3, 0.1])
    logits = rng.normal(0, 1.2, (count, 3))
    logits[np.arange(count), labels] += np.array([2.5, 1.5, -0.5])[labels]
    return labels, softmax(logits)


# the quantile


@pytest.mark.parametrize("coverage", ["0.5", "0.7", "0.8", "0.9", "0.95", "0.99"])
def test_the_quantile_has_the_rank_of_exact_arithmetic(coverage):
    rng = np.random.default_rng(0)
    for n in (*range(1, 120), 999, 3543):
        scores = rng.permutation(n) + 1.0  # the score of rank r is r
        rank = math.ceil((n + 1) * Fraction(coverage))
        assert conformal_quantile(scores, float(coverage)) == (rank if rank <= n else math.inf)


def test_a_new_score_is_covered_exactly_as_often_as_theory_says():
    scores = np.random.default_rng(1).random(21)
    covered = [scores[i] <= conformal_quantile(np.delete(scores, i), 0.9) for i in range(21)]
    assert sum(covered) == math.ceil(21 * 0.9) == 19, "each of the 21 exchangeable scores is the new one once"


def test_coverage_over_many_drawn_calibrations_is_that_of_the_finite_sample():
    scores = np.random.default_rng(2).random((20_000, 21))
    covered = [row[-1] <= conformal_quantile(row[:-1], 0.9) for row in scores]
    assert np.mean(covered) == pytest.approx(19 / 21, abs=0.009), "the quantile without n + 1 would cover 18 / 21"


# thresholds


def test_thresholds_per_label_cover_every_label_and_one_threshold_only_the_mean():
    names, (labels, probs), (others, new) = ABC, _drawn(20_000, 3), _drawn(20_000, 4)
    own = fit_prediction_sets(labels, probs, names)
    one = fit_prediction_sets(labels, probs, names, per_label=False)
    assert len(set(one.thresholds.values())) == 1
    for sets, worst in ((own, (0.88, 0.93)), (one, (0.0, 0.75))):
        figures = set_figures(others, new, names, sets)
        assert figures["coverage"] == pytest.approx(0.9, abs=0.01)
        lowest = min(row["coverage"] for row in figures["per_class"].values())
        assert worst[0] < lowest < worst[1]


def test_a_threshold_is_the_quantile_of_its_label_rounded_up():
    labels, probs = _drawn(500, 5)
    sets = fit_prediction_sets(labels, probs, ABC, 0.8)
    assert sets.coverage == 0.8
    for k, name in enumerate(ABC):
        quantile = conformal_quantile(1 - probs[labels == k, k], 0.8)
        assert quantile <= sets.thresholds[name] < quantile + 1e-4
        assert round(sets.thresholds[name], 4) == sets.thresholds[name]


def test_a_label_with_too_few_images_is_refused():
    labels, probs = np.repeat([0, 1, 2], 9), np.tile([0.7, 0.2, 0.1], (27, 1))
    thresholds = fit_prediction_sets(labels, probs, ABC).thresholds
    assert thresholds == pytest.approx({"a": 0.3, "b": 0.8, "c": 0.9}, abs=1e-4), "nine images are enough for 90%"
    with pytest.raises(InputError, match=r"8 validation images of 'c': .* at least 9 of each label"):
        fit_prediction_sets(labels[:-1], probs[:-1], ABC)
    with pytest.raises(InputError, match=r"9 validation images of 'a': .* at least 19 of each label"):
        fit_prediction_sets(labels, probs, ABC, 0.95)
    assert fit_prediction_sets(labels, probs, ABC, 0.95, per_label=False).thresholds["a"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("labels", "shape"), [([], (0, 3)), ([0, 1], (3, 3)), ([0, 1], (2, 2))], ids=["none", "lengths", "labels"]
)
def test_images_without_probabilities_cannot_be_fitted(labels, shape):
    with pytest.raises(InputError, match="at least one image"):
        fit_prediction_sets(np.array(labels, dtype=int), np.full(shape, 0.5), ABC)


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 2.0, math.nan])
def test_a_coverage_outside_of_0_to_1_is_refused(coverage):
    with pytest.raises(ConfigError, match="coverage="):
        fit_prediction_sets(*_drawn(500, 0), ABC, coverage)


# figures


def test_figures_of_hand_made_sets():
    members = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=bool)
    figures = coverage_figures(np.array([0, 1, 0, 0]), members)
    assert (figures["n"], figures["coverage"], figures["mean_size"]) == (4, 0.75, 1.5)
    low, high = figures["interval"]["coverage"]
    z = 1.959964
    middle, half = (3 + z * z / 2) / (4 + z * z), z / (4 + z * z) * math.sqrt(3 * 1 / 4 + z * z / 4)
    assert (low, high) == (pytest.approx(middle - half, abs=1e-4), pytest.approx(middle + half, abs=1e-4))
    assert figures["interval"]["mean_size"] == [1.0, 2.0]


def test_a_rare_label_that_is_always_covered_has_an_interval_below_1():
    figures = coverage_figures(np.zeros(20, int), np.ones((20, 3), bool))
    assert figures["coverage"] == 1
    assert 0.8 < figures["interval"]["coverage"][0] < 0.9
    with pytest.raises(InputError, match="no images"):
        coverage_figures(np.zeros(0, int), np.ones((0, 3), bool))


def test_the_part_of_a_report_is_json_and_adds_up():
    labels, probs = _drawn(300, 6)
    labels[labels == 2] = 1
    sets = fit_prediction_sets(*_drawn(300, 7), ABC)
    figures = set_figures(labels, probs, ABC, sets)
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["nominal"], figures["thresholds"]) == (0.9, sets.thresholds)
    assert sum(figures["sizes"]) == pytest.approx(1)
    assert np.dot(figures["sizes"], [1, 2, 3]) == pytest.approx(figures["mean_size"])
    assert list(figures["per_class"]) == ["a", "b"], "a label without images has no figures"
    for key in ("coverage", "mean_size"):
        mean = sum(row["n"] * row[key] for row in figures["per_class"].values()) / 300
        assert mean == pytest.approx(figures[key])


# the command


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Drawn faces: 7 for training, 84 for validation, 63 for test; one of test is in validation, too."""
    root, rng = tmp_path_factory.mktemp("data") / "faces", np.random.default_rng(0)
    for split, count in (("train", 1), ("validation", 12), ("test", 9)):
        for label, name in enumerate(FER2013.labels):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                drawn_face(label, rng).save(folder / f"{k}.png")
    shutil.copyfile(root / "test" / "fear" / "0.png", root / "validation" / "fear" / "shared.png")
    return root


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A copy of emotion_cnn without prediction sets and report."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, INT8_FILE):
        shutil.copyfile(embedded_checkpoints()["emotion_cnn"] / name, folder / name)
    values = json.loads((folder / CONFIG_FILE).read_text())
    del values["prediction_sets"]
    (folder / CONFIG_FILE).write_text(json.dumps({**values, "architectures": ["Kept"], "dtype": "float32"}, indent=2))
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_adds_the_rule_to_the_configuration_and_changes_nothing_else(checkpoint, data, capsys):
    before = _contents(checkpoint)
    sets = training.conformal.main(["--checkpoint", str(checkpoint), "--data", str(data)])
    after = _contents(checkpoint)
    assert {name for name in after if after[name] != before.get(name)} == {CONFIG_FILE}
    old, new = (json.loads(content[CONFIG_FILE]) for content in (before, after))
    assert new.pop("prediction_sets") == sets.to_dict()
    assert new == old
    assert "nominal coverage 0.9" in capsys.readouterr().out
    for backend in ("torch", "onnx", "onnx-int8"):
        assert EmotionPredictor.from_pretrained(checkpoint, backend=backend).prediction_sets == sets
    training.conformal.main(["--checkpoint", str(checkpoint), "--data", str(data)])
    assert _contents(checkpoint) == after, "a second fit gives the same bytes"


def test_the_rule_is_fitted_on_validation_without_the_images_of_test(checkpoint, data):
    faces = training.publishing.prediction_sets.load_split(data, "validation", FER2013)
    predictor = EmotionPredictor.from_pretrained(checkpoint, backend="torch")
    probs = softmax(predictor.backend.logits(predictor.preprocessor.batch(faces.faces)))
    shared = [i for i, where in enumerate(faces.where) if "shared" in where]
    assert len(shared) == 1
    kept = np.setdiff1d(np.arange(len(faces)), shared)
    expected = fit_prediction_sets(faces.labels[kept], probs[kept], FER2013.labels, 0.8)
    found = training.conformal.main(["--checkpoint", str(checkpoint), "--data", str(data), "--coverage", "0.8"])
    assert found.thresholds == pytest.approx(expected.thresholds, abs=2e-4)


def test_figures_are_merged_into_the_report_and_equal_those_of_an_evaluation(checkpoint, data):
    call = ["--checkpoint", str(checkpoint), "--data", str(data)]
    evaluate = [*call, "--split", "test", "--out", str(checkpoint / REPORT_FILE)]
    first = training.evaluate.main(evaluate)
    assert "prediction_sets" not in first
    training.conformal.main([*call, "--report"])
    merged = json.loads((checkpoint / REPORT_FILE).read_text())
    figures = merged.pop("prediction_sets")
    assert merged == json.loads(json.dumps(first)), "the other figures are untouched"
    again = training.evaluate.main(evaluate)
    assert again["prediction_sets"] == figures
    assert figures["n"] == 63
    assert f"| all | 63 | {figures['coverage']:.1%}" in markdown(again)


def test_a_report_of_other_images_or_weights_is_not_changed(checkpoint, data, tmp_path):
    call = ["--checkpoint", str(checkpoint), "--data", str(data)]
    with pytest.raises(CheckpointError, match="has no report"):
        add_to_report(checkpoint, data)
    report = training.evaluate.main([*call, "--split", "test", "--out", str(checkpoint / REPORT_FILE)])
    with pytest.raises(CheckpointError, match=r"has no prediction sets.*training\.conformal"):
        add_to_report(checkpoint, data)
    training.conformal.main(call)
    other = shutil.copytree(data, tmp_path / "other")
    (other / "test" / "sad" / "3.png").unlink()
    for path, changes, words in (
        (other, {}, "is not the one that report.json"),
        (data, {"sha256": "0" * 64}, "measures other weights"),
        (data, {"split": "validation"}, "measures 'validation'"),
    ):
        text = json.dumps({**report, **changes})
        (checkpoint / REPORT_FILE).write_text(text)
        with pytest.raises((InputError, CheckpointError), match=words):
            add_to_report(checkpoint, path)
        assert (checkpoint / REPORT_FILE).read_text() == text


def test_a_folder_without_a_checkpoint_and_a_hub_id_are_refused(tmp_path, data):
    sets = fit_prediction_sets(*_drawn(500, 0), ABC)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        write_config(tmp_path, sets)
    with pytest.raises(InputError, match="no embedded name and no folder"):
        training.conformal.main(["--checkpoint", "owner/name", "--data", str(data)])


def test_a_rule_for_other_labels_is_not_written(checkpoint):
    before = _contents(checkpoint)
    with pytest.raises(ConfigError, match="the network has the labels"):
        write_config(checkpoint, fit_prediction_sets(*_drawn(500, 0), ABC))
    assert _contents(checkpoint) == before


# the shipped checkpoints


@each_checkpoint
def test_shipped_sets_cover_nine_of_ten_test_faces(name):
    folder = embedded_checkpoints()[name]
    config, report = (json.loads((folder / file).read_text()) for file in (CONFIG_FILE, REPORT_FILE))
    figures = report["prediction_sets"]
    assert (figures["nominal"], figures["thresholds"]) == tuple(config["prediction_sets"].values())
    assert figures["n"] == report["n"] == 3589
    assert figures["coverage"] == pytest.approx(0.9, abs=0.02)
    for label, row in figures["per_class"].items():
        assert row["n"] == report["per_class"][label]["support"]
        assert row["coverage"] > 0.85
        assert row["interval"]["coverage"][0] < row["coverage"] < row["interval"]["coverage"][1]
    assert figures["mean_size"] < 2.6


@each_checkpoint
def test_the_card_states_the_coverage_and_refuses_figures_of_other_thresholds(name, tmp_path):
    folder = shutil.copytree(embedded_checkpoints()[name], tmp_path / name)
    figures = json.loads((folder / REPORT_FILE).read_text())["prediction_sets"]
    assert f"| all | 3,589 | {figures['coverage']:.1%}" in body(name, folder, "##")
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["prediction_sets"]["thresholds"]["fear"] = 0.5
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"training\.conformal --checkpoint .* --report"):
        body(name, folder, "##")
