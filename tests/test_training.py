"""Training, packaging and measuring end to end, on a data set of drawn faces."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import training.evaluate
import training.package
import training.train
from emotion_hub.checkpoints import CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, ConfigError, InputError
from emotion_hub.labels import FER2013, REPORT6
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from training.data import load_split
from training.train import Ema, batches, learning_rate

RECIPE = """
name = "tiny"
model = "emotion_cnn"
epochs = 2
batch_size = 8
lr = 0.02
ema_decay = 0.9
[options]
dropout = 0.4
[preprocess]
name = "native48"
size = 48
channels = 1
mean = [0.5]
std = [0.5]
[augmentation]
flip = 0.5
rotate = 10.0
brightness = 0.1
"""


def _face(label: int, seed: int) -> Image.Image:
    """Gray, 48x48: the label is where a bright bar lies."""
    pixels = np.random.default_rng(seed).integers(0, 120, (48, 48), dtype=np.uint8)
    pixels[4 + 6 * label : 8 + 6 * label, 8:40] = 230
    return Image.fromarray(pixels)


def _split(count: int, seed: int) -> tuple[list[Image.Image], list[int]]:
    labels = [i % 7 for i in range(count)]
    return [_face(label, seed + i) for i, label in enumerate(labels)], labels


def _write(folder: Path, splits: dict[str, tuple[list[Image.Image], list[int]]], names: tuple[str, ...] = FER2013.labels) -> Path:
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    folder.mkdir(parents=True)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=list(names))})
    for split, (faces, labels) in splits.items():
        Dataset.from_dict({"image": faces, "label": labels}, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module", autouse=True)
def datasets_cache(tmp_path_factory):
    """`datasets` copies what it reads to its cache: here to a folder of the test."""
    import datasets

    patch = pytest.MonkeyPatch()
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()
    patch.undo()


@pytest.fixture(scope="module")
def splits() -> dict[str, tuple[list[Image.Image], list[int]]]:
    """40, 14 and 14 faces, and copies: one of each evaluation split and two others in train, one of test in validation."""
    train, validation, test = _split(40, 0), _split(14, 1000), _split(14, 2000)
    for face, label in (
        (validation[0][3], validation[1][3]),  # a leak
        (test[0][5], test[1][5]),  # another
        (train[0][0], train[1][0]),  # a surplus copy
        (train[0][1], 6),  # a copy with another label
        (Image.new("L", (48, 48), 90), 2),  # no face at all
    ):
        train[0].append(face)
        train[1].append(label)
    validation[0].append(test[0][9])
    validation[1].append(test[1][9])
    return {"train": train, "validation": validation, "test": test}


@pytest.fixture(scope="module")
def data(tmp_path_factory, splits) -> Path:
    return _write(tmp_path_factory.mktemp("data") / "fer2013", splits)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


def _train(recipe: Path, data: Path, out: Path, *more: str) -> dict:
    return training.train.main(["--recipe", str(recipe), "--data", str(data), "--out", str(out), *more])


@pytest.fixture(scope="module")
def run(recipe, data, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "tiny"
    _train(recipe, data, out)
    return out


@pytest.fixture(scope="module")
def checkpoint(run, tmp_path_factory) -> Path:
    return training.package.main(["--run", str(run), "--out", str(tmp_path_factory.mktemp("checkpoint") / "tiny")])


# the data


def test_a_split_is_read_as_it_was_written(data, splits):
    for name, (faces, labels) in splits.items():
        split = load_split(data, name)
        assert (split.name, len(split)) == (name, len(faces))
        assert split.labels.tolist() == labels
        assert [f.tobytes() for f in split.faces] == [f.tobytes() for f in faces]


def test_labels_in_another_order_are_refused(tmp_path):
    folder = _write(tmp_path / "sorted", {"train": _split(7, 0)}, tuple(sorted(FER2013.labels)))
    with pytest.raises(InputError, match=r"'angry', 'disgust', 'fear', 'happy', 'neutral'.*expected.*'surprise', 'neutral'"):
        load_split(folder, "train")


@pytest.mark.parametrize("name", ["valid", "all", ""])
def test_an_unknown_split_lists_the_known(data, name):
    with pytest.raises(InputError, match="train, validation, test"):
        load_split(data, name)


# the parts


def test_the_learning_rate_warms_up_to_the_peak_and_falls_to_zero():
    factors = [learning_rate(step, 100, 10) for step in range(101)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert learning_rate(0, 100, 0) == 1
    assert learning_rate(0, 1, 1) == 1


def test_the_average_follows_the_network_and_is_not_the_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ema = Ema(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(1)
        model[1].running_mean.fill_(5)
        model[1].num_batches_tracked.fill_(7)
    raw = {k: v.clone() for k, v in model.state_dict().items()}
    ema.update(model)
    average = ema.module.state_dict()
    first = 1 / 11  # early steps weigh more
    torch.testing.assert_close(average["0.weight"], first * before["0.weight"] + (1 - first) * raw["0.weight"])
    torch.testing.assert_close(average["1.running_mean"], torch.full((2,), (1 - first) * 5))
    assert average["1.num_batches_tracked"] == 7
    assert not torch.equal(average["0.weight"], raw["0.weight"])
    assert all(torch.equal(model.state_dict()[k], raw[k]) for k in raw)
    assert not ema.module.training
    for _ in range(300):
        ema.update(model)
    torch.testing.assert_close(ema.module.state_dict()["0.weight"], raw["0.weight"])


def test_batches_are_whole_shuffled_and_repeatable():
    planes, labels = np.arange(21, dtype=np.uint8).reshape(21, 1, 1), np.arange(21)
    once, again = (list(batches(planes, labels, 8, torch.Generator().manual_seed(3))) for _ in range(2))
    assert [len(target) for _, target in once] == [8, 8]
    seen = torch.cat([target for _, target in once])
    assert len(set(seen.tolist())) == 16
    assert seen.tolist() != sorted(seen.tolist())
    for (chunk, target), (_, other) in zip(once, again, strict=True):
        assert chunk.ravel().tolist() == target.tolist() == other.tolist()


# a run


def test_a_run_keeps_its_history_its_state_and_its_best_weights(run):
    history = json.loads((run / "history.json").read_text())
    assert sorted(p.name for p in run.iterdir()) == ["best.safetensors", "history.json", "last.pt"]
    assert [e["epoch"] for e in history["epochs"]] == [1, 2]
    assert all(np.isfinite(e["loss"]) and 0 <= e["val_accuracy"] <= 1 and e["seconds"] >= 0 for e in history["epochs"])
    assert history["recipe"]["name"] == "tiny"


def test_copies_of_evaluation_images_are_left_out_of_training_and_counted(run):
    history = json.loads((run / "history.json").read_text())
    assert history["data"] == {
        "total": 45,
        "kept": 39,
        "copies_in_evaluation": 2,
        "conflicting": 2,
        "surplus_copies": 1,
        "constant": 1,
        "validation": 14,
    }


def test_the_best_weights_are_the_average_of_the_best_epoch_and_not_the_raw_ones(run):
    history = json.loads((run / "history.json").read_text())
    scores = [e["val_accuracy"] for e in history["epochs"]]
    state = torch.load(run / "last.pt", weights_only=True)
    best = load_file(run / "best.safetensors")
    is_last = scores[1] > scores[0]
    assert all(torch.equal(best[k], v) for k, v in state["ema"].items()) == is_last
    assert any(not torch.equal(state["model"][k], v) for k, v in state["ema"].items())
    assert state["ema_steps"] == 2 * (39 // 8)


@pytest.mark.parametrize("stops", [False, True], ids=["through", "resumed"])
def test_a_worse_epoch_does_not_replace_the_best_weights(recipe, data, tmp_path, monkeypatch, stops):
    scores = iter([0.5, 0.5])  # as good is not better: the earlier epoch stays
    monkeypatch.setattr(training.train, "accuracy", lambda *_: next(scores))
    _train(recipe, data, tmp_path / "run", *(["--stop-after", "0"] if stops else []))
    if stops:
        first = (tmp_path / "run" / "best.safetensors").read_bytes()
        _train(recipe, data, tmp_path / "run")
        assert (tmp_path / "run" / "best.safetensors").read_bytes() == first
    state, best = torch.load(tmp_path / "run" / "last.pt", weights_only=True), load_file(tmp_path / "run" / "best.safetensors")
    assert len(json.loads(state["history"])["epochs"]) == 2
    assert any(not torch.equal(best[k], v) for k, v in state["ema"].items())


def _same_state(a: Path, b: Path) -> bool:
    one, two = (torch.load(p / "last.pt", weights_only=True) for p in (a, b))
    keys = [torch.equal(one[part][k], two[part][k]) for part in ("model", "ema") for k in one[part]]
    momentum = [torch.equal(s["momentum_buffer"], two["optimizer"]["state"][i]["momentum_buffer"]) for i, s in one["optimizer"]["state"].items()]
    return all(keys) and all(momentum) and torch.equal(one["generator"], two["generator"])


def test_a_stopped_run_goes_on_to_the_same_weights_bit_for_bit(run, recipe, data, tmp_path, capsys):
    out = tmp_path / "stopped"
    assert len(_train(recipe, data, out, "--stop-after", "0")["epochs"]) == 1
    assert not _same_state(run, out)
    torch.manual_seed(99)  # another process would not start where this one stopped
    assert len(_train(recipe, data, out)["epochs"]) == 2
    assert "resuming after epoch 1" in capsys.readouterr().out
    assert _same_state(run, out)
    assert (out / "best.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()
    one, two = (json.loads((p / "history.json").read_text())["epochs"] for p in (run, out))
    assert [(e["loss"], e["val_accuracy"]) for e in one] == [(e["loss"], e["val_accuracy"]) for e in two]
    before = (out / "last.pt").read_bytes()
    assert len(_train(recipe, data, out)["epochs"]) == 2
    assert (out / "last.pt").read_bytes() == before, "a finished run is left alone"


def _other(recipe: Path, folder: Path, old: str, new: str) -> Path:
    assert old in RECIPE
    path = folder / "other.toml"
    path.write_text(RECIPE.replace(old, new))
    return path


def test_another_recipe_does_not_continue_a_run(run, recipe, data, tmp_path):
    before = (run / "last.pt").read_bytes()
    with pytest.raises(CheckpointError, match="another recipe"):
        _train(_other(recipe, tmp_path, "lr = 0.02", "lr = 0.03"), data, run)
    assert (run / "last.pt").read_bytes() == before


def test_the_seed_decides_the_weights(run, recipe, data, tmp_path):
    _train(_other(recipe, tmp_path, "epochs = 2", "epochs = 2\nseed = 1"), data, tmp_path / "run")
    assert not _same_state(run, tmp_path / "run")


@pytest.mark.parametrize("init", ["checkpoint", "torchvision-mobilenetv2"])
def test_missing_starting_weights_are_named(recipe, data, tmp_path, init):
    with pytest.raises(ConfigError, match=f"'tiny' starts from '{init}'.*--init"):
        _train(_other(recipe, tmp_path, "epochs = 2", f'epochs = 2\ninit = "{init}"'), data, tmp_path / "run")


def test_starting_weights_that_the_recipe_does_not_want_are_refused(run, recipe, data, tmp_path):
    with pytest.raises(ConfigError, match=r"'tiny' starts from random weights.*--init"):
        _train(recipe, data, tmp_path / "run", "--init", str(run / "best.safetensors"))


def test_a_run_starts_from_the_weights_of_an_earlier_one(run, recipe, data, tmp_path):
    path = _other(recipe, tmp_path, "epochs = 2\nbatch_size = 8\nlr = 0.02", 'epochs = 1\nbatch_size = 8\nlr = 1e-12\ninit = "checkpoint"')
    _train(path, data, tmp_path / "run", "--init", str(run / "best.safetensors"))
    ours, theirs = load_file(tmp_path / "run" / "best.safetensors"), load_file(run / "best.safetensors")
    for name in ("features.0.weight", "classifier.4.bias"):
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=0)


def test_a_batch_larger_than_the_training_split_is_named(recipe, data, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size=64.*39 training images"):
        _train(_other(recipe, tmp_path, "batch_size = 8", "batch_size = 64"), data, tmp_path / "run")


# packaging


def test_a_checkpoint_holds_the_best_weights_in_half_precision(run, checkpoint):
    best, packed = load_file(run / "best.safetensors"), load_file(checkpoint / WEIGHTS_FILE)
    assert list(packed) == list(best)
    for name, tensor in best.items():
        assert torch.equal(packed[name], tensor.half() if tensor.is_floating_point() else tensor)
    model = EmotionClassifier.from_pretrained(checkpoint)
    assert model.config.options == {"dropout": 0.4}
    assert model.labels == FER2013


def test_a_checkpoint_carries_its_history_and_that_of_earlier_runs(run, checkpoint, tmp_path):
    history = json.loads((run / "history.json").read_text())
    assert json.loads((checkpoint / TRAINING_FILE).read_text()) == {"stages": [history]}
    training.package.main(["--run", str(run), "--earlier", str(run), "--out", str(tmp_path)])
    assert json.loads((tmp_path / TRAINING_FILE).read_text()) == {"stages": [history, history]}


def test_a_run_without_a_finished_epoch_is_not_packaged(tmp_path):
    with pytest.raises(CheckpointError, match="no finished epoch"):
        training.package.main(["--run", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_file_over_the_limit_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(training.package, "LIMIT", 1_000_000)
    with pytest.raises(CheckpointError, match=r"of 3\.0 MB; .* at most"):
        training.package.main(["--run", str(run), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists(), "a refused file must not stay"


def test_packaging_again_drops_the_report_of_the_weights_before(run, tmp_path):
    (tmp_path / "report.json").write_text("{}")
    training.package.main(["--run", str(run), "--out", str(tmp_path)])
    assert not (tmp_path / "report.json").exists()


# measuring


def test_a_report_agrees_with_counting_by_hand(checkpoint, data, splits, tmp_path, capsys):
    path = tmp_path / "new" / "report.json"
    report = training.evaluate.main(["--checkpoint", str(checkpoint), "--data", str(data), "--split", "validation", "--out", str(path)])
    assert json.loads(path.read_text()) == report
    faces, labels = splits["validation"]
    answers = [answer.label_id for [answer] in EmotionPredictor.from_pretrained(checkpoint).predict_batch(faces)]
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
    kept = [k for k in range(15) if k not in (3, 14)]  # one stands in train, one in test
    assert report["without_copies"]["n"] == 13
    assert report["without_copies"]["accuracy"] == pytest.approx(sum(labels[k] == answers[k] for k in kept) / 13)
    assert report["sha256"] == hashlib.sha256((checkpoint / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert (report["split"], report["parameters"], report["labels"]) == ("validation", 1_572_551, list(FER2013.labels))
    assert f"accuracy {report['accuracy']:.4f}" in capsys.readouterr().out


def test_scores_of_a_hand_made_answer():
    probs = np.eye(3)[[0, 0, 1, 2, 1]] * 0.7 + 0.1
    values = training.evaluate.scores(np.array([0, 1, 1, 2, 2]), probs, ("a", "b", "c"))
    assert values["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert (values["n"], values["accuracy"]) == (5, pytest.approx(0.6))
    assert values["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert values["per_class"]["b"] == {"precision": pytest.approx(0.5), "recall": pytest.approx(0.5), "f1": pytest.approx(0.5), "support": 2}
    assert values["log_loss"] == pytest.approx(-(3 * np.log(0.8) + 2 * np.log(0.1)) / 5)


@pytest.mark.parametrize("labels", [REPORT6.labels, tuple(sorted(FER2013.labels))], ids=["six", "sorted"])
def test_a_checkpoint_with_other_labels_than_the_data_is_not_measured(data, tmp_path, labels):
    EmotionClassifier(ClassifierConfig("emotion_cnn", labels)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"'angry', .*labels.*label_id"):
        training.evaluate.main(["--checkpoint", str(tmp_path), "--data", str(data)])
    assert (tmp_path / CONFIG_FILE).is_file()
