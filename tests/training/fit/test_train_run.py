"""Training runs on drawn faces: results, resuming, stopping, search, folds."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import training.cross_validate
import training.curves
import training.fit.callbacks
import training.fit.cross_validate
import training.fit.search
import training.fit.session
import training.package
import training.prepare
import training.search
import training.train
from emotion_hub.errors import CheckpointError, ConfigError, LeakError, MissingDependencyError
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models.classifier import EmotionClassifier
from tests.fakes.drawn_data import drawn_face
from tests.tolerances import assert_same_logits
from training.fit.precision import FloatConv2d
from training.fit.recipe import load_recipe
from training.fit.trainer import last_complete_state

pytestmark = pytest.mark.usefixtures("datasets_cache")

ROOT = Path(__file__).resolve().parents[3]

RECIPE = """
name = "tiny"
model = "emotion_cnn"
epochs = 2
batch_size = 8
lr = 0.02
ema_decay = 0.9
{more}
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


def _split(count: int, seed: int) -> tuple[list[Image.Image], list[int]]:
    labels = [i % 7 for i in range(count)]
    return [drawn_face(label, seed + i) for i, label in enumerate(labels)], labels


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """40, 14 and 14 faces, among them copies.

    train has a copy of one face of each evaluation split and two other copies; validation has a copy of a test
    face.
    """
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    train, validation, test = _split(40, 0), _split(14, 1000), _split(14, 2000)
    brighter = Image.fromarray((np.asarray(validation[0][6]) * 0.8 + 30).astype(np.uint8))
    for face, label in (
        (validation[0][3], validation[1][3]),  # a leak
        (test[0][5], test[1][5]),  # another
        (brighter, validation[1][6]),  # a near copy
        (train[0][0], train[1][0]),  # a surplus copy
        (train[0][1], 6),  # a copy with another label
        (Image.new("L", (48, 48), 90), 2),  # one flat colour
    ):
        train[0].append(face)
        train[1].append(label)
    validation[0].append(test[0][9])
    validation[1].append(test[1][9])
    folder = tmp_path_factory.mktemp("data") / "fer2013"
    folder.mkdir()
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=list(FER2013.labels))})
    for name, (faces, labels) in {"train": train, "validation": validation, "test": test}.items():
        Dataset.from_dict({"image": faces, "label": labels}, features=features).to_parquet(
            folder / f"{name}-00000-of-00001.parquet"
        )
    return folder


def _recipe(folder: Path, more: str = "", name: str = "tiny.toml", **replaced: str) -> Path:
    text = RECIPE.format(more=more)
    for old, new in replaced.items():
        line = next(row for row in text.splitlines() if row.startswith(f"{old} = "))
        text = text.replace(line, f"{old} = {new}")
    path = folder / name
    path.write_text(text)
    return path


def _train(recipe: Path, data: Path, out: Path, *more: str) -> dict[str, Any]:
    return training.train.main(["--recipe", str(recipe), "--data", str(data), "--out", str(out), *more])


def _history(out: Path) -> dict[str, Any]:
    return json.loads((out / "history.json").read_text())


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return _recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def run(recipe, data, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "tiny"
    _train(recipe, data, out)
    return out


def _weights(out: Path) -> dict[str, torch.Tensor]:
    """Network and averaged weights of the last state."""
    state = last_complete_state(out)
    ema = (
        {f"ema.{k}": v for k, v in torch.load(state / "ema.pt", weights_only=True).items()}
        if (state / "ema.pt").is_file()
        else {}
    )
    return load_file(state / "model.safetensors") | ema


def _same(a: Path, b: Path) -> bool:
    """Equal bit for bit with equal thread counts, else up to rounding errors.

    After eight steps in bfloat16, rounding errors are half as large as the effect of a lost random state.
    """
    one, two = _weights(a), _weights(b)
    optimizers = [torch.load(last_complete_state(p) / "optimizer.pt", weights_only=True)["state"] for p in (a, b)]
    momentum = [
        torch.equal(s["momentum_buffer"], optimizers[1][i]["momentum_buffer"]) for i, s in optimizers[0].items()
    ]
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items()) and all(momentum)


