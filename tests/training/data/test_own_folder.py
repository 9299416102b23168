"""Splits for a folder of one's own: labels, copies, faces, repeated calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import InputError, LabelError
from emotion_hub.examples import example_path
from emotion_hub.labels import FER2013, label_set
from tests.fakes.drawn_data import drawn_face, drawn_folder
from training.data.faces import SPLITS, load_split
from training.data.own_folder import SPLITS_FOLDER, class_folders, folder_labels, own_splits

pytestmark = pytest.mark.usefixtures("datasets_cache")

LABELS = ("bored", "calm", "tense")


def folders(root: Path, names: tuple[str, ...], count: int = 1) -> Path:
    """`root` with a folder per name that holds `count` different drawn faces."""
    random = np.random.default_rng(0)
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            drawn_face(label, random).save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """24 faces per label, a copy, a brighter copy, a photo with a face and one without."""
    root = folders(tmp_path / "images", LABELS, 24)
    first = Image.open(root / "calm" / "00.png")
    first.save(root / "calm" / "copy.png")
    Image.fromarray((np.asarray(Image.open(root / "tense" / "03.png")) * 0.8).astype(np.uint8)).save(
        root / "tense" / "darker.png"
    )
    Image.open(example_path("astronaut")).save(root / "bored" / "photo.png")
    Image.open(example_path("cat")).save(root / "bored" / "cat.png")
    return root


def test_labels_are_the_names_of_the_folders(tmp_path: Path) -> None:
    assert folder_labels(folders(tmp_path / "own", ("tense", "Calm", "bored"))).labels == ("Calm", "bored", "tense")
    expressions = folders(tmp_path / "known", ("surprised", "happiness", "anger"))
    assert folder_labels(expressions).labels == ("angry", "happy", "surprise")


def test_all_labels_of_fer2013_are_the_preset(tmp_path: Path) -> None:
    assert folder_labels(folders(tmp_path / "seven", FER2013.labels)) == FER2013


def test_two_folders_of_one_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="names a label twice"):
        folder_labels(folders(tmp_path / "twice", ("happy", "happiness")))


def test_data_in_another_form_stays_as_it_is(tmp_path: Path) -> None:
    split = drawn_folder(tmp_path / "splits")
    table = folders(tmp_path / "table", ("calm",))
    (table / "train-00000-of-00001.parquet").touch()
    manifests = folders(tmp_path / "manifests", ("calm",))
    (manifests / "train.csv").write_text("path,label\ncalm/00.png,calm\n")
    for data in (split, table, manifests, "owner/name", tmp_path / "fer2013.csv"):
        assert class_folders(data) == []
        assert folder_labels(data) is None
        assert own_splits(data, tmp_path / "out", label_set(LABELS)) == data
    assert not (tmp_path / "out").exists()


def test_splits_keep_copies_together_and_hold_faces(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = own_splits(images, tmp_path / "run", label_set(LABELS))
    assert data == tmp_path / "run" / SPLITS_FOLDER
    splits = {name: load_split(data, name, label_set(LABELS)) for name in SPLITS}
    hashes = [h for split in splits.values() for h in split.hashes]
    assert len(hashes) == len(set(hashes)) == 3 * 24 + 2
    assert {name: set(split.labels.tolist()) for name, split in splits.items()} == {name: {0, 1, 2} for name in SPLITS}
    split_of = {Path(s).name: n for n, split in splits.items() for s in split.columns["source"] if "tense" in s}
    assert split_of["03.png"] == split_of["darker.png"]
    [face] = [
        split.faces[i]
        for split in splits.values()
        for i, source in enumerate(split.columns["source"])
        if source.endswith("photo.png")
    ]
    assert face.width == face.height < Image.open(images / "bored" / "photo.png").width / 2
    text = capsys.readouterr().out
    assert "left out: 1 copies, 1 without a face or unreadable" in text
    assert "cat.png: YuNet finds no face in it" in text


def test_cropped_faces_are_not_searched_for_faces(images: Path, tmp_path: Path) -> None:
    data = own_splits(images, tmp_path / "run", label_set(LABELS), detect=False)
    status = json.loads((data / "status.json").read_text())
    assert sum(sum(split["after"].values()) for split in status["splits"].values()) == 3 * 24 + 3
    assert status["unreadable"] == []


def test_the_second_call_reads_the_first_ones_splits(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / "data.part").mkdir(parents=True)
    (out / "data.part" / "train.csv").write_text("left by a run that was killed")
    first = own_splits(images, out, label_set(LABELS))
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert own_splits(images, out, label_set(LABELS)) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    drawn_face(0, 99).save(images / "bored" / "new.png")
    with pytest.raises(InputError, match=r"made of other images, labels or settings.*--out"):
        own_splits(images, out, label_set(LABELS))


def test_a_label_with_few_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the label 'bored' has 12 groups of images; 20 are needed"):
        own_splits(folders(tmp_path / "few", LABELS, 12), tmp_path / "run", label_set(LABELS))
