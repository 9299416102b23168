"""Metrics of hand-made predictions; evaluation of a checkpoint end to end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import training.evaluate
import training.evaluation.evaluate
from emotion_hub.checkpoints import TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import FER2013, FERPLUS_VOTES, SIX_CLASS, LabelSet
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor, softmax
from training.data.duplicates import THRESHOLD
from training.data.faces import FaceSplit
from training.evaluation import metrics
from training.evaluation.measure import (
    SMALL,
    ferplus_labels,
    ferplus_reading,
    near_copies_in,
    slice_by,
    ten_crop_probs,
    ten_crops,
)
from training.evaluation.metrics import (
    bootstrap,
    brief,
    expected_calibration_error,
    macro_f1,
    reliability_bins,
    scores,
    top_k_accuracy,
)
from training.evaluation.predictions import face_probs

pytestmark = pytest.mark.usefixtures("datasets_cache")

LABELS, PROBS = np.array([0, 1, 1, 2, 2]), np.eye(3)[[0, 0, 1, 2, 1]] * 0.7 + 0.1


def _face(label: int, seed: int) -> Image.Image:
    """Gray, 48x48: the position of a bright bar encodes the label."""
    pixels = np.random.default_rng(seed).integers(0, 120, (48, 48), dtype=np.uint8)
    pixels[4 + 6 * label : 8 + 6 * label, 8:40] = 230
    return Image.fromarray(pixels)


def _split(count: int, seed: int) -> tuple[list[Image.Image], list[int]]:
    labels = [i % 7 for i in range(count)]
    return [_face(label, seed + i) for i, label in enumerate(labels)], labels


def _face_split(labels: np.ndarray, **more) -> FaceSplit:
    return FaceSplit(
        "validation",
        [_face(int(k), i) for i, k in enumerate(labels)],
        labels,
        [str(i) for i in range(len(labels))],
        **more,
    )


# measures


def test_scores_of_hand_made_predictions():
    values = scores(LABELS, PROBS, ("a", "b", "c"))
    assert values["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert (values["n"], values["accuracy"]) == (5, pytest.approx(0.6))
    assert values["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert values["per_class"]["b"] == {
        "precision": pytest.approx(0.5),
        "recall": pytest.approx(0.5),
        "f1": pytest.approx(0.5),
        "support": 2,
    }
    assert values["log_loss"] == pytest.approx(-(3 * np.log(0.8) + 2 * np.log(0.1)) / 5)
    assert values["ece"] == pytest.approx(0.2)  # every top probability is .8, three of five are correct
    assert json.loads(json.dumps(values)) == values


def test_the_second_most_probable_class_counts_in_top_2():
    probs = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert top_k_accuracy(np.array([1, 2, 2]), probs) == pytest.approx(2 / 3)
    assert top_k_accuracy(np.array([1, 2, 2]), probs, k=1) == 0


def test_calibration_error_is_the_weighted_gap_over_fifteen_equal_bins():
    confidence = np.array([0.55, 0.58, 0.95, 0.95, 0.95, 0.95])
    probs = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 1, 0, 0, 0, 1])
    bins = reliability_bins(labels, probs)
    assert len(bins) == 15
    assert [(round(b["to"], 2), b["n"]) for b in bins if b["n"]] == [(0.6, 2), (1.0, 4)]
    assert bins[8]["accuracy"] == 0.5
    assert bins[14]["confidence"] == pytest.approx(0.95)
    assert bins[0] == {"to": 0.0667, "n": 0, "confidence": None, "accuracy": None}
    assert expected_calibration_error(labels, probs) == pytest.approx(2 / 6 * (0.565 - 0.5) + 4 / 6 * (0.95 - 0.75))


def test_bins_include_their_upper_edge():
    probs = np.array([[0.6, 0.4], [1.0, 0.0]])
    bins = reliability_bins(np.array([0, 0]), probs, bins=5)
    assert [b["n"] for b in bins] == [0, 0, 1, 0, 1]


def test_the_multinomial_bootstrap_equals_resampling_images():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 400)
    answers = np.where(rng.random(400) < 0.7, labels, rng.integers(0, 3, 400))
    probs = np.eye(3)[answers]
    ours = bootstrap(metrics.confusion(labels, probs))
    draws = [rng.integers(0, 400, 400) for _ in range(2000)]
    slow = [(labels[d] == answers[d]).mean() for d in draws]
    slow_f1 = [macro_f1(labels[d], probs[d]) for d in draws[:500]]
    np.testing.assert_allclose(ours["accuracy"], np.quantile(slow, [0.025, 0.975]), atol=0.006)
    np.testing.assert_allclose(ours["macro_f1"], np.quantile(slow_f1, [0.025, 0.975]), atol=0.012)
    assert bootstrap(metrics.confusion(labels, probs)) == ours
    assert bootstrap(metrics.confusion(labels, probs), seed=1) != ours


def test_an_interval_narrows_with_more_images():
    small, large = (bootstrap(n * np.array([[3, 1], [1, 3]]))["accuracy"] for n in (5, 500))
    assert small[0] < large[0] < 0.75 < large[1] < small[1]


def test_macro_f1_of_a_group_skips_missing_labels():
    labels, probs = np.array([0, 0, 1]), np.eye(3)[[0, 0, 1]]
    assert brief(labels, probs)["macro_f1"] == pytest.approx(2 / 3)
    present = brief(labels, probs, present_only=True)
    assert present["macro_f1"] == pytest.approx(1)
    assert present["interval"]["macro_f1"][1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "probs"),
    [(np.zeros(0, int), np.zeros((0, 3))), (np.zeros(2, int), np.zeros((3, 3)))],
    ids=["empty", "uneven"],
)
def test_no_images_and_unequal_lengths_are_rejected(labels, probs):
    with pytest.raises(InputError, match=r"no images|one row of probabilities"):
        metrics.confusion(labels, probs)


# readings


class Recorder:
    """A backend whose logits depend on the mean level of an image; it records its batches."""

    num_parameters = 0

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.seen.append(pixels)
        return np.stack([pixels.mean(axis=(1, 2, 3)) * k for k in range(7)], axis=1).astype(np.float32)


def _recording(size: str = "native48") -> EmotionPredictor:
    from emotion_hub.preprocess import Preprocessor

    return EmotionPredictor(Recorder(), FER2013, Preprocessor(size), name="recorder")


def test_ten_crops_are_corners_centre_and_their_mirror_images():
    face = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    crops = ten_crops(face, 0.8)
    assert [c.size for c in crops] == [(8, 8)] * 10
    assert [np.asarray(c)[0, 0] for c in crops[:5]] == [0, 2, 20, 22, 11]
    for plain, mirrored in zip(crops[:5], crops[5:], strict=True):
        assert np.array_equal(np.asarray(mirrored), np.asarray(plain)[:, ::-1])
    with pytest.raises(InputError, match=r"share=1\.2"):
        ten_crops(face, 1.2)


@pytest.mark.parametrize("size", ["native48", "upscale224"])
def test_ten_crop_probabilities_are_the_mean_over_the_crops_of_the_prepared_face(size):
    predictor = _recording(size)
    faces = [_face(k, k) for k in range(3)]
    probs = ten_crop_probs(predictor, faces, batch_size=2)
    prep = predictor.preprocessor
    expected = [softmax(Recorder().logits(prep.batch(ten_crops(prep.prepare(face))))).mean(axis=0) for face in faces]
    np.testing.assert_allclose(probs, expected, atol=1e-12)
    assert [len(batch) for batch in predictor.backend.seen] == [20, 10]
    assert predictor.backend.seen[0].shape[1:] == (prep.config.channels, prep.config.size, prep.config.size)
    assert np.abs(probs - face_probs(predictor, faces)).max() > 1e-4


def _votes(**counts: int) -> list[float]:
    return [float(counts.get(name, 0)) for name in FERPLUS_VOTES]


def test_ferplus_labels_need_a_majority_for_a_known_label():
    votes = [
        _votes(happiness=6, neutral=4),
        _votes(happiness=5, neutral=5),
        _votes(contempt=8),
        _votes(NF=10),
        _votes(anger=9, unknown=1),
        _votes(sadness=4, fear=3),
    ]
    split = _face_split(np.array([3, 3, 0, 0, 0, 4]), votes=np.array(votes, dtype=np.float32))
    labels, left_out = ferplus_labels(split)
    assert labels.tolist() == [FER2013.index("happy"), -1, -1, -1, FER2013.index("angry"), FER2013.index("sad")]
    assert left_out == {"no majority": 1, "contempt": 1, "NF": 1}
    probs = np.eye(7)[[3, 0, 0, 0, 1, 4]]
    reading = ferplus_reading(split, probs)
    assert (reading["n"], reading["accuracy"], reading["left_out"]) == (3, pytest.approx(2 / 3), left_out)


def test_data_without_votes_has_no_ferplus_figures():
    with pytest.raises(InputError, match="ferplus_votes"):
        ferplus_labels(_face_split(np.array([0, 1])))


def test_slices_measure_each_value_and_mark_small_groups():
    labels = np.array([0, 1] * (SMALL // 2) + [3, 3, 3, 4])
    ages = np.array(["adult"] * SMALL + ["child"] * 4)
    probs = np.eye(7)[[0] * SMALL + [3, 3, 3, 3]]
    result = slice_by(_face_split(labels, columns={"age": ages}), probs, "age")
    assert list(result) == ["adult", "child"]
    assert [(row["n"], row["accuracy"], row["small"]) for row in result.values()] == [
        (SMALL, 0.5, False),
        (4, 0.75, True),
    ]
    assert result["child"]["macro_f1"] == pytest.approx((6 / 7 + 0) / 2)
    assert result["adult"]["interval"]["accuracy"][0] < 0.5 < result["adult"]["interval"]["accuracy"][1]


def test_an_unsuitable_slice_column_is_rejected():
    split = _face_split(np.arange(60) % 7, columns={"row": np.arange(60), "box": np.zeros((60, 4))})
    probs = np.eye(7)[split.labels]
    for column, message in (("gender", "'gender'.*row, box"), ("row", "60 values"), ("box", "4 numbers")):
        with pytest.raises(InputError, match=message):
            slice_by(split, probs, column)


def test_shifted_and_mirrored_faces_of_train_are_near_copies():
    train = FaceSplit("train", [_face(k, k) for k in range(7)], np.arange(7), [str(k) for k in range(7)])
    pixels = np.asarray(train.faces[2])
    faces = [Image.fromarray(np.roll(pixels, 2, axis=1)), Image.fromarray(pixels[:, ::-1].copy()), _face(4, 99)]
    split = FaceSplit("test", faces, np.array([2, 2, 4]), ["a", "b", "c"])
    assert near_copies_in(split, train).tolist() == [0, 1]


# a checkpoint end to end


@pytest.fixture(scope="module")
def splits() -> dict[str, tuple[list[Image.Image], list[int]]]:
    """14, 15 and 14 faces.

    Validation holds an exact copy of a training and of a test face, and a shifted training face.
    """
    train, validation, test = _split(14, 0), _split(14, 1000), _split(14, 2000)
    train[0].append(validation[0][3])
    train[1].append(validation[1][3])
    train[0].append(Image.fromarray(np.roll(np.asarray(validation[0][5]), 2, axis=0)))
    train[1].append(validation[1][5])
    validation[0].append(test[0][9])
    validation[1].append(test[1][9])
    return {"train": train, "validation": validation, "test": test}


@pytest.fixture(scope="module")
def data(tmp_path_factory, splits) -> Path:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value
    from datasets import Image as ImageFeature

    folder = tmp_path_factory.mktemp("data") / "faces"
    folder.mkdir()
    features = {
        "image": ImageFeature(),
        "label": ClassLabel(names=list(FER2013.labels)),
        "age": Value("string"),
        "ferplus_votes": Sequence(Value("int64")),
    }
    for split, (faces, labels) in splits.items():
        ages = ["young" if i % 3 else "old" for i in range(len(faces))]
        votes = [[int(v) for v in _votes(happiness=10)]] * len(faces)
        rows = {"image": faces, "label": labels, "age": ages, "ferplus_votes": votes}
        Dataset.from_dict(rows, features=Features(features)).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def _save(folder: Path, labels: tuple[str, ...] = FER2013.labels) -> Path:
    """Save a checkpoint with random weights whose predictions differ between faces."""
    torch.manual_seed(0)
    model = EmotionClassifier(ClassifierConfig("emotion_cnn", labels)).eval()
    last = model.network.classifier[-1]
    with torch.no_grad():
        faces = [_face(k % 7, k) for k in range(21)]
        logits = model(torch.from_numpy(model.preprocessor.batch(faces)))
        last.bias -= logits.mean(0)
        last.weight.mul_(3 / logits.std())
        last.bias.mul_(3 / logits.std())
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = _save(tmp_path_factory.mktemp("checkpoint") / "tiny")
    (folder / TRAINING_FILE).write_text(json.dumps({"stages": [], "calibration": {"temperature": 1.25}}))
    return folder


@pytest.fixture(scope="module")
def full(checkpoint, data, tmp_path_factory) -> SimpleNamespace:
    """The report with all options except those of test_robustness.py, and the written files."""
    out = tmp_path_factory.mktemp("full")
    where = [
        "--checkpoint",
        str(checkpoint),
        "--data",
        str(data),
        "--split",
        "validation",
        "--out",
        str(out / "new" / "report.json"),
        "--plots",
        str(out / "plots"),
    ]
    report = training.evaluate.main([*where, "--near", "--ten-crop", "--slice", "age"])
    return SimpleNamespace(report=report, json=out / "new" / "report.json", plots=out / "plots")


def test_a_report_agrees_with_manual_counts(full, checkpoint, splits):
    report = full.report
    assert json.loads(full.json.read_text()) == report
    faces, labels = splits["validation"]
    answers = [answer.label_id for [answer] in EmotionPredictor.from_pretrained(checkpoint).predict_batch(faces)]
    assert len(set(answers)) > 1
    matrix = [[0] * 7 for _ in range(7)]
    for true, guess in zip(labels, answers, strict=True):
        matrix[true][guess] += 1
    right = [matrix[k][k] for k in range(7)]
    f1 = [2 * right[k] / max(1, sum(matrix[k]) + sum(row[k] for row in matrix)) for k in range(7)]
    assert (report["n"], report["confusion_matrix"]) == (15, matrix)
    assert report["accuracy"] == pytest.approx(sum(right) / 15)
    assert report["macro_f1"] == pytest.approx(sum(f1) / 7)
    assert list(report["per_class"]) == list(FER2013.labels)
    for k, values in enumerate(report["per_class"].values()):
        assert values["support"] == sum(matrix[k])
        assert values["recall"] == pytest.approx(right[k] / sum(matrix[k]))
        assert values["precision"] == pytest.approx(right[k] / max(1, sum(row[k] for row in matrix)))
        assert values["f1"] == pytest.approx(f1[k])
    kept = [k for k in range(15) if k not in (3, 14)]  # one is in train, one in test
    assert report["without_copies"]["n"] == 13
    assert report["without_copies"]["accuracy"] == pytest.approx(sum(labels[k] == answers[k] for k in kept) / 13)
    near = [k for k in kept if k != 5]  # shifted in train
    assert (report["without_near_copies"]["n"], report["without_near_copies"]["near_copies"]) == (12, 1)
    assert report["without_near_copies"]["accuracy"] == pytest.approx(sum(labels[k] == answers[k] for k in near) / 12)
    assert report["sha256"] == hashlib.sha256((checkpoint / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert (report["split"], report["parameters"], report["labels"]) == ("validation", 1_572_551, list(FER2013.labels))


def test_a_report_has_the_optional_measurements(full, checkpoint, data, splits):
    report = full.report
    assert report["temperature"] == 1.25
    assert report["interval"]["accuracy"][0] <= report["accuracy"] <= report["interval"]["accuracy"][1]
    assert sum(b["n"] for b in report["reliability"]) == 15
    assert {k: v["n"] for k, v in report["slices"]["age"].items()} == {"old": 5, "young": 10}
    predictor = EmotionPredictor.from_pretrained(checkpoint)
    faces, labels = splits["validation"]
    assert report["ten_crop"]["share"] == 0.9
    assert report["ten_crop"]["accuracy"] == pytest.approx(
        (ten_crop_probs(predictor, faces).argmax(1) == labels).mean()
    )
    answers = face_probs(predictor, faces).argmax(1)
    assert (report["ferplus"]["n"], report["ferplus"]["accuracy"]) == (
        15,
        pytest.approx((answers == FER2013.index("happy")).mean()),
    )
    assert report["data"]["name"] == "faces"
    assert not {"robustness", "detected"} & set(report)


def test_the_page_and_drawings_are_written_only_on_request(full):
    assert [p.name for p in full.json.parent.iterdir()] == ["report.json"]
    assert sorted(p.name for p in full.plots.iterdir()) == ["confusion.svg", "reliability.svg", "report.md"]
    page = (full.plots / "report.md").read_text()
    for words in (
        "whole split | 15",
        "without exact copies in other splits | 13",
        "near copies in train",
        "ten crops",
        "FER+ majority",
        "temperature 1.250",
        "By age",
        "(few images)",
    ):
        assert words in page
    assert "![confusion](confusion.svg)" in page
    for path in full.plots.glob("*.svg"):
        text = path.read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "<dc:date>" not in text


def test_a_plain_report_has_no_optional_measurements(checkpoint, data, capsys, monkeypatch):
    monkeypatch.chdir(data.parent)
    before = sorted(data.parent.rglob("*"))
    report = training.evaluate.main(["--checkpoint", str(checkpoint), "--data", str(data)])
    assert not {"without_near_copies", "ten_crop", "slices", "robustness", "detected"} & set(report)
    assert sorted(data.parent.rglob("*")) == before
    assert f"{report['accuracy']:.2%}" in capsys.readouterr().out


@pytest.mark.parametrize(("near", "threshold"), [([], THRESHOLD), (["0.999"], 0.999)], ids=["bare", "value"])
def test_near_takes_a_correlation_and_defaults_to_the_usual_one(checkpoint, data, near, threshold):
    command = ["--checkpoint", str(checkpoint), "--data", str(data), "--split", "validation"]
    assert training.evaluate.main([*command, "--near", *near])["without_near_copies"]["threshold"] == threshold


def test_near_0_is_off_and_an_invalid_correlation_is_an_error(checkpoint, data):
    command = ["--checkpoint", str(checkpoint), "--data", str(data), "--split", "validation"]
    assert "without_near_copies" not in training.evaluate.main([*command, "--near", "0"])
    with pytest.raises(ConfigError, match=r"near=92\.0: give a correlation"):
        training.evaluate.main([*command, "--near", "92"])


@pytest.mark.parametrize("labels", [SIX_CLASS.labels, tuple(sorted(FER2013.labels))], ids=["six", "sorted"])
def test_a_checkpoint_with_other_labels_is_measured_by_label_name(data, splits, tmp_path, labels):
    _save(tmp_path, labels)
    report = training.evaluation.evaluate.evaluate(str(tmp_path), str(data), "validation")
    faces, ids = splits["validation"]
    own = LabelSet.of(labels)
    known = [i for i, k in enumerate(ids) if own.has(FER2013.labels[k])]
    answers = face_probs(EmotionPredictor.from_pretrained(tmp_path), [faces[i] for i in known]).argmax(1)
    assert (report["n"], report["labels"]) == (len(known), list(labels))
    assert report["accuracy"] == pytest.approx(
        np.mean([a == own.index(FER2013.labels[ids[i]]) for a, i in zip(answers, known, strict=True)])
    )
    assert report["data"].get("other_labels", {}) == ({"disgust": 2} if len(labels) == 6 else {})
