"""Averaged weights, renewed batch-norm statistics, rejected inputs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import training.average
import training.fit.average
import training.train
from emotion_hub.errors import InputError
from emotion_hub.labels import SIX_CLASS
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from tests.fakes.drawn_data import RECIPE, drawn_folder
from tests.tolerances import LOGITS
from training.fit.average import average_weights, renew_statistics
from training.fit.run_folder import BEST_FILE, load_outcome
from training.publishing.card_training import training_text
from training.publishing.package import package


def _random(seed: int) -> EmotionClassifier:
    torch.manual_seed(seed)
    return EmotionClassifier("emotion_cnn").eval()


def test_weights_are_averaged_with_their_shares():
    a, b = _random(0), _random(1)
    mean = average_weights([a, b], [0.25, 0.75])
    for name, tensor in mean.network.state_dict().items():
        x, y = (model.network.state_dict()[name] for model in (a, b))
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * x + 0.75 * y)
        else:
            assert torch.equal(tensor, x)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([], "at least one run"),
        ([0.9], "sum to 1"),
        ([0.5, 0.6], "sum to 1"),
        ([1.5, -0.5], "shares of at least 0"),
        ([0.5, 0.3, 0.2], "3 weights"),
    ],
)
def test_invalid_shares_are_rejected(shares, words):
    models = [_random(i) for i in range(min(2, len(shares)))]
    with pytest.raises(InputError, match=words):
        average_weights(models, shares)


def test_only_equal_networks_are_averaged():
    other = EmotionClassifier(ClassifierConfig("emotion_cnn", SIX_CLASS.labels))
    with pytest.raises(InputError, match="give runs with equal configurations"):
        average_weights([_random(0), other], [0.5, 0.5])
    steadier = EmotionClassifier(ClassifierConfig("emotion_cnn", options={"dropout": 0.1}))
    assert average_weights([steadier, _random(0)], [0.5, 0.5]).config == steadier.config, "dropout has no weights"


def test_batch_norm_statistics_are_those_of_the_images():
    model = _random(0)
    pixels = np.random.default_rng(0).normal(0.3, 0.7, (512, 1, 48, 48)).astype(np.float32)
    renew_statistics(model, pixels)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.from_numpy(pixels))
    hook.remove()
    torch.testing.assert_close(first.running_mean, seen[0].mean((0, 2, 3)), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(first.running_var, seen[0].var((0, 2, 3)), atol=1e-3, rtol=1e-2)
    assert first.momentum == 0.1
    assert not model.training
    assert not any(layer.training for layer in model.modules())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, datasets_cache: None) -> Path:
    """A data set and two runs on it."""
    root = tmp_path_factory.mktemp("average")
    drawn_folder(root / "data")
    for seed, name in enumerate(("one", "two")):
        (root / f"{name}.toml").write_text(RECIPE.format(name=name, seed=seed))
        training.train.main(
            ["--recipe", str(root / f"{name}.toml"), "--data", str(root / "data"), "--out", str(root / name)]
        )
    return root


@pytest.mark.slow
def test_the_mean_is_a_run_whose_history_names_its_parts(drawn: Path, tmp_path: Path) -> None:
    command = [
        "--run",
        str(drawn / "one"),
        "--run",
        str(drawn / "two"),
        "--weight",
        "0.4",
        "--weight",
        "0.6",
        "--data",
        str(drawn / "data"),
    ]
    history = training.average.main([*command, "--out", str(tmp_path / "mean")])
    sums = [hashlib.sha256((drawn / name / BEST_FILE).read_bytes()).hexdigest() for name in ("one", "two")]
    assert history["average"]["of"] == [
        {"name": n, "weight": w, "sha256": s} for n, w, s in zip(("one", "two"), (0.4, 0.6), sums, strict=True)
    ]
    read, model = load_outcome(tmp_path / "mean")
    assert read == json.loads(json.dumps(history))
    parts = [load_outcome(drawn / name)[1].network.state_dict() for name in ("one", "two")]
    key = next(
        name for name, value in model.network.state_dict().items() if name.endswith("weight") and value.ndim == 4
    )
    torch.testing.assert_close(model.network.state_dict()[key], 0.4 * parts[0][key] + 0.6 * parts[1][key])
    training.average.main([*command, "--out", str(tmp_path / "again")])
    again = load_outcome(tmp_path / "again")[1].network.state_dict()
    for name, tensor in model.network.state_dict().items():
        torch.testing.assert_close(
            again[name], tensor, **LOGITS
        )  # the statistics of batch norms come from forward passes
    made = package(tmp_path / "mean", tmp_path / "made", [drawn / "one", drawn / "two"], drawn / "data")
    assert (
        "`mean`: the mean of weights, 40% of `one`, 60% of `two`, made by `training.average`, with batch-norm "
        "statistics of 35 training images" in training_text(made)
    )


def test_a_single_run_keeps_its_weights_and_gets_new_statistics(drawn: Path, tmp_path: Path) -> None:
    training.average.main(
        [f"--run={drawn / 'one'}", "--weight=1", f"--data={drawn / 'data'}", f"--out={tmp_path / 'alone'}"]
    )
    before, after = (load_outcome(run)[1].network.state_dict() for run in (drawn / "one", tmp_path / "alone"))
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert not any(torch.equal(before[name], after[name]) for name in statistics)
    assert all(
        torch.equal(before[name], after[name])
        for name in before
        if name not in statistics and not name.endswith("num_batches_tracked")
    )
    made = package(tmp_path / "alone", tmp_path / "made", [drawn / "one"], drawn / "data")
    assert (
        "`alone`: the weights of `one`, made by `training.average`, with batch-norm statistics of 35 training images"
        in training_text(made)
    )


def _mean(drawn: Path, data: Path, out: Path) -> dict:
    return training.average.main(
        [
            *(f"--run={drawn / name}" for name in ("one", "two")),
            "--weight=0.5",
            "--weight=0.5",
            f"--data={data}",
            f"--out={out}",
        ]
    )


def test_statistics_come_from_images_without_copies_in_other_splits(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(shutil.copytree(drawn / "data", tmp_path / "data"))
    leaks = [Image.open(data / split / "happy" / "0.png") for split in ("validation", "test")]
    leaks[0].save(data / "train" / "happy" / "exact.png")
    leaks[1].point(lambda level: level * 3 // 4 + 20).save(data / "train" / "happy" / "near.png")
    seen = []
    monkeypatch.setattr(
        training.fit.average,
        "renew_statistics",
        lambda model, pixels: seen.append(pixels) or renew_statistics(model, pixels),
    )
    history = _mean(drawn, data, tmp_path / "mean")
    assert history["average"]["statistics"] == len(seen[0]) == 35, (
        "the 37 training images except two that another split has"
    )
    _mean(drawn, drawn / "data", tmp_path / "clean")
    assert {face.tobytes() for face in seen[0]} == {face.tobytes() for face in seen[1]}


def test_data_without_all_three_splits_is_rejected(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "data" / "train", tmp_path / "data" / "train")
    with pytest.raises(InputError, match=r"no split 'validation' in .* it has train"):
        _mean(drawn, tmp_path / "data", tmp_path / "mean")
