"""Data set forms, faulty manifests, and written data sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import InputError, LabelError, ManifestError
from emotion_hub.labels import FER2013, SIX_CLASS, LabelSet
from training.data.faces import load_split, load_splits
from training.data.manifests import class_statistics, read_manifest, write_faces, write_manifest, write_status
from training.data.sources import open_splits

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def _face(seed: int, side: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def _save(path: Path, face: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    face.save(path)
    return path


def _manifests(
    folder: Path, rows: dict[str, list[tuple]] | None = None, header: str = "path,label", names=("train", "val", "test")
) -> Path:
    """Three manifests of two classes, faces 0 to 5; `rows` replaces the rows of some of them."""
    for number, name in enumerate(names):
        lines = [header]
        for k, label in enumerate(("fearful", "happy")):
            _save(folder / "faces" / f"{2 * number + k}.png", _face(2 * number + k))
            lines.append(f"faces/{2 * number + k}.png,{label}")
        if rows and name in rows:
            lines = [header, *rows[name]]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


# reading


def test_manifests_accept_label_aliases_and_typed_columns(tmp_path):
    rows = {"val": ["faces/2.png,Fearful,31,a b", "faces/3.png,surprised,4,c", "faces/2.png,happy,5,d"]}
    folder = _manifests(
        tmp_path,
        rows | {"train": ["faces/0.png,fear,1,x", "faces\\1.png,surprise,2,y", "faces/0.png,happiness,2,z"]},
        "path,label,age,note",
    )
    (folder / "test.csv").unlink()
    split = load_split(folder, "val")
    assert [FER2013.labels[i] for i in split.labels] == ["fear", "surprise", "happy"]
    assert split.columns["age"].tolist() == [31, 4, 5]
    assert split.columns["note"].tolist() == ["a b", "c", "d"]
    assert split.faces[0].tobytes() == _face(2).tobytes()
    assert split.where[1].endswith("val.csv row 3 (3.png)")
    assert len(load_split(folder, "train")) == 3


def test_paths_may_be_relative_to_another_folder(tmp_path):
    _manifests(tmp_path / "lists")
    (tmp_path / "lists" / "faces").rename(tmp_path / "faces")
    with pytest.raises(ManifestError, match=r"test\.csv row 2 .*no file .*root"):
        load_split(tmp_path / "lists", "train")
    assert len(load_split(tmp_path / "lists", "train", root=tmp_path)) == 2


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("Training", "PublicTest", "PrivateTest")])
def test_image_folders_with_splits(tmp_path, splits):
    for number, name in enumerate(splits):
        for k, label in enumerate(("Fearful", "sadness")):
            _save(tmp_path / name / label / f"{k}.png", _face(10 * number + k))
    for number, name in enumerate(SPLITS):
        split = load_split(tmp_path, name)
        assert (split.name, [FER2013.labels[i] for i in split.labels]) == (name, ["fear", "sad"])
        assert [face.tobytes() for face in split.faces] == [_face(10 * number + k).tobytes() for k in range(2)]
        assert split.stored == ["PNG L"] * 2


def test_an_image_folder_without_splits_is_training_data(tmp_path):
    for k, label in enumerate(("angry", "neutral")):
        _save(tmp_path / label / f"{k}.jpg", _face(k))
    assert load_split(tmp_path, "train").stored == ["JPEG L"] * 2
    with pytest.raises(InputError, match=r"no split 'test' .* it has train\. python -m training\.prepare"):
        load_split(tmp_path, "test")


def test_a_class_folder_without_images_is_an_error(tmp_path):
    _save(tmp_path / "angry" / "0.png", _face(0))
    (tmp_path / "sad").mkdir()
    with pytest.raises(ManifestError, match=r"class folder .*sad holds no image"):
        load_split(tmp_path, "train")


def test_a_parquet_folder_with_other_label_orders_split_names_and_columns(tmp_path):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["surprised", "anger", "contempt"]),
            "ferplus_votes": datasets.List(datasets.Value("int8")),
        }
    )
    rows = {"image": [_face(i) for i in range(3)], "label": [0, 1, 2], "ferplus_votes": [[i] * 10 for i in range(3)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "valid-0.parquet")
    split = load_split(tmp_path, "validation")
    assert [FER2013.labels[i] for i in split.labels] == ["surprise", "angry"]
    assert split.dropped == {"contempt": 1}
    assert split.votes.tolist() == [[0.0] * 10, [1.0] * 10]
    assert split.hashes[1] == load_split(tmp_path, "val").hashes[1]


def test_a_hub_id_is_loaded_from_the_hub_and_an_unknown_one_is_an_error(monkeypatch):
    features = datasets.Features({"img": datasets.Image(), "emotion": datasets.Value("string")})
    table = datasets.Dataset.from_dict({"img": [_face(0)], "emotion": ["Sadness"]}, features=features)
    requested = []
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda name: requested.append(name) or datasets.DatasetDict({"train": table, "PrivateTest": table}),
    )
    split = load_split("someone/faces-7", "test")
    assert requested == ["someone/faces-7"]
    assert (split.name, split.labels.tolist()) == ("test", [FER2013.index("sad")])
    assert split.faces[0].tobytes() == _face(0).tobytes()

    def gone(name):
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", gone)
    with pytest.raises(InputError, match=r"no data at someone/faces-7: .*doesn't exist.*check the name"):
        load_split("someone/faces-7", "test")


def test_numeric_labels_without_names_are_rejected(tmp_path):
    datasets.Dataset.from_dict(
        {"image": [_face(0)], "label": [0]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    ).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match="numbers without names"):
        load_split(tmp_path, "train")


def _contest(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return path


def _pixels(seed: int) -> str:
    return " ".join(map(str, _face(seed).tobytes()))


@pytest.mark.parametrize("inside", [True, False], ids=["folder", "file"])
def test_fer2013_csv_is_read_with_its_splits_and_order(tmp_path, inside):
    path = _contest(
        tmp_path / "fer2013.csv",
        f"0,{_pixels(0)},Training",
        f"6,{_pixels(1)},PrivateTest",
        f"3,{_pixels(2)},PublicTest",
        f"1,{_pixels(3)},Training",
    )
    data = tmp_path if inside else path
    train, validation, test = (load_split(data, name) for name in SPLITS)
    assert (train.labels.tolist(), validation.labels.tolist(), test.labels.tolist()) == ([0, 1], [3], [6])
    assert train.columns["source_row"].tolist() == [0, 3]
    assert [face.tobytes() for face in train.faces] == [_face(0).tobytes(), _face(3).tobytes()]
    assert load_split(data, "train", SIX_CLASS).dropped == {"disgust": 1}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"7,{_pixels(1)},Training", "row 3: emotion 7"),
        (f"1,{_pixels(1)},Holdout", "row 3: emotion 1, Usage 'holdout'"),
        ("1,1 2 3,Training", "row 3 has 3 pixels"),
        (f"1,{_pixels(1)[:-1]}x,Training", "row 3: pixels are integers"),
        (f"1,{_pixels(1)} 300,Training", "row 3: pixels are integers from 0 to 255"),
    ],
    ids=["emotion", "usage", "short", "letters", "range"],
)
def test_an_error_names_the_wrong_row_of_fer2013_csv(tmp_path, row, words):
    path = _contest(tmp_path / "fer2013.csv", f"0,{_pixels(0)},Training", row)
    with pytest.raises(ManifestError, match=words):
        load_split(path, "train")


def test_a_csv_with_other_columns_is_an_error_that_names_the_expected_ones(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match=r"x\.csv row 1: no column emotion and pixels and Usage"):
        load_split(tmp_path / "x.csv", "train")


@pytest.mark.parametrize("where", ["pages", "footer"])
def test_an_error_names_a_damaged_table(tmp_path, where):
    path = tmp_path / "train-00000-of-00001.parquet"
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("string"))
    datasets.Dataset.from_dict({"image": [_face(0)], "label": ["sad"]}, features=features).to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(
        content[:4] + b"\xff" * 2000 + content[2004:] if where == "pages" else content[:-300] + content[-8:]
    )
    with pytest.raises(ManifestError, match=rf"^{tmp_path} cannot be read \(.*\): .*download it again"):
        load_split(tmp_path, "train")


def test_an_error_names_a_damaged_fer2013_csv(tmp_path):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(
        f"emotion,pixels,Usage\n0,{_pixels(0)},Training\n1,\xff\xfe\x00,Training,1,2,3\n".encode("latin-1")
    )
    with pytest.raises(ManifestError, match=r"fer2013\.csv cannot be read \(.*\): .*download it again"):
        load_split(path, "train")


def test_two_folders_or_tables_of_one_split_are_rejected(tmp_path, monkeypatch):
    for number, name in enumerate(("train", "val", "dev")):
        _save(tmp_path / name / "happy" / "0.png", _face(number))
    with pytest.raises(ManifestError, match=r"'dev' and 'val' are both the validation split; keep one"):
        load_split(tmp_path, "validation")
    table = datasets.Dataset.from_dict(
        {"image": [_face(0)], "label": ["sad"]},
        features=datasets.Features(image=datasets.Image(), label=datasets.Value("string")),
    )
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda name: datasets.DatasetDict({"train": table, "PublicTest": table, "val": table, "extra": table}),
    )
    with pytest.raises(ManifestError, match=r"someone/faces-7: 'PublicTest' and 'val' are both the validation split"):
        load_split("someone/faces-7", "train")


def test_missing_data_and_an_unknown_split_are_errors(tmp_path):
    for data in (tmp_path / "gone", tmp_path):
        with pytest.raises(InputError, match="no data at"):
            load_split(data, "train")
    with pytest.raises(InputError, match="no split 'holdout'; choose from train, validation, test"):
        load_split(tmp_path, "holdout")


def test_labels_outside_the_set_are_counted_and_unknown_labels_rejected(tmp_path):
    (tmp_path / "eight").mkdir()
    rows = {
        name: [f"faces/{2 * k}.png,Contempt", f"faces/{2 * k + 1}.png,fear"]
        for k, name in enumerate(("train", "val", "test"))
    }
    split = load_split(_manifests(tmp_path / "eight", rows), "train")
    assert (len(split), split.dropped, split.columns) == (1, {"contempt": 1}, {})
    own = load_split(tmp_path / "eight", "train", LabelSet("two", ("contempt", "fear")))
    assert (own.labels.tolist(), own.dropped) == ([0, 1], {})
    rows["val"][0] = "faces/2.png,bored"
    (tmp_path / "nine").mkdir()
    rows = {name: [row.replace("Contempt", "bored") for row in lines] for name, lines in rows.items()}
    with pytest.raises(LabelError, match=r"val\.csv row 2 \(2\.png\): unknown label 'bored'.*Correct the label"):
        load_split(_manifests(tmp_path / "nine", rows), "val")


def test_equal_gray_pixels_are_copies_in_every_format(tmp_path):
    _save(tmp_path / "angry" / "gray.png", _face(0))
    _save(tmp_path / "angry" / "colour.png", _face(0).convert("RGB"))
    _save(tmp_path / "sad" / "turned.png", _face(0).transpose(Image.Transpose.ROTATE_90))
    split = load_split(tmp_path, "train")
    assert sorted(split.stored) == ["PNG L", "PNG L", "PNG RGB"]
    assert len(set(split.hashes)) == 2


# wrong manifests


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            ["faces/2.png,fear", "faces/gone.png,happy"],
            r"val\.csv row 3 \(gone\.png\): there is no file .*correct the path",
        ),
        (["faces/2.png,fear", "", "faces/3.png,happy"], r"val\.csv row 3 is blank; delete the line"),
        (["faces/2.png,fear", ",", "faces/3.png,happy"], r"val\.csv row 3 is blank"),
        (["faces/2.png,fear", "faces/3.png,"], r"val\.csv row 3 has no label; fill it in"),
        (["faces/2.png,fear", "faces/3.png"], r"val\.csv row 3 has 1 values for 2 columns"),
        (
            ["faces/2.png,fear", "faces/new.png,bored", "faces/3.png,happy"],
            r"val\.csv row 3 \(new\.png\): unknown label 'bored'; the label set has angry, disgust",
        ),
        (["faces/2.png,fear"], r"val\.csv rows 2 to 2: class 'happy' is empty"),
        (
            ["faces/2.png,fear", "faces/3.png,happy", "faces/../faces/0.png,happy"],
            r"val\.csv row 4 \(0\.png\) and .*train\.csv row 2 \(.*\) have the same path",
        ),
        ([], r"val\.csv row 2: there is no row"),
        (
            ["faces/2.png,fear", "faces/text.png,happy"],
            r"val\.csv row 3 \(text\.png\) cannot be read: .*Replace the image",
        ),
        (["faces/2.png,fear", "faces/cut.png,happy"], r"val\.csv row 3 \(cut\.png\) cannot be read"),
        (
            ["faces/2.png,fear", "faces/copy.png,happy"],
            r"val\.csv row 3 \(copy\.png\) and .*train\.csv row 3 \(.*\) have the same pixels",
        ),
    ],
    ids=[
        "missing",
        "blank",
        "commas",
        "no label",
        "short",
        "unknown",
        "empty class",
        "path twice",
        "empty",
        "text",
        "cut",
        "pixels twice",
    ],
)
def test_an_error_names_the_manifest_the_row_and_the_next_step(tmp_path, rows, words):
    folder = _manifests(tmp_path)
    assert len(load_split(folder, "val")) == 2
    (folder / "faces" / "text.png").write_text("no picture")
    (folder / "faces" / "cut.png").write_bytes((folder / "faces" / "3.png").read_bytes()[:900])
    _save(folder / "faces" / "copy.png", _face(1).convert("RGB"))
    _save(folder / "faces" / "new.png", _face(90))
    (folder / "val.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    with pytest.raises(InputError, match=words):
        load_split(folder, "val")


def test_a_missing_column_and_two_manifests_of_one_split_are_errors(tmp_path):
    folder = _manifests(tmp_path, header="file,label")
    with pytest.raises(ManifestError, match=r"csv row 1: no column path among \['file', 'label'\]"):
        load_split(folder, "train")
    folder = _manifests(tmp_path)
    (folder / "validation.csv").write_text((folder / "val.csv").read_text())
    with pytest.raises(ManifestError, match=r"val\.csv and .*validation\.csv are both manifests of validation"):
        load_split(folder, "train")


def test_a_class_of_the_label_map_without_images_is_an_error(tmp_path):
    folder = _manifests(tmp_path)
    (folder / "label_map.json").write_text(json.dumps({"fear": 0, "happy": 1, "sad": 2}))
    with pytest.raises(ManifestError, match=r"class 'sad' is empty \(.*label_map\.json names it\)"):
        load_split(folder, "train")


def test_load_splits_lists_faults_without_raising(tmp_path):
    folder = _manifests(tmp_path, {"val": ["faces/gone.png,fear", "faces/3.png,happy", "faces/text.png,happy"]})
    (folder / "faces" / "text.png").write_text("no picture")
    splits = load_splits(folder)
    assert [len(splits[name]) for name in SPLITS] == [2, 1, 2]
    assert [entry.split(": ")[0].split()[-2:] for entry in splits["validation"].unreadable] == [
        ["2", "(gone.png)"],
        ["4", "(text.png)"],
    ]


# writing


def test_written_manifests_are_read_back_equal(tmp_path):
    faces, labels = [_face(i) for i in range(4)], ["happy", "fear", "happy", "fear"]
    for number, (split, name) in enumerate((("train", "train.csv"), ("validation", "val.csv"), ("test", "test.csv"))):
        own = [face.rotate(90 * number) for face in faces]
        files = write_faces(tmp_path, split, own, labels)
        assert files[1] == f"{split}/fear/000001.png"
        write_manifest(
            tmp_path / name,
            files,
            labels,
            {"note": ["a,b", 'c "d"', "", "e\u00e9"], "ferplus_votes": ["1 0 0 0 0 0 0 0 0 0.5"] * 4},
        )
    write_status(tmp_path, LabelSet("two", ("fear", "happy")), {"train": [1, 2]}, {"train": [2, 2]}, {})
    for number, split in enumerate(SPLITS):
        back = load_split(tmp_path, split)
        assert [face.tobytes() for face in back.faces] == [face.rotate(90 * number).tobytes() for face in faces]
        assert [FER2013.labels[i] for i in back.labels] == labels
        assert back.columns["note"].tolist() == ["a,b", 'c "d"', "", "e\u00e9"]
        assert back.votes[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert len(open_splits(tmp_path)["train"]) == 4
    assert read_manifest(tmp_path / "train.csv").lines == [2, 3, 4, 5]


def test_the_written_folder_is_also_an_image_folder(tmp_path):
    for split in SPLITS:
        write_faces(tmp_path, split, [_face(0), _face(1)], ["sad", "angry"])
    assert [FER2013.labels[i] for i in load_split(tmp_path, "test").labels] == ["angry", "sad"]


def test_the_status_holds_counts_and_statistics_before_and_after(tmp_path):
    two = LabelSet("two", ("fear", "happy"))
    status = write_status(
        tmp_path, two, {"train": [1, 3], "test": [0, 2]}, {"train": [3, 3], "test": [0, 2]}, {"strategy": "max"}
    )
    assert json.loads((tmp_path / "status.json").read_text()) == status
    assert status["splits"]["train"]["statistics_after"] == {
        "min": 3,
        "max": 3,
        "mean": 3,
        "sd": 0,
        "imbalance_ratio": 1,
    }
    assert status["splits"]["test"]["statistics_before"]["imbalance_ratio"] is None
    assert json.loads((tmp_path / "label_map.json").read_text()) == {"fear": 0, "happy": 1}
    with (tmp_path / "status.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"split": "train", "label": "fear", "before": "1", "after": "3", "added": "2"}
    assert len(rows) == 4


def test_class_statistics_agree_with_the_technical_report():
    counts = [5089, 4589, 13370, 8268, 7504, 4936]
    found = class_statistics(counts)
    assert (found["min"], found["max"], round(found["mean"], 2), round(found["sd"], 2)) == (
        4589,
        13370,
        7292.67,
        3336.16,
    )
    assert round(found["imbalance_ratio"], 1) == 2.9
