"""Augmentation of batches, selection of training images, recipes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import training.data.selection
from emotion_hub.errors import ConfigError, InputError, LeakError
from emotion_hub.labels import FER2013, FERPLUS_VOTES, SIX_CLASS
from emotion_hub.models import list_models
from emotion_hub.preprocess import NATIVE48, UPSCALE224, Preprocessor
from training.augmentation.augment import augment_tensor
from training.augmentation.strengths import Augmentation
from training.data.duplicates import find_near_copies, find_near_pairs, group_copies
from training.data.faces import FaceSplit, join_splits, load_split, pixel_hashes, prepare_planes, vote_distribution
from training.data.selection import check_no_leak, clean_training_indices, shared_indices
from training.fit.recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parents[3]
RUNS = sorted((ROOT / "training" / "runs").glob("*.toml"))
STEPS = {"flip": 0.5, "rotate": 20.0, "shift": 0.1, "scale": 0.2, "brightness": 0.3, "contrast": 0.3, "erase": 1.0}


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(count: int = 6, channels: int = 1, side: int = 24) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=_seeded(7)) * 2 - 1


# augment_tensor


def test_zero_strengths_return_the_same_tensor():
    batch = _batch()
    before = batch.clone()
    generator = _seeded()
    state = generator.get_state()
    assert augment_tensor(batch, Augmentation(), generator) is batch
    assert torch.equal(batch, before)
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("step", "strength"), STEPS.items(), ids=STEPS)
def test_each_step_alone_changes_the_batch_and_keeps_its_shape_and_the_original(step, strength, channels):
    batch = _batch(channels=channels)
    before = batch.clone()
    out = augment_tensor(batch, Augmentation(**{step: strength}), _seeded())
    assert (out.shape, out.dtype) == (batch.shape, torch.float32)
    assert torch.isfinite(out).all()
    assert (out - batch).abs().max() > 0.05
    assert torch.equal(batch, before)


@pytest.mark.parametrize(("step", "strength"), STEPS.items(), ids=STEPS)
def test_images_of_one_batch_are_augmented_independently(step, strength):
    batch = _batch(1).expand(8, -1, -1, -1).clone()
    out = augment_tensor(batch, Augmentation(**{step: strength}), _seeded())
    assert len({image.numpy().tobytes() for image in out}) > 1


def test_a_flip_with_probability_1_equals_torch_flip():
    batch = _batch(channels=3)
    torch.testing.assert_close(
        augment_tensor(batch, Augmentation(flip=1.0), _seeded()), torch.flip(batch, dims=[3]), atol=1e-5, rtol=0
    )


def test_a_flip_with_probability_one_half_gives_images_or_mirror_images():
    batch = _batch(64)
    out = augment_tensor(batch, Augmentation(flip=0.5), _seeded())
    same = (out - batch).abs().amax(dim=(1, 2, 3)) < 1e-5
    mirrored = (out - torch.flip(batch, dims=[3])).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert (same ^ mirrored).all()
    assert 16 < int(mirrored.sum()) < 48


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    how = Augmentation(**STEPS)
    first, again, other = (augment_tensor(_batch(), how, _seeded(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_erasing_sets_one_box_to_the_mean_of_the_image():
    batch = _batch(16, side=48)
    out = augment_tensor(batch, Augmentation(erase=1.0, erase_area=(0.05, 0.1)), _seeded())
    for before, after in zip(batch[:, 0], out[:, 0], strict=True):
        changed = before != after
        rows, cols = changed.any(dim=1).nonzero().flatten(), changed.any(dim=0).nonzero().flatten()
        box = after[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        assert changed.sum() == box.numel(), "the erased pixels are no box"
        torch.testing.assert_close(box, torch.full_like(box, before.mean().item()), atol=1e-5, rtol=0)
        assert 0.03 < box.numel() / before.numel() < 0.13


def test_erasing_leaves_unselected_images_unchanged():
    batch = _batch(100)
    out = augment_tensor(batch, Augmentation(erase=0.3), _seeded())
    assert 15 < int((out != batch).flatten(1).any(dim=1).sum()) < 45


def test_brightness_shifts_all_pixels_equally_within_its_range():
    batch = _batch(50)
    moved = augment_tensor(batch, Augmentation(brightness=0.2), _seeded()) - batch
    assert moved.flatten(1).std(dim=1).max() < 1e-5
    assert 0.1 < moved.abs().max() <= 0.2 + 1e-5


def test_contrast_keeps_the_mean_of_each_image():
    batch = _batch(50)
    out = augment_tensor(batch, Augmentation(contrast=0.25), _seeded())
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3)), atol=1e-5, rtol=0)
    ratio = out.flatten(1).std(dim=1) / batch.flatten(1).std(dim=1)
    assert 0.75 - 1e-4 <= ratio.min() < 0.9
    assert 1.1 < ratio.max() <= 1.25 + 1e-4


def test_a_shift_moves_by_no_more_than_its_share_of_the_side():
    batch = torch.zeros(200, 1, 41, 41)
    batch[:, :, 20, 20] = 1
    out = augment_tensor(batch, Augmentation(shift=0.1), _seeded())[:, 0]
    at = torch.arange(41.0)
    centre = (out.sum(dim=1) * at).sum(dim=1) / out.sum(dim=(1, 2))
    assert 3 < (centre - 20).abs().max() <= 4.1 + 1e-3


def test_a_rotation_keeps_the_middle_and_the_length():
    batch = torch.zeros(100, 1, 41, 41)
    batch[:, :, 20, 20], batch[:, :, 20, 35] = 1, 1
    out = augment_tensor(batch, Augmentation(rotate=30), _seeded())[:, 0]
    torch.testing.assert_close(out[:, 20, 20], torch.ones(100), atol=1e-3, rtol=0)
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    far = out * ((x**2 + y**2) > 25)
    weight = far.sum(dim=(1, 2))
    my, mx = (far * y).sum(dim=(1, 2)) / weight, (far * x).sum(dim=(1, 2)) / weight
    torch.testing.assert_close(torch.hypot(mx, my), torch.full((100,), 15.0), atol=0.4, rtol=0)
    angle = torch.rad2deg(torch.atan2(my, mx)).abs()
    assert 20 < angle.max() <= 31


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip", -0.1),
        ("flip", 1.1),
        ("flip", math.nan),
        ("erase", 2),
        ("rotate", -1),
        ("rotate", math.nan),
        ("rotate", math.inf),
        ("shift", -0.1),
        ("scale", -0.1),
        ("scale", 1.0),
        ("brightness", -1),
        ("contrast", -0.2),
        ("erase_area", (0.2, 0.1)),
        ("erase_area", (-0.1, 0.1)),
        ("erase_area", (0.1, 1.5)),
        ("erase_area", (0.1,)),
    ],
)
def test_an_invalid_strength_is_rejected(field, value):
    with pytest.raises(ConfigError, match=f"^{field}="):
        Augmentation(**{field: value})


# clean_training_indices


def _face(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8))


def _split(name: str, faces: list[Image.Image], labels: list[int]) -> FaceSplit:
    return FaceSplit(
        name, faces, np.asarray(labels, dtype=np.int64), [hashlib.sha1(f.tobytes()).hexdigest() for f in faces]
    )


def test_leaks_conflicts_copies_and_flat_images_are_left_out_and_counted():
    flat = Image.new("L", (6, 6), 40)
    # index     0        1        2        3        4        5        6     7        8        9        10       11
    faces = [
        _face(1),
        _face(2),
        _face(2),
        _face(3),
        _face(3),
        _face(3),
        flat,
        _face(4),
        _face(5),
        _face(1),
        _face(6),
        _face(5),
    ]
    labels = [0, 1, 1, 2, 3, 2, 4, 5, 6, 0, 3, 6]
    train = _split("train", faces, labels)
    validation, test = (
        _split("validation", [_face(1), _face(90)], [0, 1]),
        _split("test", [_face(5), _face(91)], [2, 1]),
    )
    kept, report = clean_training_indices(train, validation, test)
    assert kept.dtype == np.int64
    assert kept.tolist() == [1, 7, 10]
    counted = {
        "total": 12,
        "kept": 3,
        "copies_in_evaluation": 4,
        "near_copies_in_evaluation": 0,
        "conflicting": 3,
        "surplus_copies": 1,
        "constant": 1,
    }
    assert dataclasses.asdict(report) == counted
    assert sum(counted.values()) - counted["total"] == counted["total"]


def test_kept_images_have_no_copy_in_the_evaluation_splits():
    train, test = (
        _split("train", [_face(i % 7) for i in range(20)], [i % 7 for i in range(20)]),
        _split("test", [_face(0), _face(3)], [0, 3]),
    )
    assert shared_indices(train, test).tolist() == [0, 3, 7, 10, 14, 17]
    kept, _ = clean_training_indices(train, test)
    left = _split("train", [train.faces[i] for i in kept], train.labels[kept].tolist())
    assert shared_indices(left, test).size == 0
    assert sorted({train.hashes[i] for i in kept}) == sorted(pixel_hashes(train) - pixel_hashes(test))
    assert len(set(left.hashes)) == len(left)


def test_a_clean_split_is_kept_completely():
    train = _split("train", [_face(i) for i in range(5)], [0, 1, 2, 3, 4])
    kept, report = clean_training_indices(train, _split("test", [_face(50)], [0]))
    assert kept.tolist() == [0, 1, 2, 3, 4]
    assert (report.kept, report.total) == (5, 5)


# near copies


def _portrait(seed: int, side: int = 48) -> Image.Image:
    """A smooth random picture that differs for every seed."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 7), dtype=np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


