"""Training techniques, each on its own."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import EvalPrediction, TrainerControl, TrainingArguments

from emotion_hub.errors import ConfigError
from emotion_hub.labels import FER2013
from emotion_hub.models import create_model
from emotion_hub.preprocess import NATIVE48, UPSCALE224, Preprocessor
from training.augmentation.strengths import Augmentation
from training.data.batches import PlaneDataset
from training.data.faces import FaceSplit
from training.data.files import write_atomically
from training.fit.callbacks import (
    DONE_FILE,
    EmaCallback,
    EpochCallback,
    StatisticsCallback,
    TimeLimitCallback,
    UnfreezeCallback,
)
from training.fit.optim import build_optimizer, rate_factor
from training.fit.recipe import Recipe
from training.fit.record import RecordCallback
from training.fit.targets import soft_targets, teacher_probs
from training.fit.trainer import FaceTrainer, arguments, last_complete_state, measures, mixers


def _recipe(**changes: Any) -> Recipe:
    return Recipe(
        **{
            "name": "tiny",
            "model": "emotion_cnn",
            "preprocess": NATIVE48,
            "epochs": 10,
            "lr": 0.1,
            "batch_size": 8,
            **changes,
        }
    )


class Fixed(nn.Module):
    """Logits that do not depend on the picture: their gradient is softmax minus target."""

    def __init__(self, count: int, classes: int = 7) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(count, classes, generator=torch.Generator().manual_seed(0)))
        self.seen: torch.Tensor | None = None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen = pixels
        return self.logits


def _loss_of(
    recipe: Recipe,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    train: bool = True,
    weights: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None,
) -> tuple[Fixed, torch.Tensor]:
    """The network after one loss, and the targets the loss used, recovered from its gradient."""
    model = Fixed(len(pixels)).train(train)
    stand_in = SimpleNamespace(recipe=recipe, class_weights=weights, offsets=offsets, mixers=mixers(recipe))
    loss = FaceTrainer.compute_loss(stand_in, model, {"pixel_values": pixels, "labels": labels})
    loss.backward()
    return model, torch.softmax(model.logits.detach(), 1) - len(pixels) * model.logits.grad


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.rand(6, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    return pixels, torch.eye(7)[[0, 1, 2, 3, 4, 5]]


# the loss


def test_hard_targets_pass_unchanged(batch):
    model, targets = _loss_of(_recipe(label_smoothing=0.0), *batch)
    torch.testing.assert_close(targets, batch[1], atol=1e-5, rtol=0)
    assert torch.equal(model.seen, batch[0])


def test_label_smoothing_spreads_its_share_over_all_classes(batch):
    _, targets = _loss_of(_recipe(label_smoothing=0.14), *batch)
    torch.testing.assert_close(targets, batch[1] * 0.86 + 0.02, atol=1e-5, rtol=0)


def test_mixup_mixes_pixels_and_targets_by_the_same_share(batch):
    torch.manual_seed(0)
    model, targets = _loss_of(_recipe(label_smoothing=0.0, mixup=5.0), *batch)
    share = targets[0, 0]
    assert 0.01 < share < 0.99
    torch.testing.assert_close(targets, share * batch[1] + (1 - share) * batch[1].roll(1, 0), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.seen, share * batch[0] + (1 - share) * batch[0].roll(1, 0), atol=1e-5, rtol=0)


def test_cutmix_pastes_a_box_and_mixes_targets_by_its_area(batch):
    torch.manual_seed(0)
    model, targets = _loss_of(_recipe(label_smoothing=0.0, cutmix=1.0), *batch)
    pasted = (model.seen == batch[0].roll(1, 0)) & (model.seen != batch[0])
    kept = model.seen == batch[0]
    assert (pasted | kept).all()
    share = pasted[0, 0].float().mean()
    assert 0.02 < share < 0.98
    rows, cols = pasted[0, 0].any(1).sum(), pasted[0, 0].any(0).sum()
    assert pasted[0, 0].sum() == rows * cols, "one box"
    torch.testing.assert_close(targets, (1 - share) * batch[1] + share * batch[1].roll(1, 0), atol=1e-5, rtol=0)


def test_with_both_mixers_a_batch_gets_the_one_or_the_other(batch):
    recipe, kinds = _recipe(label_smoothing=0.0, mixup=0.4, cutmix=1.0), set()
    torch.manual_seed(0)
    for _ in range(12):
        model, _targets = _loss_of(recipe, *batch)
        kinds.add(bool(((model.seen == batch[0]) | (model.seen == batch[0].roll(1, 0))).all()))
    assert kinds == {True, False}


def test_evaluation_uses_no_mixing_smoothing_weights_or_offsets(batch):
    recipe, numbers = _recipe(label_smoothing=0.2, mixup=0.4), torch.arange(1.0, 8.0)
    model, targets = _loss_of(recipe, batch[0], torch.arange(6), train=False, weights=numbers, offsets=numbers)
    torch.testing.assert_close(targets, batch[1], atol=1e-5, rtol=0)
    assert torch.equal(model.seen, batch[0])


def test_class_weights_scale_the_loss_of_each_image(batch):
    weights = torch.tensor([1.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    plain, _ = _loss_of(_recipe(label_smoothing=0.0), *batch)
    weighed, _ = _loss_of(_recipe(label_smoothing=0.0), *batch, weights=weights)
    torch.testing.assert_close(
        weighed.logits.grad, plain.logits.grad * torch.tensor([1.0, 5.0, 1.0, 1.0, 1.0, 1.0])[:, None]
    )


def test_offsets_are_added_to_the_logits_of_the_loss_and_not_to_those_returned(batch):
    offsets = torch.linspace(-3, 0, 7)
    model, _ = _loss_of(_recipe(label_smoothing=0.0), *batch, offsets=offsets)
    shifted = torch.softmax(model.logits.detach() + offsets, 1)
    torch.testing.assert_close(6 * model.logits.grad, shifted - batch[1], atol=1e-5, rtol=0)
    stand_in = SimpleNamespace(recipe=_recipe(), class_weights=None, offsets=offsets, mixers=[])
    inputs = {"pixel_values": batch[0], "labels": batch[1]}
    _, outputs = FaceTrainer.compute_loss(stand_in, model, inputs, return_outputs=True)
    assert torch.equal(outputs["logits"], model.logits)


# targets


def _split(count: int = 7, votes: np.ndarray | None = None) -> FaceSplit:
    faces = [Image.fromarray(np.full((48, 48), 20 * i, np.uint8)) for i in range(count)]
    return FaceSplit("train", faces, np.arange(count) % 7, [str(i) for i in range(count)], votes=votes)


def test_votes_are_mixed_in_by_their_share_and_labels_replace_missing_votes():
    votes = np.zeros((2, 10), dtype=np.float32)
    votes[0, [4, 3, 9]] = 6, 2, 2  # anger, sadness, not a face
    votes[1, 8] = 10  # unknown
    targets = soft_targets(_split(2, votes), np.array([0, 1]), _recipe(ferplus=0.4))
    np.testing.assert_allclose(targets[0], [0.6 + 0.4 * 0.75, 0, 0, 0, 0.4 * 0.25, 0, 0], atol=1e-6)
    np.testing.assert_allclose(targets[1], np.eye(7)[1], atol=1e-6)


def test_teachers_are_mixed_in_by_their_share():
    taught = np.full((2, 7), 1 / 7, dtype=np.float32)
    targets = soft_targets(_split(2), np.array([0, 1]), _recipe(distill=0.7), taught)
    np.testing.assert_allclose(targets, 0.3 * np.eye(7)[:2] + 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"), [({"ferplus": 0.5}, "no ferplus_votes column"), ({"distill": 0.5}, "--teacher")]
)
def test_missing_votes_and_teachers_are_errors(changes, words):
    with pytest.raises(ConfigError, match=words):
        soft_targets(_split(), np.arange(7), _recipe(**changes))


class Teacher:
    name, labels = "teacher", FER2013
    preprocessor = Preprocessor(NATIVE48)

    class backend:  # noqa: N801
        @staticmethod
        def logits(batch: np.ndarray) -> np.ndarray:
            """Asymmetric: the mirrored view answers something else."""
            logits = np.zeros((len(batch), 7), dtype=np.float32)
            logits[:, 0] = batch[:, 0, :, 0].mean(axis=1)
            return logits


def test_teacher_probabilities_average_face_and_mirror_image():
    face = Image.fromarray(np.tile(np.linspace(0, 255, 48, dtype=np.uint8), (48, 1)))
    split = FaceSplit("train", [face], np.array([0]), ["x"])
    probs = teacher_probs([Teacher(), Teacher()], split, np.array([0]))
    levels = Preprocessor(NATIVE48)(face)[0, 0, [0, -1]]
    ends = [np.exp(v) / (np.exp(v) + 6) for v in levels]
    assert probs[0, 0] == pytest.approx(np.mean(ends), abs=1e-5)
    assert probs.sum() == pytest.approx(1)


def test_a_teacher_with_other_labels_is_rejected():
    teacher = Teacher()
    teacher.labels = SimpleNamespace(labels=("a", "b"))
    with pytest.raises(ConfigError, match=r"teacher teacher has the labels \('a', 'b'\)"):
        teacher_probs([teacher], _split(), np.arange(7))


# optimiser and rates


def test_head_and_backbone_have_their_own_rates_and_only_matrices_decay():
    model = create_model("emotion_cnn")
    optimizer = build_optimizer(model, _recipe(lr=0.1, backbone_lr=0.01, weight_decay=0.3))
    of = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    assert len(of) == len(list(model.parameters()))
    for name, p in model.named_parameters():
        assert of[id(p)]["lr"] == (0.1 if name.startswith("classifier") else 0.01), name
        assert of[id(p)]["weight_decay"] == (0.3 if p.ndim > 1 else 0.0), name
    everything = build_optimizer(model, _recipe(weight_decay=0.3, decay_all=True))
    assert {g["weight_decay"] for g in everything.param_groups} == {0.3}
    assert {g["lr"] for g in everything.param_groups} == {0.1}


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_that_of_the_recipe(name, kind):
    optimizer = build_optimizer(create_model("emotion_cnn"), _recipe(optimizer=name))
    assert type(optimizer) is kind
    if name == "sgd":
        assert all(g["nesterov"] and g["momentum"] == 0.9 for g in optimizer.param_groups)


def test_the_cosine_warms_up_to_the_peak_and_falls_to_zero():
    factors = [rate_factor(step, 100, 10, _recipe(warmup_epochs=1)) for step in range(101)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert rate_factor(0, 100, 10, _recipe(warmup_epochs=0)) == 1
    assert rate_factor(0, 1, 1, _recipe(warmup_epochs=1)) == 1


def test_step_schedule_halves_every_eight_epochs_and_constant_stays():
    step = _recipe(schedule="step", step_epochs=8, gamma=0.5, warmup_epochs=0)
    assert [rate_factor(10 * epoch, 250, 10, step) for epoch in (0, 7, 8, 15, 16, 24)] == [1, 1, 0.5, 0.5, 0.25, 0.125]
    assert {rate_factor(s, 250, 10, _recipe(schedule="constant", warmup_epochs=0)) for s in range(250)} == {1.0}


# averaged weights


def test_the_average_follows_the_network_and_is_not_the_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = EmaCallback(model, 0.9)
    ema.on_step_end(None, None, None, model=model)  # the first update copies
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[0].weight.add_(1)
        model[1].running_mean.fill_(5)
        model[1].num_batches_tracked.fill_(7)
    raw = copy.deepcopy(model.state_dict())
    ema.on_step_end(None, None, None, model=model)
    average = ema.module.state_dict()
    decay = (1 + 1) / (10 + 1)  # early steps have more weight
    torch.testing.assert_close(average["0.weight"], decay * before["0.weight"] + (1 - decay) * raw["0.weight"])
    torch.testing.assert_close(average["1.running_mean"], torch.full((2,), (1 - decay) * 5))
    assert average["1.num_batches_tracked"] == 7
    assert not torch.equal(average["0.weight"], raw["0.weight"])
    assert all(torch.equal(model.state_dict()[k], raw[k]) for k in raw)
    assert not ema.module.training
    for _ in range(300):
        ema.on_step_end(None, None, None, model=model)
    torch.testing.assert_close(ema.module.state_dict()["0.weight"], raw["0.weight"])


def test_a_late_step_moves_the_average_by_one_minus_the_decay():
    model = nn.Linear(1, 1, bias=False)
    ema = EmaCallback(model, 0.9)
    for _ in range(200):
        ema.on_step_end(None, None, None, model=model)
    before = ema.module.weight.item()
    with torch.no_grad():
        model.weight.add_(1.0)
    ema.on_step_end(None, None, None, model=model)
    assert ema.module.weight.item() - before == pytest.approx(0.1, abs=1e-5)


def test_the_average_is_resumed_from_its_state(tmp_path):
    model = nn.Linear(3, 2)
    ema = EmaCallback(model, 0.9)
    for _ in range(5):
        with torch.no_grad():
            model.weight.mul_(1.1)
        ema.on_step_end(None, None, None, model=model)
    ema.save(tmp_path)
    other = EmaCallback(nn.Linear(3, 2), 0.9)
    other.load(tmp_path)
    for average in (ema, other):
        average.on_step_end(None, None, None, model=model)
    assert torch.equal(ema.module.weight, other.module.weight)


def test_the_average_moves_to_the_trainers_device(tmp_path, monkeypatch):
    model, recipe = nn.Linear(3, 2), _recipe()
    args, ema = arguments(recipe, tmp_path), EmaCallback(model, 0.9)
    monkeypatch.setattr(TrainingArguments, "device", torch.device("meta"))
    FaceTrainer(recipe, 1, None, ema, model=model, args=args, eval_dataset=[])
    assert {t.device.type for t in (*model.parameters(), *ema.average.state_dict().values())} == {"meta"}


# the record


def _recorded(monkeypatch: pytest.MonkeyPatch, out: Path, *, clock: list[float]) -> RecordCallback:
    monkeypatch.setattr("training.fit.record.time", SimpleNamespace(monotonic=lambda: clock[0]))
    return RecordCallback(out, {"epochs": []}, "accuracy", lambda: nn.Linear(1, 1), StatisticsCallback(4))


def test_an_interrupted_epoch_is_recorded_with_all_its_parts(tmp_path, monkeypatch):
    args, clock, model = SimpleNamespace(train_batch_size=8, world_size=1, num_train_epochs=2), [100.0], nn.Linear(1, 1)
    metrics = {"eval_loss": 1.0, "eval_accuracy": 0.5, "eval_macro_f1": 0.5}

    def at(step: int) -> SimpleNamespace:
        return SimpleNamespace(global_step=step, epoch=step / 4, is_world_process_zero=True)

    for begin, end, seconds, loss in (
        (0, 1, 2.0, 4.0),
        (1, 3, 3.0, 1.0),
        (3, 4, 5.0, 2.0),
    ):  # each in its own process
        record = _recorded(monkeypatch, tmp_path, clock=clock)
        record.load(tmp_path)
        record.on_epoch_begin(args, at(begin), None)
        clock[0] += seconds
        record.on_log(args, at(end), None, logs={"loss": loss, "learning_rate": 0.1})
        record.save(tmp_path)
    record.on_epoch_end(args, at(4), None)
    record.on_evaluate(args, at(4), None, metrics=metrics, model=model)
    record.on_epoch_begin(args, at(4), None)  # nothing is carried over
    clock[0] += 4.0
    record.on_epoch_end(args, at(8), None)
    record.on_log(args, at(8), None, logs={"loss": 0.3})
    record.on_evaluate(args, at(8), None, metrics=metrics, model=model)
    rows = record.history["epochs"]
    assert [(row["seconds"], row["images_per_second"]) for row in rows] == [(10.0, 3.2), (4.0, 8.0)]
    assert rows[0]["loss"] == pytest.approx((4.0 + 2 * 1.0 + 2.0) / 4)
    assert rows[1]["loss"] == 0.3, "an uninterrupted epoch is recorded exactly"


# stages, statistics, limits


def test_the_backbone_is_frozen_in_the_first_epochs_only():
    model, callback = create_model("emotion_cnn"), UnfreezeCallback(3)
    for epoch, frozen in ((None, True), (1.0, True), (2.5, True), (3.0, False), (4.0, False)):
        callback.on_epoch_begin(None, SimpleNamespace(epoch=epoch), None, model=model)
        assert all(p.requires_grad != frozen for p in model.features.parameters())
        assert all(p.requires_grad for p in model.classifier.parameters())


def test_statistics_are_those_of_the_weights_and_of_the_last_gradients_of_the_epoch():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    callback = StatisticsCallback(steps_per_epoch=2)
    for step, scale in enumerate((1.0, 5.0)):
        for p in model.parameters():
            p.grad = torch.full_like(p, scale)
        callback.on_pre_optimizer_step(None, SimpleNamespace(global_step=step), None, model=model)
    found = callback.of(model, 1)
    assert list(found) == ["0", "1"]
    assert found["0"]["grad_norm"] == pytest.approx(5 * 15**0.5, rel=1e-4)
    assert found["0"]["weight_norm"] == pytest.approx(model[0].weight.norm().item(), rel=1e-3)
    assert found["1"]["weight_std"] == pytest.approx(model[1].weight.std().item(), rel=1e-3)


def test_the_time_limit_saves_stops_and_skips_evaluation_of_an_unfinished_epoch():
    control = TrainerControl()
    limit = TimeLimitCallback(0)
    limit.on_step_end(SimpleNamespace(device="cpu"), SimpleNamespace(global_step=3, max_steps=8), control)
    assert control.should_save
    assert control.should_log, "the loss so far"
    assert control.should_training_stop
    control.should_evaluate = control.should_log = True
    limit.on_epoch_end(None, SimpleNamespace(epoch=0.75), control)
    assert [control.should_evaluate, control.should_log, control.should_save] == [False] * 3
    finished = TrainerControl(should_evaluate=True)
    limit.on_epoch_end(None, SimpleNamespace(epoch=1.0), finished)
    assert finished.should_evaluate, "a complete epoch is measured"
    late = TrainerControl()
    for seconds in (1e9, None):
        TimeLimitCallback(seconds).on_step_end(
            SimpleNamespace(device="cpu"), SimpleNamespace(global_step=3, max_steps=8), late
        )
    assert not late.should_training_stop


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def broken(part: str) -> None:
        Path(part).write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, broken)
    assert path.read_text() == "old"
    write_atomically(path, lambda part: Path(part).write_text("new"))
    assert path.read_text() == "new"


def test_an_incomplete_state_is_skipped(tmp_path):
    for step, whole in ((4, True), (8, True), (12, False)):
        folder = tmp_path / "state" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / DONE_FILE).touch()
    assert last_complete_state(tmp_path).name == "checkpoint-8"
    assert last_complete_state(tmp_path / "elsewhere") is None


# arguments for transformers


def test_the_training_arguments_have_the_recipes_settings(tmp_path):
    recipe = _recipe(clip_norm=1.0, dtype="bfloat16", select="macro_f1", seed=5)
    args = arguments(recipe, tmp_path)
    assert (args.max_grad_norm, args.bf16, args.fp16, args.seed, args.data_seed) == (1.0, True, False, 5, 5)
    assert (args.metric_for_best_model, args.greater_is_better, args.num_train_epochs, args.train_batch_size) == (
        "macro_f1",
        True,
        10,
        8,
    )
    assert not arguments(_recipe(dtype="float32"), tmp_path).bf16


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_float16_without_a_gpu_is_an_error_that_names_bfloat16(tmp_path):
    with pytest.raises(ConfigError, match=r"float16.*needs a GPU; use 'bfloat16'"):
        arguments(_recipe(dtype="float16"), tmp_path)


def test_measures_of_hand_made_predictions():
    logits = np.array([[2.0, 1, 0], [0, 3, 1], [0, 2, 1], [0, 1, 2]])
    found = measures(EvalPrediction(predictions=logits, label_ids=np.array([0, 1, 2, 2])))
    assert found == {"accuracy": 0.75, "macro_f1": pytest.approx((1 + 2 / 3 + 2 / 3) / 3)}


def test_a_class_without_images_and_predictions_has_f1_0():
    logits = np.array([[2.0, 1, 0], [0, 3, 1]])
    assert measures(EvalPrediction(predictions=logits, label_ids=np.array([0, 1]))) == {
        "accuracy": 1.0,
        "macro_f1": pytest.approx(2 / 3),
    }


# the batches


def _planes(count: int = 12, side: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


HOW = Augmentation(flip=0.5, rotate=10, noise=0.2, clahe=0.5)


def test_without_augmentation_a_batch_equals_serving_preprocessing():
    planes = _planes()
    batch = PlaneDataset(planes, np.arange(12), Preprocessor(NATIVE48)).__getitems__([3, 5])
    expected = np.stack([Preprocessor(NATIVE48)(Image.fromarray(planes[i])) for i in (3, 5)])
    assert np.array_equal(batch["pixel_values"].numpy(), expected)
    assert batch["labels"].tolist() == [3, 5]


def test_the_random_numbers_of_a_batch_depend_on_seed_epoch_and_images():
    def batch(seed: int = 0, epoch: int = 0, indices: tuple[int, ...] = (1, 2, 3)) -> torch.Tensor:
        data = PlaneDataset(_planes(), np.arange(12), Preprocessor(NATIVE48), HOW, seed=seed)
        data.set_epoch(epoch)
        data.__getitems__([7, 8])  # earlier random numbers have no influence
        return data.__getitems__(list(indices))["pixel_values"]

    torch.manual_seed(1)
    first = batch()
    torch.manual_seed(2)
    assert torch.equal(first, batch())
    assert not torch.equal(first, batch(seed=1))
    assert not torch.equal(first, batch(epoch=1))
    assert not torch.equal(first, batch(indices=(2, 1, 3))[[1, 0, 2]])


def test_loader_workers_give_the_same_batches_and_see_the_epoch_change():
    data = PlaneDataset(_planes(), np.arange(12), Preprocessor(NATIVE48), HOW)

    def read(workers: int) -> list[torch.Tensor]:
        loader = torch.utils.data.DataLoader(
            data, 4, num_workers=workers, persistent_workers=workers > 0, collate_fn=PlaneDataset.collate
        )
        found = []
        for epoch in range(2):
            data.set_epoch(epoch)
            found += [batch["pixel_values"] for batch in loader]
        return found

    alone, shared = read(0), read(1)
    assert len(alone) == 6
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], alone[3])


def test_the_side_follows_the_epochs():
    recipe = _recipe(sizes=[[0, 24], [0.5, 48]], epochs=4)
    sides = [recipe.side_at(epoch) for epoch in range(4)]
    assert sides == [24, 24, 48, 48]
    data = PlaneDataset(_planes(), np.arange(12), Preprocessor(NATIVE48), Augmentation(flip=0.5), sides)
    for epoch, side in enumerate(sides):
        EpochCallback(data).on_epoch_begin(None, SimpleNamespace(epoch=float(epoch)), None)
        assert data.__getitems__([0, 1])["pixel_values"].shape == (2, 1, side, side)
    EpochCallback(data).on_epoch_begin(None, SimpleNamespace(epoch=1.75), None)
    assert data.__getitems__([0])["pixel_values"].shape[-1] == 24, "a run resumed within epoch two continues it"


def test_three_channels_of_a_gray_plane_stay_equal():
    preprocessor = Preprocessor(UPSCALE224)
    data = PlaneDataset(
        _planes(2, 224),
        np.arange(2),
        preprocessor,
        Augmentation(rotate=10, noise=0.2, erase=1.0, sharpness=0.5, fill=128),
    )
    pixels = data.__getitems__([0, 1])["pixel_values"]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocessor.config.mean, preprocessor.config.std))
    gray = pixels * std + mean
    spread = (gray - gray.mean(1, keepdim=True)).abs()
    assert spread.median() < 0.02, "noise is the same in each channel, in its normalised units"
