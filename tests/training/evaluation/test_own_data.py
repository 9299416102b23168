"""Evaluation on images of one's own: forms, photos, labels, groups, errors."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import training.evaluate
from emotion_hub.errors import InputError, LabelError, ManifestError
from emotion_hub.examples import example_path
from emotion_hub.labels import FER2013, label_set
from emotion_hub.predictor import embedded_predictor
from tests.fakes.drawn_data import drawn_face, drawn_folder
from training.data.labelled_folder import is_own, open_labelled
from training.evaluation.error_page import error_rows, write_error_page
from training.evaluation.label_map import map_labels, parse_map
from training.evaluation.own_data import evaluate_own
from training.evaluation.own_summary import own_markdown

pytestmark = pytest.mark.usefixtures("datasets_cache")

MODEL = "emotion_cnn"


def write_list(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labels.csv and photos: two with one face, one with several, one without, and a bored astronaut."""
    folder = tmp_path_factory.mktemp("own") / "photos"
    folder.mkdir()
    rows = []
    for name, label, age in (
        ("astronaut", "joy", "40"),
        ("grace_hopper", "neutrality", "60"),
        ("group", "neutral", "30"),
        ("cat", "neutral", "5"),
        ("einstein", "bored", ""),
    ):
        shutil.copyfile(example_path(name), folder / f"{name}.jpg")
        rows.append({"file_name": f"{name}.jpg", "emotion": label, "age": age})
    write_list(folder / "labels.csv", rows)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 48-pixel faces with metadata.csv: 40 happy and 40 sad ones, by hand."""
    folder, random = tmp_path_factory.mktemp("own") / "faces", np.random.default_rng(0)
    rows = []
    for label, name in enumerate(("happy", "sad")):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            drawn_face(label, random).save(folder / name / f"{number}.png")
            rows.append({"path": f"{name}/{number}.png", "hand": "left" if number % 2 else "right"})
    write_list(folder / "metadata.csv", rows)
    return folder


# forms


def test_a_list_gives_labels_and_columns(photos: Path) -> None:
    source = open_labelled(photos)
    assert source.labels == ["joy", "neutrality", "neutral", "neutral", "bored"]
    assert source.columns == {"age": ["40", "60", "30", "5", ""]}
    assert source.read(0) == example_path("astronaut").read_bytes()
    assert source.where(2).endswith("labels.csv row 4 (group.jpg)")
    assert open_labelled(photos / "labels.csv").labels == source.labels


def test_a_list_without_labels_takes_the_folders_names(faces: Path) -> None:
    source = open_labelled(faces)
    assert source.labels == ["happy"] * 40 + ["sad"] * 40
    assert list(source.columns) == ["hand"]


def test_the_splits_of_other_data_are_joined(tmp_path: Path) -> None:
    data = drawn_folder(tmp_path / "data")
    assert not is_own(data)
    whole, test = open_labelled(data), open_labelled(data, "test")
    assert (len(whole), len(test)) == (63, 14)
    assert test.where(0) == whole.where(49)
    assert whole.read(49) == test.read(0)
    write_list(tmp_path / "labels.csv", [{"path": str(next(data.rglob("*.png"))), "label": "happy"}])
    with pytest.raises(InputError, match=r"no split 'test' in .*labels\.csv; it has all"):
        open_labelled(tmp_path / "labels.csv", "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.png,happy\n", r"row 1: no column of file names among \['name', 'label'\]"),
        ("path,label\na.png,happy\n", r"row 2: there is no file .*a\.png"),
        ("path,label\nface.png\n", r"row 2 has 1 values for 2 columns"),
        ("path,label\nface.png,\n", r"row 2 has no label"),
        ("path,label\n", r"lists no image"),
    ],
)
def test_a_faulty_list_is_refused_by_row(tmp_path: Path, text: str, message: str) -> None:
    drawn_face(0, 0).save(tmp_path / "face.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        open_labelled(tmp_path)
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(ManifestError, match="are both lists"):
        open_labelled(tmp_path)


# labels


def test_names_are_mapped_and_left_out() -> None:
    names = ["Joy", "joy ", "anger", "contempt", "bored", "sad"]
    mapped = map_labels(names, FER2013, parse_map("joy=happy, bored="))
    assert mapped.ids.tolist() == [3, 3, 0, -1, -1, 4]
    assert mapped.mapped == {"Joy": "happy", "joy": "happy", "anger": "angry"}
    assert mapped.left_out == {"contempt": 1, "bored": 1}
    assert map_labels(["contempt"], FER2013, parse_map("contempt=disgust")).ids.tolist() == [1]
    assert map_labels(["disgust"], label_set("six_class")).left_out == {"disgust": 1}


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (["joy", "hapy", "meh"], "", r"'joy' \(1 images\), 'hapy'.*--map 'joy=happy,hapy=happy,meh='"),
        (["joy"], "joy=hapy", r"no label 'hapy' \(did you mean 'happy'\?\)"),
        (["joy"], "yoy=happy", r"no image has the label 'yoy' \(did you mean 'joy'\?\)"),
        (["joy"], "joy", r"write NAME=LABEL"),
        (["joy"], "joy=happy,Joy=sad", r"names 'Joy' twice"),
    ],
)
def test_unknown_names_are_refused_with_suggestions(names: list[str], text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        map_labels(names, FER2013, parse_map(text))


# figures


def test_photos_are_measured_by_their_largest_face(photos: Path) -> None:
    report = evaluate_own(MODEL, photos, mapping=parse_map("joy=happy,bored=")).report
    predictor = embedded_predictor(MODEL)
    expected = {"astronaut": "happy", "grace_hopper": "neutral", "group": "neutral"}
    right = [predictor.predict(example_path(name))[0].label == label for name, label in expected.items()]
    assert (report["n"], report["accuracy"]) == (3, pytest.approx(np.mean(right)))
    assert report["detection"] == {
        "detector": "YuNet",
        "photos": 4,
        "no_face": 1,
        "several_faces": 1,
        "accuracy_of_all": pytest.approx(sum(right) / 4),
    }
    assert report["data"] == {
        "name": "photos",
        "images": 5,
        "mapped": {"joy": "happy", "neutrality": "neutral"},
        "left_out": {"bored": 1},
    }
    text = own_markdown(report)
    assert "1 of 4 photos without a face, 1 with several" in text
    assert "Left out by label: bored 1." in text


def test_cropped_faces_are_taken_whole(photos: Path, tmp_path: Path) -> None:
    found = evaluate_own(MODEL, photos, mapping=parse_map("joy=happy,bored="), detect=False)
    assert "detection" not in found.report
    assert found.report["n"] == 4
    [whole] = embedded_predictor(MODEL).predict(example_path("cat"), whole=True)
    assert dict(zip(FER2013.labels, found.probs[3].tolist(), strict=True)) == pytest.approx(whole.probs, abs=1e-5)


def test_the_command_measures_groups_and_writes_what_is_asked_for(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "report.json", tmp_path / "errors.html"
    argv = ["--checkpoint", MODEL, "--data", str(faces), "--groups", "hand", "--permutations", "99"]
    report = training.evaluate.main([*argv, "--out", str(out), "--errors", str(page)])
    assert json.loads(out.read_text()) == report
    assert {name: row["n"] for name, row in report["groups"]["hand"]["values"].items()} == {"left": 40, "right": 40}
    gap = report["groups"]["hand"]["gaps"]["accuracy"]
    assert 0.01 <= gap["p"] <= gap["p_holm"] <= 1
    assert report["tests"] == {"permutations": 99, "minimum": 30, "comparisons": 2, "correction": "Holm"}
    said = capsys.readouterr().out
    assert "## By hand" in said
    assert "corrected by Holm's method for 2 comparisons" in said
    assert "keep this file private" in said
    assert page.is_file()


def test_nothing_is_claimed_of_small_groups(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training.evaluate.main(["--checkpoint", MODEL, "--data", str(faces), "--groups", "hand", "--min-group", "41"])
    said = capsys.readouterr().out
    assert said.count("fewer than 41 images") == 2
    assert "No gap is tested" in said


@pytest.mark.parametrize(
    ("more", "message"), [(["--robustness"], "--robustness"), (["--near", "--plots", "p"], "--near, --plots")]
)
def test_options_of_splits_are_refused(
    faces: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        training.evaluate.main(["--checkpoint", MODEL, "--data", str(faces), *more])
    assert stop.value.code == 2
    assert f"{message}: for a split of a data set, not for one's own images" in capsys.readouterr().err


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    (tmp_path / "happy" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ManifestError, match=r"broken\.png cannot be read.*leave its row out"):
        evaluate_own(MODEL, tmp_path)


def test_data_without_a_measured_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    shutil.copyfile(example_path("cat"), tmp_path / "happy" / "cat.jpg")
    with pytest.raises(InputError, match=r"no image to measure: 1 photos without a face"):
        evaluate_own(MODEL, tmp_path)


# the page of errors


def test_the_page_has_the_surest_errors_first_and_loads_nothing(faces: Path, tmp_path: Path) -> None:
    evaluation = evaluate_own(MODEL, faces)
    wrong = error_rows(evaluation)
    sure = evaluation.probs[wrong].max(axis=1)
    assert len(wrong) == round((1 - evaluation.report["accuracy"]) * 80) > 3
    assert (np.diff(sure) <= 0).all()
    path = tmp_path / "new" / "errors.html"
    assert write_error_page(evaluation, path, most=3) == 3
    page = path.read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == page.count("<figure>") == 3
    assert [int(share) for share in re.findall(r"</b> (\d+)%<br>", page)] == [round(100 * p) for p in sure[:3]]
    assert "do not publish it" in page
    assert not re.search(r"https?://|<script|<link|@import", page)
    assert path.stat().st_mode & 0o077 == 0


def test_faces_of_photos_are_cropped_on_the_page(photos: Path, tmp_path: Path) -> None:
    evaluation = evaluate_own(MODEL, photos, mapping=parse_map("joy=angry,bored=sad"))
    assert write_error_page(evaluation, tmp_path / "errors.html") >= 1
    for uri in re.findall(r'data:image/png;base64,([^"]+)', (tmp_path / "errors.html").read_text()):
        face = Image.open(io.BytesIO(base64.b64decode(uri)))
        assert face.width == face.height <= 128


def test_a_page_under_another_suffix_is_refused_before_measuring(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"errors\.txt: the page of errors is HTML"):
        training.evaluate.main(["--data", str(faces), "--errors", str(tmp_path / "errors.txt")])
    assert list(tmp_path.iterdir()) == []
