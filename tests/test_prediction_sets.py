"""Prediction sets: the rule, its values, and what predictors return."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_hub.checkpoints import CONFIG_FILE, INT8_FILE, ONNX_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import ConfigError
from emotion_hub.labels import FER2013, SIX_CLASS, LabelSet
from emotion_hub.prediction_sets import PredictionSets, sets_of_config
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.results import Prediction
from tests.fakes.batch_helpers import linear_predictor

ABC = ("a", "b", "c")
SETS = PredictionSets(0.9, {"a": 0.5, "b": 0.8, "c": 0.95})


def _prediction(probs: dict[str, float], labels: LabelSet | None = None, sets: PredictionSets | None = SETS):
    return Prediction.of(probs, "manual", {}, labels, bbox=(0, 0, 1, 1), prediction_sets=sets)


# the rule


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        ((0.6, 0.3, 0.1), ("a", "b", "c")),
        ((0.3, 0.65, 0.05), ("b", "c")),
        ((0.97, 0.02, 0.01), ("a",)),
        ((0.45, 0.15, 0.4), ("a", "c")),  # a is below its threshold and the most probable label
        ((0.5, 0.5, 0.0), ("a", "b")),  # the first of equal labels leads, and a probability on its threshold is inside
        ((0.0, 0.8, 0.2), ("b", "c")),
    ],
)
def test_a_label_is_in_the_set_up_to_its_threshold_and_the_best_one_always(probs, expected):
    prediction = _prediction(dict(zip(ABC, probs, strict=True)))
    assert prediction.prediction_set == expected
    assert prediction.to_dict()["prediction_set"] == list(expected)
    assert prediction.prediction_set[0] == prediction.label


def test_without_a_rule_there_is_no_set():
    prediction = _prediction({"a": 0.6, "b": 0.4}, sets=None)
    assert prediction.prediction_set is None
    assert "prediction_set" not in prediction.to_dict()


def test_sets_of_random_faces_are_not_empty_ordered_and_equal_in_both_forms():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(7, 0.3), 500)
    for answer in (None, SIX_CLASS, LabelSet("two", ("neutral", "Disgusted"))):
        sets = PredictionSets(0.9, dict(zip(FER2013.labels, rng.random(7), strict=True)))
        members = sets.members(probs, FER2013.labels, answer)
        columns = (answer or FER2013).labels
        assert members.shape == (500, len(columns))
        assert 0 < members.mean() < 1
        for row, inside in zip(probs, members, strict=True):
            own = dict(zip(FER2013.labels, row.tolist(), strict=True))
            face = _prediction(own, answer, sets)
            assert set(face.prediction_set) == {label for label, is_in in zip(columns, inside, strict=True) if is_in}
            assert face.prediction_set[0] == face.label
            ranked = [face.probs[label] for label in face.prediction_set]
            assert ranked == sorted(ranked, reverse=True)


def test_over_other_labels_the_set_is_the_networks_without_them_and_the_best_of_them():
    probs = {"angry": 0.6, "disgust": 0.3, "fear": 0.06, "happy": 0.02, "sad": 0.01, "surprise": 0.01, "neutral": 0.0}
    sets = PredictionSets(0.9, dict.fromkeys(FER2013.labels, 0.9))
    assert _prediction(probs, sets=sets).prediction_set == ("angry", "disgust")
    assert _prediction(probs, SIX_CLASS, sets).prediction_set == ("angry",), "0.06 / 0.7 would be below 0.9"
    rest = LabelSet("rest", ("Happiness", "fearful"))
    assert _prediction(probs, rest, sets).prediction_set == ("fearful",), "the set is not empty"
    both = _prediction(probs, LabelSet("both", ("happy", "disgust", "angry")), sets)
    assert both.prediction_set == ("angry", "disgust")


def test_no_faces_have_no_members():
    assert SETS.members(np.empty((0, 3)), ABC).shape == (0, 3)


@pytest.mark.parametrize(
    ("coverage", "words"),
    [(0.9, "in 9 of 10 faces"), (0.5, "in 5 of 10 faces"), (0.95, "in 95% of the faces"), (0.7, "in 7 of 10 faces")],
)
def test_the_meaning_names_the_coverage(coverage, words):
    assert PredictionSets(coverage, {"a": 1}).meaning.startswith(words)


# hostile values


@pytest.mark.parametrize("coverage", [math.nan, math.inf, -0.1, 0, 1, 1.5, "0.9", None, True, [0.9], 10**400])
def test_an_invalid_coverage_is_refused(coverage):
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        PredictionSets(coverage, {"a": 0.5})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.001, 1.001, "0.5", None, True, [], 10**400])
def test_an_invalid_threshold_is_refused(value):
    with pytest.raises(ConfigError, match="'b': give a number from 0 to 1"):
        PredictionSets(0.9, {"a": 0.5, "b": value})


@pytest.mark.parametrize("thresholds", [{}, [], None, "all", 0.9, [0.1, 0.2]])
def test_thresholds_are_an_object(thresholds):
    with pytest.raises(ConfigError, match="thresholds="):
        PredictionSets(0.9, thresholds)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (0.9, "prediction_sets=0.9"),
        ([], "prediction_sets="),
        ({}, "has the keys"),
        ({"coverage": 0.9}, "has the keys"),
        ({"coverage": 0.9, "thresholds": {"a": 1, "b": 1, "c": 1}, "alpha": 0.1}, "alpha"),
        ({"coverage": 0.9, "thresholds": {"a": 1, "b": 1}}, "the network has the labels"),
        ({"coverage": 0.9, "thresholds": {"a": 1, "b": 1, "d": 1}}, "fit them again"),
        ({"coverage": 0.9, "thresholds": {"a": 1, "b": 1, 3: 1}}, "label 3"),
        ({str(i) * 1000: 1 for i in range(1000)}, "has the keys"),
    ],
)
def test_an_invalid_entry_is_refused(entry, words):
    with pytest.raises(ConfigError, match=words) as caught:
        sets_of_config({"prediction_sets": entry}, ABC)
    assert len(str(caught.value)) < 400


def test_an_entry_round_trips_in_the_order_of_the_labels():
    values = json.loads(json.dumps(SETS.to_dict()))
    assert sets_of_config({"prediction_sets": values}, ABC) == SETS
    back = sets_of_config({"prediction_sets": values}, ("c", "a", "b"))
    assert back == SETS
    assert list(back.thresholds) == ["c", "a", "b"]
    assert sets_of_config({}, ABC) is sets_of_config({"prediction_sets": None}, ABC) is None


# predictors


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of emotion_cnn."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, INT8_FILE):
        shutil.copyfile(embedded_checkpoints()["emotion_cnn"] / name, folder / name)
    return folder


def _set_entry(folder: Path, entry: Any) -> None:
    values = json.loads((folder / CONFIG_FILE).read_text())
    values.pop("prediction_sets")
    if entry is not ...:
        values["prediction_sets"] = entry
    (folder / CONFIG_FILE).write_text(json.dumps(values))


@pytest.mark.parametrize("name", embedded_checkpoints())
def test_embedded_checkpoints_have_a_rule_for_nine_of_ten_faces_of_each_label(name):
    values = json.loads((embedded_checkpoints()[name] / CONFIG_FILE).read_text())
    sets = EmotionPredictor.from_pretrained(name).prediction_sets
    assert sets.coverage == 0.9
    assert list(sets.thresholds) == values["labels"]


@pytest.mark.parametrize("backend", ["torch", "onnx", "onnx-int8"])
def test_every_backend_reads_the_rule_of_the_configuration(backend, checkpoint, face_image):
    wide = {"coverage": 0.99, "thresholds": dict.fromkeys(reversed(FER2013.labels), 1.0)}
    for entry, size in ((wide, 7), ({"coverage": 0.5, "thresholds": dict.fromkeys(FER2013.labels, 0.0)}, 1)):
        _set_entry(checkpoint, entry)
        predictor = EmotionPredictor.from_pretrained(checkpoint, backend=backend)
        [face] = predictor.predict(face_image, whole=True)
        assert len(face.prediction_set) == size
        assert face.prediction_set == tuple(sorted(face.probs, key=face.probs.get, reverse=True))[:size]
        [six] = predictor.with_labels("six_class").predict(face_image, whole=True)
        assert len(six.prediction_set) == min(size, 6)


@pytest.mark.parametrize("backend", ["torch", "onnx", "onnx-int8"])
def test_an_older_checkpoint_without_a_rule_works_and_has_no_sets(backend, checkpoint, face_image):
    _set_entry(checkpoint, ...)
    predictor = EmotionPredictor.from_pretrained(checkpoint, backend=backend)
    [face] = predictor.predict(face_image, whole=True)
    assert (predictor.prediction_sets, face.prediction_set) == (None, None)
    assert "prediction_set" not in face.to_dict()
    embedded = EmotionPredictor.from_pretrained("emotion_cnn", backend=backend).predict(face_image, whole=True)[0]
    assert face.probs == pytest.approx(embedded.probs, abs=1e-5), "the rule changes no probability"


@pytest.mark.parametrize("backend", ["torch", "onnx", "onnx-int8"])
@pytest.mark.parametrize("value", ["NaN", "-0.1", "1.5", '"0.5"', "null"])
def test_an_invalid_rule_is_refused_when_a_checkpoint_is_loaded(backend, value, checkpoint):
    path = checkpoint / CONFIG_FILE
    text = path.read_text()
    number = json.loads(text)["prediction_sets"]["thresholds"]["fear"]
    assert text.count(str(number)) == 1
    path.write_text(text.replace(str(number), value))
    with pytest.raises(ConfigError, match=r"threshold .* of the label 'fear'"):
        EmotionPredictor.from_pretrained(checkpoint, backend=backend)


def test_an_onnx_file_without_its_configuration_still_predicts(checkpoint, face_image):
    (checkpoint / CONFIG_FILE).unlink()
    [face] = EmotionPredictor.from_onnx(checkpoint / INT8_FILE).predict(face_image, whole=True)
    assert face.prediction_set is None


def test_batches_and_single_faces_get_equal_sets(face_image):
    predictor = EmotionPredictor.from_pretrained("emotion_cnn")
    faces = [face_image, face_image.rotate(30), face_image.point(lambda level: level // 3), Image.new("L", (48, 48))]
    alone = [predictor.predict(face, whole=True)[0].prediction_set for face in faces]
    assert [p.prediction_set for p in predictor.predict_faces(faces)] == alone
    logits = predictor.backend.logits(predictor.preprocessor.batch(faces))
    columns = predictor.labels.labels
    for row, labels in zip(predictor.set_members(logits), alone, strict=True):
        assert {columns[i] for i in np.flatnonzero(row)} == set(labels)


def test_a_predictor_of_parts_has_no_sets_unless_it_gets_a_rule():
    predictor = linear_predictor()
    assert predictor.set_members(np.zeros((2, 7), np.float32)) is None
    assert predictor.predict(Image.new("L", (48, 48)), whole=True)[0].prediction_set is None