# files of a run


def test_a_run_records_recipe_history_and_machine(run):
    history = _history(run)
    assert [e["epoch"] for e in history["epochs"]] == [1, 2]
    for epoch in history["epochs"]:
        assert np.isfinite([epoch["loss"], epoch["val_loss"]]).all()
        assert 0 <= epoch["val_accuracy"] <= 1
        assert 0 <= epoch["val_macro_f1"] <= 1
        assert epoch["images_per_second"] > 0
        assert set(epoch["statistics"]) == {"features", "classifier"}
        assert all(part["weight_norm"] > 0 and part["grad_norm"] > 0 for part in epoch["statistics"].values())
    assert history["recipe"]["name"] == "tiny"
    assert {"device", "threads", "torch", "transformers", "accelerate", "dtype"} <= set(history["environment"])


def test_copies_near_copies_and_conflicting_groups_are_left_out_and_counted(run):
    facts = _history(run)["data"]
    assert len(facts.pop("fingerprint")) == 64
    counts = {
        "total": 46,
        "kept": 39,
        "copies_in_evaluation": 2,
        "near_copies_in_evaluation": 1,
        "conflicting": 2,
        "surplus_copies": 1,
        "constant": 1,
    }
    assert {k: facts[k] for k in counts} == counts
    assert facts["validation"] == 14


