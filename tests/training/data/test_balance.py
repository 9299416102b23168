"""Splits by group, balancing of the training split, cross-validation folds."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import training.fit.cross_validate
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import FER2013, SIX_CLASS
from tests.fakes.drawn_data import RECIPE
from training import cross_validate
from training.data.balance import FOLDS, Transforms, make_variant, plan_variants, split_groups
from training.data.duplicates import MAX_SHIFT, find_near_pairs, group_copies
from training.data.faces import FaceSplit, load_split, pixel_hashes
from training.fit.cross_validate import folds_of
from training.fit.session import RunData
from training.prepare import main

SPLITS = ("train", "validation", "test")
NOTHING = Transforms(horizontal_flip=0, rotation=0, brightness=(1, 1), contrast=(1, 1), sharpness=(1, 1))


def _portrait(seed: int) -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 7), dtype=np.uint8))
    return coarse.resize((48, 48), Image.Resampling.BICUBIC)


# splits


def test_groups_are_not_divided_and_shares_are_near_70_15_15():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), rng.integers(1, 4, 400))
    labels = rng.choice(3, p=[0.6, 0.3, 0.1], size=400)[groups]
    parts = split_groups(labels, groups, seed=1)
    assert all(len(np.unique(parts[groups == g])) == 1 for g in np.unique(groups))
    for label in (slice(None), labels == 0, labels == 1, labels == 2):
        np.testing.assert_allclose(
            np.bincount(parts[label], minlength=3) / len(parts[label]), (0.7, 0.15, 0.15), atol=0.03
        )
    assert np.array_equal(parts, split_groups(labels, groups, seed=1))
    assert not np.array_equal(parts, split_groups(labels, groups, seed=2))


def test_too_few_groups_and_invalid_parts_are_rejected():
    labels, groups = np.repeat([0, 1], [30, 40]), np.concatenate([np.arange(30), np.arange(100, 140) // 4])
    with pytest.raises(InputError, match=rf"label_id 1 has 10 groups of images; {FOLDS} are needed"):
        split_groups(labels, groups)
    with pytest.raises(InputError, match="parts="):
        split_groups(labels, np.arange(70), parts=(14, 3, 2))


# variants


def test_balancing_uses_originals_in_turn_until_classes_are_equal():
    labels = np.repeat([0, 1, 2], [10, 4, 1])
    plan = plan_variants(labels, 3)
    counts = np.bincount(labels) + np.bincount(labels[plan[:, 0]], minlength=3)
    assert counts.tolist() == [10, 10, 5], "an image has at most four variants"
    assert plan[labels[plan[:, 0]] == 1].tolist() == [[10, 1], [11, 1], [12, 1], [13, 1], [10, 2], [11, 2]]
    assert plan[:, 1].max() == 4
    assert np.bincount(labels[plan_variants(labels, 3, max_variants=1)[:, 0]], minlength=3).tolist() == [0, 4, 1]
    assert plan_variants(np.repeat([0, 1], 5), 3).shape == (0, 2)
    with pytest.raises(ConfigError, match="max_variants=0"):
        plan_variants(labels, 3, max_variants=0)


def test_a_variant_is_the_same_for_the_same_seed_and_keeps_size_and_mode():
    face = _portrait(0)
    one = make_variant(face, Transforms(), (0, 5, 1))
    assert (one.size, one.mode) == (face.size, face.mode)
    assert one.tobytes() == make_variant(face, Transforms(), (0, 5, 1)).tobytes()
    assert len({make_variant(face, Transforms(), (0, 5, k)).tobytes() for k in range(1, 5)} | {face.tobytes()}) == 5
    assert make_variant(face.convert("RGB"), Transforms(), (0, 5, 1)).mode == "RGB"


def _only(**changes) -> Transforms:
    return Transforms(**{**vars(NOTHING), **changes})


def test_without_any_transform_the_face_is_unchanged():
    assert make_variant(_portrait(0), NOTHING, (1,)).tobytes() == _portrait(0).tobytes()


@pytest.mark.parametrize(
    ("field", "flip"),
    [("horizontal_flip", Image.Transpose.FLIP_LEFT_RIGHT), ("vertical_flip", Image.Transpose.FLIP_TOP_BOTTOM)],
)
def test_flips_occur_with_their_probability(field, flip):
    face = _portrait(0)
    flipped = sum(
        make_variant(face, _only(**{field: 0.2}), (k,)).tobytes() == face.transpose(flip).tobytes() for k in range(300)
    )
    assert 40 < flipped < 80
    assert make_variant(face, _only(**{field: 1.0}), (0,)).tobytes() == face.transpose(flip).tobytes()


def test_vertical_flips_are_off_by_default():
    assert (Transforms().vertical_flip, Transforms().horizontal_flip, Transforms().rotation) == (0.0, 0.2, 20.0)


def test_brightness_contrast_and_sharpness_stay_in_their_ranges():
    level = Image.new("L", (20, 20), 100)
    means = [np.asarray(make_variant(level, _only(brightness=(0.7, 1.3)), (k,))).mean() for k in range(200)]
    assert 69 <= min(means) < 75
    assert 125 < max(means) <= 130
    ramp = Image.linear_gradient("L").resize((48, 48)).point(lambda v: 64 + v // 2)
    spread = [
        np.asarray(make_variant(ramp, _only(contrast=(0.7, 1.3)), (k,))).std() / np.asarray(ramp).std()
        for k in range(200)
    ]
    assert 0.69 <= min(spread) < 0.75
    assert 1.25 < max(spread) <= 1.31
    edge = Image.fromarray(np.tile(np.repeat([80, 160], 24).astype(np.uint8), (48, 1)))
    highest = [int(np.asarray(make_variant(edge, _only(sharpness=(0.7, 1.5)), (k,))).max()) for k in range(60)]
    assert min(highest) == 160
    assert max(highest) > 162, "no variant was sharpened"


def test_rotation_is_uniform_to_both_sides_and_repeats_the_edge():
    face = Image.new("L", (49, 49), 200)
    face.paste(20, (24, 2, 25, 12))  # a mark above the middle
    sides = []
    for k in range(60):
        out = np.asarray(make_variant(face, _only(rotation=20), (k,))).astype(int)
        assert out[0, 0] == out[-1, -1] == 200, "a corner is not filled by repeating the edge"
        rows, cols = np.nonzero(out < 120)
        sides.append(np.rad2deg(np.arctan2(cols.mean() - 24, 24 - rows.mean())))
    assert -21 < min(sides) < -15
    assert 15 < max(sides) < 21


@pytest.mark.parametrize(
    "change", [{"horizontal_flip": 1.2}, {"vertical_flip": -0.1}, {"rotation": 200}, {"contrast": (1.3, 0.7)}]
)
def test_an_invalid_transform_is_rejected(change):
    with pytest.raises(ConfigError, match=f"^{next(iter(change))}="):
        Transforms(**change)


# python -m training.prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Source folder with drawn pictures and copies, the prepared and balanced folder, and its status."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out") / "prepared"
    number = 0
    for label, count in zip(SIX_CLASS.labels, (40, 24, 30, 24, 24, 24), strict=True):
        for k in range(count):
            face = _portrait(number)
            number += 1
            path = source / "train" / label / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            face.save(path)
            if k < 5:  # near copies in another split of the source
                path = source / "test" / label / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda v: v // 2 + 50).save(path)
    _portrait(0).save(source / "train" / "angry" / "copy.png")
    _portrait(1).save(source / "train" / "sad" / "conflict.png")
    Image.new("L", (48, 48), 9).save(source / "test" / "happy" / "flat.png")
    (source / "test" / "happy" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (source / "train" / "disgust").mkdir()
    _portrait(9999).save(source / "train" / "disgust" / "0.png")
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    status = main(
        ["--data", str(source), "--out", str(out), "--balance", "max", "--labels", "six_class", "--seed", "3"]
    )
    datasets.config.HF_DATASETS_CACHE = before
    return source, out, status


def test_prepare_cleans_groups_and_counts_images(prepared):
    _, out, status = prepared
    assert status["cleaned"]["surplus_copies"] == 1
    assert status["cleaned"]["conflicting"] == 2
    assert status["cleaned"]["constant"] == 1
    assert status["dropped"] == {"disgust": 1}
    assert len(status["unreadable"]) == 1
    assert status["groups"] == 166, "one per picture; of the conflicting one, its near copy remains"
    assert json.loads((out / "status.json").read_text()) == json.loads(json.dumps(status))
    for split, share in status["wanted_shares"].items():
        assert abs(status["shares"][split] - share) < 0.03


FILES = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}


def _rows(out, split):
    with (out / FILES[split]).open() as file:
        return list(csv.DictReader(file))


def test_no_group_is_in_two_splits_and_evaluation_has_only_originals(prepared):
    _, out, status = prepared
    groups = {split: {row["group"] for row in _rows(out, split)} for split in SPLITS}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    for split in ("validation", "test"):
        assert {row["variant"] for row in _rows(out, split)} == {"0"}
        assert status["splits"][split]["before"] == status["splits"][split]["after"]
    sizes = {
        split: np.unique([row["group"] for row in _rows(out, split) if row["variant"] == "0"], return_counts=True)[
            1
        ].max()
        for split in SPLITS
    }
    assert max(sizes.values()) == 2, "the mirrored copies were not grouped with their originals"


def test_only_the_training_split_is_balanced(prepared):
    _, out, status = prepared
    train = status["splits"]["train"]
    assert len(set(train["before"].values())) > 1
    assert set(train["after"].values()) == {max(train["before"].values())}
    split = load_split(out, "train", SIX_CLASS)
    assert np.bincount(split.labels).tolist() == list(train["after"].values())
    assert split.columns["variant"].max() <= 4
    assert (split.columns["variant"] > 0).sum() == sum(train["after"].values()) - sum(train["before"].values())


def test_a_prepared_data_set_has_no_leak(prepared):
    source, out, _ = prepared
    splits = [load_split(out, name) for name in SPLITS]
    assert not pixel_hashes(splits[0]) & pixel_hashes(splits[1], splits[2])
    assert all(row["source"].startswith(str(source)) for row in _rows(out, "test"))


def test_preparing_a_balanced_data_set_again_drops_its_variants(prepared, tmp_path, datasets_cache):
    _, out, status = prepared
    added = sum(sum(split["after"].values()) - sum(split["before"].values()) for split in status["splits"].values())
    again = main(
        ["--data", str(out), "--out", str(tmp_path / "new"), "--balance", "max", "--labels", "six_class", "--near", "1"]
    )
    assert again["variants"] == added > 0
    assert status["variants"] == 0
    assert sum(sum(split["before"].values()) for split in again["splits"].values()) == sum(
        sum(split["before"].values()) for split in status["splits"].values()
    )
    assert again["groups"] == status["groups"], "near copies of one group stay together for every threshold"
    origin = {
        f"{out / name} row {line}": row
        for split, name in FILES.items()
        for line, row in enumerate(_rows(out, split), start=2)
    }
    homes = {}
    for split in SPLITS:
        for row in _rows(tmp_path / "new", split):
            source = origin[row["source"].rpartition(" (")[0]]
            assert source["variant"] == "0"
            assert homes.setdefault(source["group"], split) == split


def test_a_nonempty_folder_and_a_missing_class_are_rejected(prepared, tmp_path):
    source, out, _ = prepared
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        main(["--data", str(source), "--out", str(out)])
    for path in (source / "train" / "disgust").iterdir():
        path.rename(source / "train" / "angry" / "odd.png")
    (source / "train" / "disgust").rmdir()
    with pytest.raises(
        InputError, match=r"has no image of disgust; choose another label set with --labels: fer2013, six_class"
    ):
        main(["--data", str(source), "--out", str(tmp_path / "new"), "--labels", FER2013.name])


# python -m training.cross_validate


def _whole(split: FaceSplit) -> RunData:
    return RunData(split, np.arange(len(split)), split, np.arange(0), {})


def _drawn(faces: list[Image.Image], **columns: np.ndarray) -> FaceSplit:
    return FaceSplit("train", faces, np.arange(len(faces)) % 2, [str(i) for i in range(len(faces))], columns=columns)


def _homes(split: FaceSplit, folds: int, near: float | None = 0.92) -> list[int]:
    found = {
        int(i): number
        for number, fold in enumerate(folds_of(_whole(split), folds, 0, near))
        for i in fold.validation_indices
    }
    assert sorted(found) == list(range(len(split)))
    return [found[i] for i in range(len(split))]


def test_variants_are_in_their_originals_fold_and_never_held_out(prepared):
    _, out, _ = prepared
    split = load_split(out, "train", SIX_CLASS)
    groups, variants = split.columns["group"], split.columns["variant"]
    held = []
    for fold in folds_of(_whole(split), 4, 0):
        assert not variants[fold.validation_indices].any()
        assert not set(groups[fold.validation_indices]) & set(groups[fold.train_indices])
        assert variants[fold.train_indices].any()
        assert fold.counts == {"kept": len(fold.train_indices), "validation": len(fold.validation_indices)}
        held += fold.validation_indices.tolist()
    assert sorted(held) == np.flatnonzero(variants == 0).tolist()


def test_groups_of_the_data_stay_in_one_fold():
    names = np.asarray(["anna"] * 4 + ["ben"] * 4 + [""] * 8 + [None] * 8, dtype=object)
    homes = _homes(_drawn([_portrait(i) for i in range(24)], group=names, variant=np.asarray(["a"] * 24)), 4)
    assert len(set(homes[:4])) == len(set(homes[4:8])) == 1
    assert len(set(homes[8:16])) > 1 < len(set(homes[16:]))
    with pytest.raises(
        ConfigError, match=r"folds=5: the images form 2 groups that are never divided; choose fewer folds"
    ):
        _homes(_drawn([_portrait(i) for i in range(24)], group=np.repeat([0, 1], 12)), 5)


def test_shifted_copies_stay_in_one_fold():
    wide = [
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)).resize(
            (56, 56), Image.Resampling.BICUBIC
        )
        for i in range(12)
    ]
    split = _drawn([face.crop((x, x, x + 48, x + 48)) for x in (2, 6) for face in wide])
    planes = np.stack([np.asarray(face) for face in split.faces])
    assert len(find_near_pairs(planes)) == 0, "without shifts they are not near copies"
    assert find_near_pairs(planes, max_shift=MAX_SHIFT).tolist() == [[i, i + 12] for i in range(12)]
    assert group_copies(split.hashes, planes, max_shift=MAX_SHIFT).tolist() == [*range(12)] * 2
    homes = _homes(split, 4)
    assert homes[:12] == homes[12:]
    alone = _homes(split, 4, near=None)
    assert alone[:12] != alone[12:], "without near copies only exact copies are grouped"


def test_cross_validation_uses_the_recipes_near_copy_threshold(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(training.fit.cross_validate, "load_run_data", lambda *_: None)
    monkeypatch.setattr(
        training.fit.cross_validate, "folds_of", lambda data, folds, seed, near: calls.append((folds, seed, near)) or []
    )
    (tmp_path / "recipe.toml").write_text(f"near = 0.95\n{RECIPE.format(name='strict', seed=3)}")
    with pytest.raises(RuntimeWarning):  # the mean of zero folds
        cross_validate.main(["--recipe", str(tmp_path / "recipe.toml"), "--data", "D", "--out", str(tmp_path / "out")])
    assert calls == [(5, 3, 0.95)]


def _without_data(folder):
    """Arguments of a cross-validation of the folder's recipe, whose data does not exist."""
    paths = {"--recipe": folder / "recipe.toml", "--data": folder / "nothing", "--out": folder / "out"}
    return [text for option, path in paths.items() for text in (option, str(path))]


def test_a_recipe_with_teachers_is_not_cross_validated(tmp_path):
    (tmp_path / "recipe.toml").write_text(f"distill = 0.5\n{RECIPE.format(name='taught', seed=0)}")
    with pytest.raises(
        ConfigError, match=r"distill=0\.5 of recipe 'taught': a teacher .* held-out fold .* without distill"
    ):
        cross_validate.main(_without_data(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_starts_from_a_run_is_not_cross_validated(tmp_path):
    (tmp_path / "recipe.toml").write_text(f"init = 'checkpoint'\n{RECIPE.format(name='second', seed=0)}")
    with pytest.raises(
        ConfigError, match=r"init='checkpoint' of recipe 'second': .* held-out fold .* starts at random"
    ):
        cross_validate.main(_without_data(tmp_path))
    assert not (tmp_path / "out").exists()