_DISGUISES = {
    "shifted": lambda face: face.transform(face.size, Image.Transform.AFFINE, (1, 0, 3, 0, 1, -2)),
    "mirrored": lambda face: face.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "relit": lambda face: face.point(lambda v: v // 2 + 60),
    "noisy": lambda face: Image.fromarray(
        np.clip(np.asarray(face) + np.random.default_rng(0).normal(0, 8, (48, 48)), 0, 255).astype(np.uint8)
    ),
    "in colour": lambda face: face.convert("RGB"),
}


@pytest.mark.parametrize("disguise", _DISGUISES.values(), ids=_DISGUISES)
def test_near_copies_of_evaluation_images_are_left_out_unless_near_is_off(disguise):
    train = _split("train", [_portrait(1), disguise(_portrait(2)), disguise(_portrait(2)), _portrait(3)], [0, 1, 2, 2])
    test = _split("test", [_portrait(2), _portrait(9)], [1, 1])
    kept, report = clean_training_indices(train, test)
    assert kept.tolist() == [0, 3]
    assert (report.near_copies_in_evaluation, report.conflicting) == (2, 0)
    for none in (None, 0):
        kept, report = clean_training_indices(train, test, near=none)
        assert (kept.tolist(), report.near_copies_in_evaluation, report.conflicting) == ([0, 3], 0, 2)
    with pytest.raises(ConfigError, match="near=92"):
        clean_training_indices(train, test, near=92)


def test_different_images_are_not_near_copies():
    planes = np.stack([np.asarray(_portrait(i)) for i in range(40)])
    assert find_near_copies(planes[:20], planes[20:]).above().size == 0
    assert find_near_pairs(planes).shape == (0, 2)


def test_near_copies_are_cached_per_set_of_images(tmp_path, monkeypatch):
    train, test = (
        _split("train", [_portrait(1), _DISGUISES["relit"](_portrait(2))], [0, 1]),
        _split("test", [_portrait(2)], [1]),
    )
    cache = tmp_path / "run" / "near.npz"
    first = clean_training_indices(train, test, cache=cache)[0].tolist()
    calls = []
    monkeypatch.setattr(
        training.data.selection, "find_near_copies", lambda *a, **k: calls.append(a) or find_near_copies(*a, **k)
    )
    assert clean_training_indices(train, test, cache=cache)[0].tolist() == first == [0]
    assert not calls
    assert clean_training_indices(train, _split("test", [_portrait(1)], [1]), cache=cache)[0].tolist() == [1]
    clean_training_indices(train, _split("test", [_portrait(1)], [1]), near=0.99, cache=cache)
    assert len(calls) == 2, "the cache must not be used for other images or another threshold"


def test_a_file_that_is_no_cache_is_not_overwritten(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, weights=np.ones(3))
    with pytest.raises(InputError, match=r"other\.npz is no cache.*weights"):
        clean_training_indices(_split("train", [_portrait(1)], [0]), _split("test", [_portrait(2)], [1]), cache=path)
    assert np.load(path).files == ["weights"]


def test_near_pairs_form_connected_components_numbered_by_first_image():
    a, b = _portrait(1), _portrait(2)
    faces = [b, a, _portrait(3), _DISGUISES["mirrored"](a), a, _DISGUISES["noisy"](a)]
    planes = np.stack([np.asarray(face) for face in faces])
    assert find_near_pairs(planes).tolist() == [[1, 3], [1, 4], [1, 5], [3, 4], [3, 5], [4, 5]]
    assert find_near_pairs(planes, mirrored=False).tolist() == [[1, 4], [1, 5], [4, 5]]
    hashes = _split("train", faces, [0] * 6).hashes
    assert group_copies(hashes, planes).tolist() == [0, 1, 2, 1, 1, 1]
    assert group_copies(hashes, planes, threshold=None).tolist() == [0, 1, 2, 3, 1, 4]


# leaks and votes


def test_a_leak_is_an_error_that_names_rows_and_split():
    train, test = _split("train", [_face(i) for i in range(9)], [0] * 9), _split("test", [_face(4), _face(7)], [0, 0])
    kept, _ = clean_training_indices(train, test)
    check_no_leak(train, kept, test)
    with pytest.raises(LeakError, match=r"^1 of 8 training images .* rows 7 \(also in test\);"):
        check_no_leak(train, np.append(kept, 7), test)


def test_votes_become_shares_of_the_label_sets_own_labels():
    votes = np.zeros((4, len(FERPLUS_VOTES)), dtype=np.float32)
    votes[0, FERPLUS_VOTES.index("happiness")], votes[0, FERPLUS_VOTES.index("contempt")] = 3, 5
    votes[1, FERPLUS_VOTES.index("neutral")], votes[1, FERPLUS_VOTES.index("disgust")] = 0.25, 0.25
    votes[2, FERPLUS_VOTES.index("NF")] = 10
    votes[3, FERPLUS_VOTES.index("disgust")] = 2
    shares, voted = vote_distribution(votes, FER2013)
    assert (shares.dtype, voted.tolist()) == (np.float32, [True, True, False, True])
    assert shares[0, FER2013.index("happy")] == 1
    assert shares[1, FER2013.index("neutral")] == shares[1, FER2013.index("disgust")] == 0.5
    assert shares[2].sum() == 0
    shares, voted = vote_distribution(votes, SIX_CLASS)
    assert voted.tolist() == [True, True, False, False]
    assert shares[1, SIX_CLASS.index("neutral")] == 1


def test_joined_splits_keep_order_votes_and_shared_columns():
    a, b = _split("train", [_face(0)], [1]), _split("test", [_face(1), _face(2)], [2, 3])
    a = dataclasses.replace(a, columns={"age": np.array([5]), "only": np.array([1])}, dropped={"contempt": 1})
    b = dataclasses.replace(b, columns={"age": np.array([6, 7])}, dropped={"contempt": 2})
    both = join_splits([a, b])
    assert (both.hashes, both.labels.tolist()) == (a.hashes + b.hashes, [1, 2, 3])
    assert {name: values.tolist() for name, values in both.columns.items()} == {"age": [5, 6, 7]}
    assert both.dropped == {"contempt": 3}


def test_fer2013_has_all_images_votes_and_rows(shared_data):
    split = load_split(shared_data / "fer2013", "PublicTest")
    assert (len(split), split.votes.shape, split.columns["source_row"][0]) == (3589, (3589, 10), 28709)
    assert np.bincount(split.labels).tolist() == [467, 56, 496, 895, 653, 415, 607]
    six = load_split(shared_data / "fer2013", "validation", SIX_CLASS)
    assert (len(six), six.dropped) == (3589 - 56, {"disgust": 56})
    expected = [SIX_CLASS.index(FER2013.labels[i]) for i in split.labels if FER2013.labels[i] != "disgust"]
    assert six.labels.tolist() == expected


@pytest.mark.parametrize("config", [NATIVE48, UPSCALE224], ids=lambda c: c.name)
def test_training_and_serving_see_the_same_array_bit_for_bit(face_image, config):
    faces = [face_image.convert("L").resize((48, 48)), face_image, _face(1)]
    preprocessor = Preprocessor(config)
    planes = prepare_planes(_split("train", faces, [0, 1, 2]), preprocessor, np.array([2, 0, 1]))
    assert (planes.dtype, planes.shape) == (np.uint8, (3, config.size, config.size))
    batch = augment_tensor(torch.from_numpy(preprocessor.normalise(planes)), Augmentation(), _seeded())
    assert batch.numpy().tobytes() == preprocessor.batch([faces[2], faces[0], faces[1]]).tobytes()


# recipes


def _recipe(**changes) -> dict:
    return {"name": "tiny", "model": "emotion_cnn", "preprocess": NATIVE48.to_dict(), "epochs": 1, "lr": 0.1, **changes}


def test_recipes_exist():
    assert {"native48", "upscale224"} <= {p.stem for p in RUNS}


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_every_recipe_loads_and_round_trips_through_json(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.model in list_models()
    assert recipe.augmentation != Augmentation()
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.training_preprocess == dataclasses.replace(
        recipe.preprocess, size=recipe.train_size or recipe.preprocess.size
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.1}, r"unknown recipe key 'learning_rate'.*known are.*lr"),
        ({"augmentation": {"vertical": 1}}, "unknown augmentation 'vertical'"),
        ({"model": "resnet50"}, r"no network 'resnet50'.*emotion_cnn"),
        ({"optimizer": "lion"}, r"optimizer='lion'.*sgd, .*adamw"),
        ({"epochs": 0}, "epochs=0"),
        ({"lr": 0.0}, r"lr=0\.0"),
        ({"backbone_lr": 0.0}, r"backbone_lr=0\.0"),
        ({"gamma": 1.0}, r"gamma=1\.0"),
        ({"gamma": 0}, "gamma=0"),
        ({"epochs": 2.5}, r"epochs=2\.5: give an integer of at least 1"),
        ({"batch_size": 8.0}, r"batch_size=8\.0: give an integer"),
        ({"step_epochs": True}, "step_epochs=True: give an integer"),
        ({"freeze_epochs": "1"}, "freeze_epochs='1': give an integer of at least 0"),
        ({"patience": -1}, "patience=-1: give an integer of at least 0"),
        ({"seed": -1}, "seed=-1: give an integer of at least 0"),
        ({"near": 92}, "near=92: give a correlation above 0 and at most 1"),
        ({"near": -0.1}, "near=-0.1: give a correlation"),
        ({"near": True}, "near=True: give a correlation"),
        ({"augmentation": {"flip": 3}}, "flip=3"),
        ({"preprocess": {**NATIVE48.to_dict(), "crop": 1}}, "unknown preprocessing key 'crop'"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_an_invalid_recipe_is_an_error_that_names_key_and_range(changes, words):
    Recipe.from_dict(_recipe())
    with pytest.raises(ConfigError, match=words):
        Recipe.from_dict(_recipe(**changes))


def test_near_0_in_a_recipe_is_off_and_round_trips():
    assert Recipe.from_dict(_recipe(near=0)).near is Recipe.from_dict(_recipe(near=0.0)).near is None
    assert Recipe.from_dict(_recipe(near=0)).to_dict()["near"] is None
    assert Recipe.from_dict(_recipe(near=None)).near is None
    assert [Recipe.from_dict(_recipe(near=near)).near for near in (0.92, 1)] == [0.92, 1]


def test_missing_and_malformed_recipe_files_are_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"no recipe at .*gone\.toml.*training/runs"):
        load_recipe(tmp_path / "gone.toml")
    for name, text in (("broken", "epochs = ["), ("short", 'name = "x"\nmodel = "emotion_cnn"\n')):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"{name}\.toml is not a recipe"):
            load_recipe(path)