def test_the_best_weights_are_the_averaged_ones_of_the_best_epoch(run):
    scores = [e["val_accuracy"] for e in _history(run)["epochs"]]
    best, last = load_file(run / "best.safetensors"), _weights(run)
    assert all(torch.equal(best[k], last[f"ema.module.{k}"]) for k in best) == (scores[1] > scores[0])
    assert any(not torch.equal(last[k], last[f"ema.module.{k}"]) for k in best)
    assert int(last["ema.n_averaged"]) == 2 * (39 // 8)


def test_without_an_average_the_plain_weights_are_saved(data, tmp_path):
    _train(_recipe(tmp_path, ema_decay="0.0", epochs="1"), data, tmp_path / "run")
    best, last = load_file(tmp_path / "run" / "best.safetensors"), _weights(tmp_path / "run")
    assert all(torch.equal(best[k], last[k]) for k in best)


def test_a_run_learns(data, tmp_path):
    history = _train(_recipe(tmp_path, "select = 'macro_f1'", epochs="12"), data, tmp_path / "run")
    assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"] - 0.3
    assert max(e["val_macro_f1"] for e in history["epochs"]) > 0.6


def test_a_worse_epoch_does_not_replace_the_best_weights(recipe, data, tmp_path, monkeypatch):
    scores = iter([0.5, 0.5])  # an equal score does not replace the earlier epoch
    monkeypatch.setattr("training.fit.trainer.macro_f1", lambda *_, **__: next(scores))
    _train(_recipe(tmp_path, "select = 'macro_f1'"), data, tmp_path / "run")
    best, last = load_file(tmp_path / "run" / "best.safetensors"), _weights(tmp_path / "run")
    assert any(not torch.equal(best[k], last[f"ema.module.{k}"]) for k in best)


# the same weights again


def test_the_same_command_gives_the_same_weights_and_another_seed_others(run, recipe, data, tmp_path):
    torch.manual_seed(99)
    _train(recipe, data, tmp_path / "again")
    assert _same(run, tmp_path / "again")
    _train(_recipe(tmp_path, "seed = 1"), data, tmp_path / "other")
    assert not _same(run, tmp_path / "other")


EVERYTHING = """
mixup = 0.4
cutmix = 1.0
freeze_epochs = 1
backbone_lr = 0.01
class_weights = "inverse"
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", EVERYTHING], ids=["plain", "everything"])
def test_a_stopped_run_resumes_to_the_same_weights_bit_for_bit(data, tmp_path, capsys, more):
    recipe = _recipe(tmp_path, more)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    _train(recipe, data, whole)
    for stop in range(20):
        torch.manual_seed(stop)  # a new process would have another random state
        history = _train(recipe, data, pieces, *(["--stop-after", "0"] if stop < 6 else []))
        if len(history["epochs"]) == 2:
            break
    assert stop >= 5, "stopped within epochs too"
    assert "resuming after 0.25 epochs" in capsys.readouterr().out
    assert _same(whole, pieces)
    assert (pieces / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    one, two = ([(e["epoch"], e["val_accuracy"]) for e in _history(p)["epochs"]] for p in (whole, pieces))
    assert one == two
    one, two = ([(e["val_loss"], e["loss"]) for e in _history(p)["epochs"]] for p in (whole, pieces))
    assert_same_logits(one, two, "the mean over all parts of an epoch")
    before = (pieces / "best.safetensors").read_bytes()
    assert len(_train(recipe, data, pieces)["epochs"]) == 2
    assert (pieces / "best.safetensors").read_bytes() == before, "a finished run is not changed"


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(run, recipe, data, tmp_path):
    out = tmp_path / "killed"
    code = (
        "import os, sys, training.fit.callbacks as c, training.train as t\n"
        "def die(self, args, state, control, **kwargs):\n"
        "    if state.global_step == 6: os._exit(9)\n"
        "c.StatisticsCallback.on_step_end = die\n"
        "t.main(sys.argv[1:])\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "--recipe",
        str(recipe),
        "--data",
        str(data),
        "--out",
        str(out),
        "--threads",
        str(torch.get_num_threads()),
    ]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == 9, killed.stderr
    assert len(_history(out)["epochs"]) == 1
    _train(recipe, data, out)
    assert _same(run, out)


def test_a_run_that_began_before_a_setting_existed_is_resumed(run, recipe, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(run, out)
    start = json.loads((out / "start.json").read_text())
    for key in ("loss", "tau", "class_beta"):
        del start["recipe"][key]
    for key in ("jpeg", "jpeg_quality", "crop"):
        del start["recipe"]["augmentation"][key]
    (out / "start.json").write_text(json.dumps(start))
    assert len(_train(recipe, data, out)["epochs"]) == 2
    other = _recipe(tmp_path, 'loss = "logit_adjusted"')
    with pytest.raises(CheckpointError, match="another recipe"):
        _train(other, data, out)


def test_the_loss_and_the_degradations_of_a_recipe_change_its_weights(run, data, tmp_path):
    adjusted = _recipe(tmp_path, 'loss = "logit_adjusted"\nselect = "macro_f1"', epochs="1")
    _train(adjusted, data, tmp_path / "adjusted")
    degraded = _recipe(tmp_path, epochs="1")
    steps = (
        "occlude = 0.5\ngamma = 0.4\nlow_contrast = 0.5\nsmall = 0.5\njpeg = 0.5\ncrop = 1.0\njpeg_quality = [30, 60]\n"
    )
    degraded.write_text(degraded.read_text() + steps)
    _train(degraded, data, tmp_path / "degraded")
    plain = _recipe(tmp_path, epochs="1")
    _train(plain, data, tmp_path / "plain")
    weights = [load_file(tmp_path / name / "best.safetensors") for name in ("plain", "adjusted", "degraded")]
    assert all(torch.isfinite(tensor).all() for state in weights for tensor in state.values())
    for other in weights[1:]:
        assert any(not torch.equal(weights[0][key], other[key]) for key in other)
    assert _history(tmp_path / "degraded")["recipe"]["augmentation"]["jpeg_quality"] == [30, 60]


def test_a_run_is_not_resumed_with_another_recipe_or_other_data(run, recipe, data, tmp_path):
    before = (run / "history.json").read_bytes()
    with pytest.raises(CheckpointError, match="another recipe"):
        _train(_recipe(tmp_path, lr="0.03"), data, run)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in data.iterdir():
        if "validation" in path.name:
            from datasets import load_dataset

            load_dataset("parquet", data_files=str(path), split="train").select(range(7)).to_parquet(fewer / path.name)
        else:
            (fewer / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="other data"):
        _train(recipe, fewer, run)
    assert (run / "history.json").read_bytes() == before


@pytest.mark.parametrize("without", ["start.json", "state"])
def test_results_without_a_state_are_not_overwritten(run, recipe, data, tmp_path, without):
    out = tmp_path / "out"
    shutil.copytree(run, out)
    if without == "state":  # deleted to save space
        shutil.rmtree(out / "state")
    else:  # an average of runs
        for name in ("start.json", "state"):
            shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    before = (out / "best.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"out holds history\.json and best\.safetensors and no state"):
        _train(recipe, data, out)
    assert (out / "best.safetensors").read_bytes() == before


def test_a_run_killed_before_its_first_state_restarts_with_the_same_recipe_only(run, recipe, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("checkpoint-*"))
    history = _history(out)
    (out / "history.json").write_text(json.dumps({**history, "epochs": history["epochs"][:1], "finished": False}))
    with pytest.raises(CheckpointError, match="another recipe"):
        _train(_recipe(tmp_path, lr="0.03"), data, out)
    assert len(_train(recipe, data, out)["epochs"]) == 2
    assert _same(run, out)


# stages and stops


def _spy(monkeypatch, look: Callable[[Any, Any], Any]) -> list[Any]:
    """The values of `look(state, model)` after every step."""
    import training.fit.callbacks as callbacks

    seen: list[Any] = []
    monkeypatch.setattr(
        callbacks.StatisticsCallback,
        "on_step_end",
        lambda self, args, state, control, model, **_: seen.append(look(state, model)),
        raising=False,
    )
    return seen


def test_frozen_parameters_change_only_after_stage_one(data, tmp_path, monkeypatch):
    seen = _spy(monkeypatch, lambda _, model: {k: v.clone() for k, v in model.state_dict().items()})
    _train(_recipe(tmp_path, "freeze_epochs = 1"), data, tmp_path / "run")
    steps = 39 // 8
    assert len(seen) == 2 * steps
    backbone = [k for k in seen[0] if k.startswith("features") and "num_batches" not in k]
    for key in backbone:
        assert torch.equal(seen[0][key], seen[steps - 1][key]), f"{key} changed while frozen"
    assert all(not torch.equal(seen[steps - 1][k], seen[-1][k]) for k in backbone if k.endswith("weight"))
    assert not torch.equal(seen[0]["classifier.1.weight"], seen[steps - 1]["classifier.1.weight"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains them in bfloat16")
@pytest.mark.parametrize(("dtype", "wide"), [("bfloat16", 4), ("float32", 0)])
def test_on_a_cpu_strided_depthwise_layers_train_in_float32(data, tmp_path, monkeypatch, dtype, wide):
    seen = _spy(monkeypatch, lambda _, model: sum(isinstance(layer, FloatConv2d) for layer in model.modules()))
    colour = {
        "model": '"mobilenetv2_224"',
        "epochs": "1",
        "channels": "3",
        "mean": "[0.5, 0.5, 0.5]",
        "std": "[0.5, 0.5, 0.5]",
    }
    _train(_recipe(tmp_path, f'dtype = "{dtype}"', **colour), data, tmp_path / "run")
    assert set(seen) == {wide}


def test_gradients_are_clipped_to_the_norm_of_the_recipe(data, tmp_path, monkeypatch):
    norms: list[float] = []

    def look(self: Any, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        norms.append(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().item())

    import training.fit.callbacks as callbacks

    monkeypatch.setattr(callbacks.StatisticsCallback, "on_pre_optimizer_step", look)
    _train(_recipe(tmp_path, "clip_norm = 0.5", epochs="1"), data, tmp_path / "clipped")
    assert norms == pytest.approx([0.5] * len(norms), rel=1e-3)
    norms.clear()
    _train(_recipe(tmp_path, "clip_norm = 0.0", epochs="1"), data, tmp_path / "free")
    assert max(norms) > 1


def test_a_run_ends_after_patience_epochs_without_a_gain_in_macro_f1(data, tmp_path, monkeypatch):
    scores = iter([0.30, 0.50, 0.505, 0.508, 0.9])
    monkeypatch.setattr("training.fit.trainer.macro_f1", lambda *_, **__: next(scores))
    more = "select = 'macro_f1'\npatience = 2\nmin_gain = 0.01"
    history = _train(_recipe(tmp_path, more, epochs="5"), data, tmp_path / "run")
    assert [e["val_macro_f1"] for e in history["epochs"]] == [0.30, 0.50, 0.505, 0.508]
    again = _train(_recipe(tmp_path, more, epochs="5"), data, tmp_path / "run")
    assert again["epochs"] == history["epochs"], "a run that ended early is finished"


def test_patience_is_counted_across_a_resume(data, tmp_path, monkeypatch):
    scores = iter([0.30, 0.50, 0.505, 0.508, 0.9])
    monkeypatch.setattr("training.fit.trainer.macro_f1", lambda *_, **__: next(scores))
    recipe = _recipe(tmp_path, "select = 'macro_f1'\npatience = 2\nmin_gain = 0.01", epochs="5")
    monkeypatch.setattr(training.fit.callbacks.TimeLimitCallback, "on_step_end", _stop_in_the_fourth_epoch)
    first = _train(recipe, data, tmp_path / "run", "--stop-after", "1e9")
    assert len(first["epochs"]) == 3
    monkeypatch.undo()
    monkeypatch.setattr("training.fit.trainer.macro_f1", lambda *_, **__: next(scores))
    assert [e["val_macro_f1"] for e in _train(recipe, data, tmp_path / "run")["epochs"]] == [0.30, 0.50, 0.505, 0.508]


def _stop_in_the_fourth_epoch(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
    if state.global_step == 3 * (39 // 8) + 1:
        self.reached = control.should_save = control.should_training_stop = True


@pytest.mark.parametrize(
    ("step", "last"), [(0.0, 0.002), (-0.1, 0.002), (0.1, 0.02)], ids=["level", "falling", "rising"]
)
def test_the_learning_rate_falls_on_a_plateau(data, tmp_path, monkeypatch, step, last):
    scores = iter([0.5 + step * epoch for epoch in range(5)])
    monkeypatch.setattr("training.fit.trainer.macro_f1", lambda *_, **__: next(scores))
    rates = _spy(monkeypatch, lambda state, _: None)
    history = _train(
        _recipe(tmp_path, "select = 'macro_f1'\nschedule = 'plateau'\ngamma = 0.1", epochs="5"), data, tmp_path / "run"
    )
    assert rates
    assert history["epochs"][0]["lr"] == pytest.approx(0.02)
    assert history["epochs"][-1]["lr"] == pytest.approx(last)


def test_the_face_size_grows_over_the_epochs(data, tmp_path, monkeypatch):
    sides: list[int] = []
    forward = torch.nn.AdaptiveAvgPool2d.forward

    def watch(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        sides.append(x.shape[-1])
        return forward(self, x)

    monkeypatch.setattr(torch.nn.AdaptiveAvgPool2d, "forward", watch)
    _train(_recipe(tmp_path, "sizes = [[0, 32], [0.5, 48]]", model='"enhanced_cnn48"'), data, tmp_path / "run")
    assert sorted(set(sides)) == [2, 3]
    assert sides[2:].index(3) >= 39 // 8


def test_a_side_that_the_network_does_not_accept_is_an_error(data, tmp_path):
    with pytest.raises(ConfigError, match="emotion_cnn does not accept faces of 32 pixels"):
        _train(_recipe(tmp_path, "sizes = [[0, 32], [0.5, 48]]"), data, tmp_path / "run")


def test_a_leak_fails_the_run(recipe, data, tmp_path, monkeypatch):
    def careless(train: Any, *evaluation: Any, **kwargs: Any) -> Any:
        from training.data.selection import SplitReport

        return np.arange(len(train)), SplitReport(len(train), len(train), 0, 0, 0, 0)

    monkeypatch.setattr(training.fit.session, "clean_training_indices", careless)
    with pytest.raises(LeakError, match="2"):
        _train(recipe, data, tmp_path / "run")
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_batch_larger_than_the_training_split_is_an_error(data, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size=64.*39 training images"):
        _train(_recipe(tmp_path, batch_size="64"), data, tmp_path / "run")


# starts


@pytest.mark.parametrize("init", ["checkpoint", "torchvision-mobilenetv2"])
def test_missing_starting_weights_are_an_error(data, tmp_path, init):
    with pytest.raises(ConfigError, match=f"'tiny' starts from '{init}'.*--init"):
        _train(_recipe(tmp_path, f'init = "{init}"'), data, tmp_path / "run")


def test_starting_weights_without_use_in_the_recipe_are_rejected(run, recipe, data, tmp_path):
    with pytest.raises(ConfigError, match=r"'tiny' starts from random weights.*--init"):
        _train(recipe, data, tmp_path / "run", "--init", str(run / "best.safetensors"))


def test_a_run_starts_from_the_weights_of_an_earlier_one(run, data, tmp_path):
    path = _recipe(tmp_path, 'init = "checkpoint"', epochs="1", lr="1e-12")
    _train(path, data, tmp_path / "run", "--init", str(run / "best.safetensors"))
    ours, theirs = load_file(tmp_path / "run" / "best.safetensors"), load_file(run / "best.safetensors")
    for name in ("features.0.weight", "classifier.4.bias"):
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=0)


def test_a_run_learns_from_a_teacher_and_records_it(run, data, tmp_path):
    from training.fit.recipe import Recipe

    teacher = EmotionClassifier(Recipe.from_dict(_history(run)["recipe"]).classifier)
    teacher.save_pretrained(tmp_path / "teacher")
    history = _train(
        _recipe(tmp_path, "distill = 0.5", epochs="1"), data, tmp_path / "run", "--teacher", str(tmp_path / "teacher")
    )
    digest = hashlib.sha256((tmp_path / "teacher" / "model.safetensors").read_bytes()).hexdigest()
    assert history["teachers"] == [{"name": "teacher", "sha256": digest}]
    with pytest.raises(CheckpointError, match="trained with other teachers"):
        _train(_recipe(tmp_path, "distill = 0.5", epochs="1"), data, tmp_path / "run", "--teacher", "native48")


# label sets, prepared folders


def test_six_classes_are_trained_on_seven_class_data_and_packaged(data, tmp_path):
    history = _train(_recipe(tmp_path, 'label_set = "six_class"', epochs="1"), data, tmp_path / "run")
    assert history["data"]["total"] == 46 - 6, "faces with disgust are left out"
    folder = training.package.main(["--run", str(tmp_path / "run"), "--out", str(tmp_path / "checkpoint")])
    model = EmotionClassifier.from_pretrained(folder)
    assert model.labels == SIX_CLASS
    assert model(torch.zeros(1, 1, 48, 48)).shape == (1, 6)


def test_class_folders_are_prepared_and_trained_on(tmp_path):
    faces, labels = _split(7 * 20 + 6, 0)  # 21 of most labels, 20 of the last
    for number, (face, label) in enumerate(zip(faces, labels, strict=True)):
        folder = tmp_path / "faces" / FER2013.labels[label]
        folder.mkdir(parents=True, exist_ok=True)
        face.save(folder / f"{number}.png")
    training.prepare.main(["--data", str(tmp_path / "faces"), "--out", str(tmp_path / "prepared"), "--balance", "max"])
    history = _train(_recipe(tmp_path, epochs="1"), tmp_path / "prepared", tmp_path / "run")
    assert history["data"]["copies_in_evaluation"] == history["data"]["near_copies_in_evaluation"] == 0
    assert history["data"]["total"] > 0.65 * len(faces)


# curves, searches, folds, processes


def test_the_curves_of_runs_are_drawn(run, tmp_path):
    path = training.curves.main(["--run", str(run), "--run", str(run), "--out", str(tmp_path / "new" / "curves.svg")])
    text = path.read_text()
    assert all(
        title in text for title in ("validation accuracy", "learning rate", "gradient norms", "tiny, validation")
    )
    again = training.curves.main(["--run", str(run), "--run", str(run), "--out", str(tmp_path / "again.svg")])
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(CheckpointError, match=r"no history\.json"):
        training.curves.main(["--run", str(tmp_path), "--out", str(tmp_path / "none.svg")])


def test_curves_and_weights_go_to_tensorboard(recipe, data, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "curves"))
    _train(recipe, data, tmp_path / "run", "--log", "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "curves")).Reload()
    assert {"train/loss", "eval/accuracy", "eval/macro_f1"} <= set(events.Tags()["scalars"])
    assert {"weights/features", "weights/classifier"} <= set(events.Tags()["histograms"])


def test_copies_and_near_copies_stay_in_one_fold(recipe, data):
    from training.data.faces import FaceSplit
    from training.fit.recipe import load_recipe
    from training.fit.session import RunData

    faces, labels = _split(28, 0)
    twins = [face.copy() for face in faces[:7]] + [
        face.point(lambda level: int(level * 0.7 + 20)) for face in faces[7:14]
    ]
    hashes = [f"face{i}" for i in range(28)] + [f"face{i}" for i in range(7)] + [f"twin{i}" for i in range(7)]
    split = FaceSplit("train", faces + twins, np.asarray(labels + labels[:14]), hashes)
    whole = RunData(split, np.arange(42), split, np.arange(0), {})
    folds = training.fit.cross_validate.folds_of(whole, 4, load_recipe(recipe).seed)
    home = {int(i): number for number, fold in enumerate(folds) for i in fold.validation_indices}
    assert sorted(home) == list(range(42))
    assert [home[28 + i] for i in range(14)] == [home[i] for i in range(14)]
    for fold in folds:
        assert sorted([*fold.train_indices, *fold.validation_indices]) == list(range(42))
    with pytest.raises(ConfigError, match="folds=1"):
        training.fit.cross_validate.folds_of(whole, 1, 0)


def test_a_missing_logger_is_an_error_with_the_pip_command(recipe, data, tmp_path, monkeypatch):
    monkeypatch.setattr(training.train, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install trackio"):
        _train(recipe, data, tmp_path / "run", "--log", "trackio")


@pytest.mark.slow
def test_each_fold_trains_on_the_others(data, tmp_path):
    summary = training.cross_validate.main(
        [
            "--recipe",
            str(_recipe(tmp_path, epochs="1")),
            "--data",
            str(data),
            "--out",
            str(tmp_path / "cv"),
            "--folds",
            "3",
        ]
    )
    assert json.loads((tmp_path / "cv" / "summary.json").read_text()) == summary
    assert sum(fold["validation"] for fold in summary["folds"]) == 39
    assert all(fold["train"] == 39 - fold["validation"] and 10 <= fold["validation"] <= 16 for fold in summary["folds"])
    scores = [fold["accuracy"] for fold in summary["folds"]]
    assert summary["accuracy"] == {"mean": pytest.approx(np.mean(scores)), "sd": pytest.approx(np.std(scores, ddof=1))}


def test_a_search_samples_its_space_and_stores_every_trial(data, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(
        '[lr]\nlow = 0.001\nhigh = 0.1\nlog = true\n[optimizer]\nchoices = ["sgd", '
        '"adamw"]\n["augmentation.rotate"]\nlow = 0.0\nhigh = 20.0\n'
    )
    command = [
        "--recipe",
        str(_recipe(tmp_path, epochs="1")),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "search"),
        "--space",
        str(space),
        "--trials",
        "2",
    ]
    found = training.search.main(command)
    assert len(found["trials"]) == 2
    for trial in found["trials"]:
        assert 0.001 <= trial["params"]["lr"] <= 0.1
        assert trial["params"]["optimizer"] in ("sgd", "adamw")
        recipe = _history(tmp_path / "search" / f"trial{trial['number']}")["recipe"]
        assert recipe["lr"] == trial["params"]["lr"]
        assert recipe["augmentation"]["rotate"] == trial["params"]["augmentation.rotate"]
    assert found["best"]["value"] == max(trial["value"] for trial in found["trials"])
    again = training.search.main(command)
    assert again["trials"] == found["trials"], "a finished search is not repeated"


def _search(folder: Path, data: Path, space: str, trials: int, more: str = "", *flags: str) -> dict[str, Any]:
    (folder / "space.toml").write_text(space)
    recipe = _recipe(folder, more, epochs="1")
    command = [
        "--recipe",
        str(recipe),
        "--data",
        str(data),
        "--out",
        str(folder / "search"),
        "--space",
        str(folder / "space.toml"),
        "--trials",
        str(trials),
    ]
    return training.search.main([*command, *flags])


RATES = "[lr]\nlow = 0.001\nhigh = 0.1\n"


@pytest.mark.slow
def test_a_continued_search_tries_other_values(data, tmp_path):
    first = _search(tmp_path, data, RATES, 2)
    second = _search(tmp_path, data, RATES, 4)
    assert second["trials"][:2] == first["trials"]
    assert len({trial["params"]["lr"] for trial in second["trials"]}) == 4


def test_a_killed_trial_is_resumed_in_its_folder(data, tmp_path):
    (tmp_path / "search").mkdir()
    space = tomllib.loads(RATES)
    cut = []
    for _ in range(2):  # the second attempt is killed too
        trial = training.fit.search.open_study(tmp_path / "search", load_recipe(_recipe(tmp_path))).ask()
        cut.append((training.fit.search.suggest(trial, space), training.fit.search.folder_of(trial)))
    assert cut[0] == cut[1]
    [trial] = _search(tmp_path, data, RATES, 1)["trials"]
    assert (trial["params"], trial["folder"]) == cut[0]
    assert _history(tmp_path / "search" / trial["folder"])["recipe"]["lr"] == trial["params"]["lr"]
    assert len(_search(tmp_path, data, RATES, 1)["trials"]) == 1


def test_a_search_learns_from_a_teacher(data, tmp_path):
    [trial] = _search(tmp_path, data, RATES, 1, "distill = 0.5", "--teacher", "native48")["trials"]
    assert _history(tmp_path / "search" / trial["folder"])["teachers"][0]["name"] == "native48"


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("[lr", r"space\.toml is not a search space"),
        ("", r"space\.toml is empty"),
        ("lr = 0.1", "space of 'lr' is 0.1; give low and high"),
        ("[lr]\nlow = 0.1\n", "space of 'lr' is .*; give low and high"),
        ("[lr]\nlow = 0.1\nhigh = 0.01\n", "space of 'lr' is .*low"),
        ('[lr]\nlow = "a"\nhigh = "b"\n', "space of 'lr'"),
        ("[lr]\nchoices = []\n", "space of 'lr'"),
    ],
)
def test_an_invalid_search_space_is_an_error_before_data_is_read(tmp_path, space, words):
    with pytest.raises(ConfigError, match=words):
        _search(tmp_path, tmp_path / "nowhere", space, 1)


def test_a_missing_space_and_zero_trials_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="--trials 0: a search needs at least 1"):
        _search(tmp_path, tmp_path / "nowhere", RATES, 0)
    with pytest.raises(ConfigError, match=r"no search space at .*gone\.toml"):
        _search(tmp_path, tmp_path / "nowhere", RATES, 1, "", "--space", str(tmp_path / "gone.toml"))


def test_an_unknown_key_in_a_search_space_is_an_error(data, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text("[speed]\nlow = 1\nhigh = 2\n")
    with pytest.raises(ConfigError, match="speed"):
        training.search.main(
            [
                "--recipe",
                str(_recipe(tmp_path)),
                "--data",
                str(data),
                "--out",
                str(tmp_path / "s"),
                "--space",
                str(space),
                "--trials",
                "1",
            ]
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_run_with_averaged_weights_resumes_on_the_gpu(recipe, data, tmp_path):
    while len(_train(recipe, data, tmp_path / "run", "--stop-after", "0")["epochs"]) < 1:
        pass
    history = _train(recipe, data, tmp_path / "run")
    assert [e["epoch"] for e in history["epochs"]] == [1, 2]
    assert history["environment"]["device"] == torch.cuda.get_device_name()
    best = load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.isfinite(tensor.float()).all() for tensor in best.values())


@pytest.mark.slow
def test_two_processes_train_one_network(recipe, data, tmp_path):
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    out = tmp_path / "two"
    command += [
        "-m",
        "training.train",
        "--recipe",
        str(recipe),
        "--data",
        str(data),
        "--out",
        str(out),
        "--threads",
        "1",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history = _history(out)
    assert history["environment"]["processes"] == 2
    assert len(history["epochs"]) == 2
    assert (out / "best.safetensors").is_file()
