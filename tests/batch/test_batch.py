"""Batch prediction: rows, forms of sources, errors and prefetching."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from emotion_hub.__main__ import main
from emotion_hub.batch import data_sets, open_source, predict_many
from emotion_hub.batch.data_sets import DatasetSource
from emotion_hub.batch.prefetch import prefetch
from emotion_hub.errors import ConfigError, DetectorError, ImageError, InputError, ManifestError, MissingDependencyError
from emotion_hub.images import MAX_BYTES
from emotion_hub.labels import FER2013, SIX_CLASS
from tests.fakes.batch_helpers import ROOT, CornerDetector, linear_predictor, noise_png, parquet_rows
from tests.tolerances import assert_same_probs, assert_same_rows

#: Name and content of pictures, sorted by name: one unreadable, one too small for a face, the others face crops.
PICTURES = {f"{'abc'[i // 4]}/{i:02d}.png": noise_png(i) for i in range(12)} | {
    "a/02.png": b"no picture",
    "b/05.png": noise_png(5, side=8),
}


def values(path: Path, *without: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in without} for row in parquet_rows(path)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in PICTURES.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture, and no row")
    (tmp_path / "pictures" / "a" / "._00.png").write_bytes(b"what macOS leaves beside a file")
    return tmp_path / "pictures"


def run(source, out: Path, **options):
    return predict_many(
        source, out, **{"models": [linear_predictor()], "workers": 2, "part_size": 5, "batch_size": 3, **options}
    )


# rows


def test_there_is_one_row_per_face_with_the_values_of_predict(folder, tmp_path):
    done = run(folder, tmp_path / "r.parquet")
    assert (done.pictures, done.faces, done.faceless, done.errors, done.resumed) == (12, 10, 1, 1, 0)
    found, predictor = parquet_rows(tmp_path / "r.parquet"), linear_predictor()
    assert [row["source"] for row in found] == sorted(PICTURES)
    assert [row["picture"] for row in found] == list(range(12))
    for row in found:
        if row["error"] is not None:
            assert row["source"] == "a/02.png"
            assert "is a text file" in row["error"]
            assert {row[name] for name in ("width", "faces", "face", "bbox", "label", "label_id", "prob_happy")} == {
                None
            }
        elif row["source"] == "b/05.png":
            empty = {row[name] for name in ("face", "bbox", "label", "prob_happy")}
            assert (row["faces"], row["width"], empty) == (0, 8, {None})
        else:
            [prediction] = predictor.predict(folder / row["source"])
            assert (row["label"], row["label_id"]) == (prediction.label, prediction.label_id)
            assert tuple(row["bbox"]) == prediction.bbox
            assert (row["faces"], row["face"], row["model"], row["checkpoint"]) == (1, 0, "linear", "seed0")
            assert_same_probs([row[f"prob_{name}"] for name in FER2013.labels], list(prediction.probs.values()))


def test_the_schema_is_typed_and_the_same_for_every_source(folder, tmp_path):
    (tmp_path / "none").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "none" / "small.png")
    run(folder, tmp_path / "r.parquet")
    run(tmp_path / "none", tmp_path / "n.parquet")
    schema = pq.read_schema(tmp_path / "r.parquet")
    assert schema.equals(pq.read_schema(tmp_path / "n.parquet"))
    types = {
        "source": pa.string(),
        "picture": pa.int64(),
        "time": pa.float64(),
        "width": pa.int32(),
        "bbox": pa.list_(pa.int32(), 4),
        "label_id": pa.int32(),
    }
    assert {name: schema.field(name).type for name in types} == types
    assert [name for name in schema.names if name.startswith("prob_")] == [f"prob_{label}" for label in FER2013.labels]
    assert json.loads(schema.metadata[b"emotion_hub"])["models"][0]["labels"] == list(FER2013.labels)


def test_every_face_of_a_photo_has_a_row_largest_first(tmp_path):
    Image.linear_gradient("L").resize((160, 120)).save(tmp_path / "photo.jpg")
    run(tmp_path / "photo.jpg", tmp_path / "r.parquet", detector=CornerDetector())
    found = parquet_rows(tmp_path / "r.parquet")
    assert [(row["face"], row["faces"], row["bbox"], row["score"], row["detector"]) for row in found] == [
        (0, 2, [40, 30, 100, 90], 0.75, "corners"),
        (1, 2, [5, 5, 35, 35], 0.5, "corners"),
    ]
    whole = linear_predictor().predict(tmp_path / "photo.jpg", whole=True)[0]
    run(tmp_path / "photo.jpg", tmp_path / "w.parquet", whole=True)
    [row] = parquet_rows(tmp_path / "w.parquet")
    assert (row["bbox"], row["detector"], row["label"]) == ([0, 0, 160, 120], None, whole.label)


def test_several_models_give_adjacent_rows_for_each_face(folder, tmp_path):
    models = [
        linear_predictor(),
        linear_predictor("six", SIX_CLASS, seed=1),
        linear_predictor("large", preprocess="upscale224", seed=2),
    ]
    done = run(folder, tmp_path / "r.parquet", models=models)
    assert (done.pictures, done.faces, done.errors) == (12, 10, 1)
    found = parquet_rows(tmp_path / "r.parquet")
    assert [row["model"] for row in found] == ["linear", "six", "large"] * 12
    assert [row["picture"] for row in found] == [i for i in range(12) for _ in models]
    for row in found:
        if row["model"] == "six" and row["label"]:
            assert row["prob_disgust"] is None
            assert sum(row[f"prob_{label}"] for label in SIX_CLASS.labels) == pytest.approx(1, abs=1e-5)
    for model in models:
        run(folder, tmp_path / "one.parquet", models=[model], restart=True)
        alone = [
            {name: value for name, value in row.items() if value is not None}
            for row in parquet_rows(tmp_path / "one.parquet")
        ]
        assert_same_rows(
            alone,
            [
                {name: value for name, value in row.items() if value is not None}
                for row in found
                if row["model"] == model.name
            ],
        )


def test_batches_have_the_given_size_and_rows_do_not_depend_on_it(folder, tmp_path):
    small, large = linear_predictor(), linear_predictor()
    run(folder, tmp_path / "s.parquet", models=[small], batch_size=2, part_size=100)
    run(folder, tmp_path / "l.parquet", models=[large], batch_size=64, part_size=100)
    assert (small.backend.calls, large.backend.calls) == ([2] * 5, [10])
    assert_same_rows(parquet_rows(tmp_path / "s.parquet"), parquet_rows(tmp_path / "l.parquet"))


# sources


def _zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(PICTURES):
            archive.write(folder / name, name)
    return path


def _tar(folder: Path, path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name in sorted(PICTURES):
            archive.add(folder / name, name)
        archive.add(folder / "notes.txt", "notes.txt")
    return path


def _manifest(folder: Path, path: Path) -> Path:
    path.write_text(
        "\ufeffpath,label\n" + "".join(f"{folder.name}\\{name},happy\n" for name in sorted(PICTURES)) + "\n",
        encoding="utf-8",
    )
    return path


def _parquet(folder: Path, path: Path) -> Path:
    cells = [{"bytes": PICTURES[name], "path": None} for name in sorted(PICTURES)]
    pq.write_table(pa.table({"image": cells, "label": [0] * len(cells)}), path, row_group_size=4)
    return path


def _saved(folder: Path, path: Path) -> Path:
    from datasets import Dataset, DatasetDict, Image

    names = sorted(PICTURES)
    rows = {
        split: Dataset.from_dict({"image": [str(folder / n) for n in part]})
        for split, part in {"a": names[:7], "b": names[7:]}.items()
    }
    DatasetDict({split: table.cast_column("image", Image(decode=False)) for split, table in rows.items()}).save_to_disk(
        str(path)
    )
    return path


FORMS = {
    "zip": lambda folder, tmp: _zip(folder, tmp / "p.zip"),
    "tar": lambda folder, tmp: _tar(folder, tmp / "p.tar"),
    "tar.gz": lambda folder, tmp: _tar(folder, tmp / "p.tar.gz", "w:gz"),
    "tar.xz": lambda folder, tmp: _tar(folder, tmp / "p.tar.xz", "w:xz"),
    "manifest": lambda folder, tmp: _manifest(folder, tmp / "m.csv"),
    "parquet": lambda folder, tmp: _parquet(folder, tmp / "p.parquet"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_pictures_give_the_same_rows_in_every_form_of_source(form, folder, tmp_path):
    run(folder, tmp_path / "folder.parquet")
    source = FORMS[form](folder, tmp_path)
    before = {path for path in tmp_path.rglob("*")}
    done = run(source, tmp_path / "r.parquet")
    after = {path for path in tmp_path.rglob("*")}
    assert after == before | {tmp_path / "r.parquet"}, "nothing is unpacked or left behind"
    assert (done.pictures, done.faces, done.errors) == (12, 10, 1)
    assert_same_rows(
        values(tmp_path / "r.parquet", "source", "error"), values(tmp_path / "folder.parquet", "source", "error")
    )
    opened = open_source(source)
    assert opened.count() in (None, 12)
    names = [row["source"] for row in parquet_rows(tmp_path / "r.parquet")]
    for start in (0, 3, 4, 5, 11, 12):
        assert [picture.source for picture in opened.pictures(start)] == names[start:]


def test_a_saved_data_set_is_read_one_split_after_another(folder, tmp_path, datasets_cache):
    source = _saved(folder, tmp_path / "saved")
    run(folder, tmp_path / "folder.parquet")
    run(source, tmp_path / "r.parquet")
    assert_same_rows(
        values(tmp_path / "r.parquet", "source", "error"), values(tmp_path / "folder.parquet", "source", "error")
    )
    assert [row["source"] for row in parquet_rows(tmp_path / "r.parquet")][6:8] == ["a row 6", "b row 0"]
    assert [p.source for p in open_source(source).pictures(8)] == [f"b row {i}" for i in range(1, 5)]
    run(source, tmp_path / "b.parquet", split="b")
    assert [row["source"] for row in parquet_rows(tmp_path / "b.parquet")] == [f"b row {i}" for i in range(5)]
    with pytest.raises(InputError, match=r"split='c'.*a, b"):
        run(source, tmp_path / "c.parquet", split="c")


def test_split_and_column_select_from_a_folder_of_parquet_files(folder, tmp_path):
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet"):
        (tmp_path / "tables" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"face": [noise_png(1), noise_png(2)], "other": [1, 2]}), tmp_path / "tables" / "data" / name
        )
    with pytest.raises(InputError, match=r"columns face, other; name the column of the picture"):
        open_source(tmp_path / "tables")
    run(tmp_path / "tables", tmp_path / "r.parquet", column="face", split="train")
    names = [row["source"] for row in parquet_rows(tmp_path / "r.parquet")]
    assert names == [f"data/train-0000{i}-of-00002.parquet row {j}" for i in range(2) for j in range(2)]
    with pytest.raises(InputError, match=r"split='validation'.*test, train"):
        open_source(tmp_path / "tables", split="validation", column="face")


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_streamed_at_its_commit(hub, folder, tmp_path, capsys):
    """In a subprocess: datasets reads the Hub's address when it is imported."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("tester/drawn", repo_type="dataset")
    source = _parquet(folder, tmp_path / "p.parquet")
    commit = api.upload_file(
        path_or_fileobj=source,
        path_in_repo="data/test-00000-of-00001.parquet",
        repo_id="tester/drawn",
        repo_type="dataset",
    ).oid
    command = [
        sys.executable,
        "-m",
        "emotion_hub",
        "batch",
        "tester/drawn",
        "--split",
        "test",
        "--out",
        str(tmp_path / "r.parquet"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["faces"] == 10
    predict_many(folder, tmp_path / "folder.parquet")
    assert_same_rows(
        values(tmp_path / "r.parquet", "source", "error"), values(tmp_path / "folder.parquet", "source", "error")
    )
    assert json.loads(pq.read_schema(tmp_path / "r.parquet").metadata[b"emotion_hub"])["source"]["commit"] == commit


@pytest.mark.slow
def test_picture_files_on_the_hub_are_read_one_by_one_and_not_by_datasets(hub, tmp_path):
    from huggingface_hub import HfApi

    HfApi().create_repo("tester/loose", repo_type="dataset")
    for name in ("0.png", "1.png"):
        HfApi().upload_file(
            path_or_fileobj=noise_png(int(name[0])),
            path_in_repo=f"train/{name}",
            repo_id="tester/loose",
            repo_type="dataset",
        )
    code = (
        "from emotion_hub.batch import open_source\n"
        "print([(p.source, len(p.read())) for p in open_source('tester/loose').pictures()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == str([(f"train row {i}", len(noise_png(i))) for i in range(2)]), done.stderr


def _hub_rows(*splits: list, counts: tuple[int | None, ...] | None = None) -> DatasetSource:
    """A streamed data set whose splits have these cells; `counts` are the declared rows per split."""
    parts = {
        str(i): lambda start, cells=cells: iter([{"image": cell} for cell in cells[start:]])
        for i, cells in enumerate(splits)
    }
    return DatasetSource(
        {"kind": "hub"}, parts, dict(zip(parts, counts or (None,) * len(splits), strict=True)), "image", None
    )


@pytest.mark.parametrize("counts", [None, (None, 2, None, 1), (0, 2, 0, 1)])
def test_a_split_without_rows_is_skipped(counts):
    source = _hub_rows([], [noise_png(0), noise_png(1)], [], [noise_png(2)], counts=counts)
    names = ["1 row 0", "1 row 1", "3 row 0"]
    for start in range(4):
        assert [p.source for p in source.pictures(start)] == names[start:]


# invalid sources and unreadable pictures


def test_an_unreachable_hub_is_an_input_error_that_names_the_source(monkeypatch):
    """The HTTP client's own errors are not OSErrors and may have no message."""
    import huggingface_hub
    from huggingface_hub.errors import HTTPError

    def fail(*_, **__):
        raise HTTPError("")

    monkeypatch.setattr(data_sets, "_datasets", lambda: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
    with pytest.raises(InputError, match=r"no data at 'photos/typo\.jpg'.*HTTPError"):
        open_source("photos/typo.jpg")
    with pytest.raises(InputError, match=r"reading 'a/b' was interrupted \(HTTPError\); run the same command again"):
        list(data_sets._with_input_errors(map(fail, [1]), "a/b"))
    with pytest.raises(InputError, match=r"'a/b' holds rows that datasets cannot read \(.*'x'.*\); download its files"):
        list(data_sets._with_input_errors(map(int, ["x"]), "a/b"))


def test_a_local_table_opens_no_addresses(tmp_path):
    import fsspec

    with fsspec.open("memory://face.png", "wb") as file:
        file.write(noise_png(0))
    (tmp_path / "face.png").write_bytes(noise_png(0))
    paths = [
        "face.png",
        "memory://face.png",
        "s3://bucket/x.png",
        "http://127.0.0.1:9/x.png",
        "hf://datasets/a/b/x.png",
        "zip://x.png::memory://a.zip",
    ]
    pq.write_table(pa.table({"image": [{"bytes": None, "path": path} for path in paths]}), tmp_path / "p.parquet")
    assert run(tmp_path / "p.parquet", tmp_path / "r.parquet").errors == 5
    good, *others = parquet_rows(tmp_path / "r.parquet")
    assert good["error"] is None
    assert all("is no file on this machine and is not opened" in row["error"] for row in others)


def test_a_data_set_of_the_hub_may_be_label_folders_in_a_zip_file(hub, tmp_path):
    from huggingface_hub import HfApi

    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        for i, label in enumerate(("happy", "sad", "sad")):
            archive.writestr(f"test/{label}/{i}.png", noise_png(i))
    HfApi().create_repo("tester/zipped", repo_type="dataset")
    HfApi().upload_file(
        path_or_fileobj=tmp_path / "test.zip", path_in_repo="test.zip", repo_id="tester/zipped", repo_type="dataset"
    )
    pictures = list(open_source("tester/zipped").pictures())
    assert [picture.read() for picture in pictures] == [noise_png(i) for i in range(3)]


def test_a_row_of_a_hub_data_set_may_name_only_files_on_the_hub(hub, tmp_path):
    from huggingface_hub import HfApi

    HfApi().create_repo("tester/drawn", repo_type="dataset")
    HfApi().upload_file(
        path_or_fileobj=noise_png(0), path_in_repo="a b/0.png", repo_id="tester/drawn", repo_type="dataset"
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/0.png", noise_png(0))
        archive.writestr("packed.png", noise_png(0), compress_type=zipfile.ZIP_BZIP2)
    HfApi().upload_file(
        path_or_fileobj=tmp_path / "a.zip", path_in_repo="a.zip", repo_id="tester/drawn", repo_type="dataset"
    )
    (tmp_path / "mine.png").write_bytes(noise_png(1))
    page = f"{hub.endpoint}/datasets/tester/drawn/resolve/main/a%20b/0.png"
    zipped = "zip://{}::hf://datasets/tester/drawn/a.zip"
    good = [
        "hf://datasets/tester/drawn/a b/0.png",
        page,
        zipped.format("in/0.png"),
        f"zip://in/0.png::{hub.endpoint}/datasets/tester/drawn/resolve/main/a.zip",
    ]
    refused = [
        str(tmp_path / "mine.png"),
        "s3://bucket/x.png",
        f"zip://in/0.png::{tmp_path / 'a.zip'}",
        "tar://0.png::hf://datasets/tester/drawn/a.zip",
        f"{hub.endpoint}.example.org/x",
        page[1:],
        f"zip://in/0.png::{zipped.format('in/0.png')}",
    ]
    missing = [
        "hf://",
        "hf://datasets",
        "hf://datasets/tester/drawn/1.png",
        "hf://datasets/tester/drawn@v1/0.png",
        "hf://a b/c",
        "hf://x/y::s3://bucket/x.png",
    ]
    missing += ["zip://0.png::hf://datasets/tester/drawn/b.zip", "zip://0.png::hf://datasets/tester/drawn/a b/0.png"]
    for picture in _hub_rows(good).pictures():
        assert picture.read() == noise_png(0)
    cases = [
        (refused, "is no file on the Hub and is not opened"),
        (missing, "cannot be read"),
        ([zipped.format("1.png")], "has no member '1.png'"),
        ([zipped.format("packed.png")], "compressed by method 12"),
    ]
    for cells, message in cases:
        for picture in _hub_rows([{"bytes": None, "path": path} for path in cells]).pictures():
            with pytest.raises(ImageError, match=message):
                picture.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_with_an_unbounded_compression_method_is_not_unpacked(method, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", noise_png(0))
        archive.writestr("b.png", noise_png(0), compress_type=method)
    run(tmp_path / "p.zip", tmp_path / "r.parquet")
    good, other = parquet_rows(tmp_path / "r.parquet")
    assert good["error"] is None
    assert f"'b.png' is compressed by method {method}" in other["error"]
    assert "compress it again with deflate" in other["error"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_without_a_writer_is_an_error_row_and_does_not_block(tmp_path):
    (tmp_path / "pictures").mkdir()
    os.mkfifo(tmp_path / "pictures" / "b.png")
    (tmp_path / "pictures" / "a.png").write_bytes(noise_png(0))
    (tmp_path / "m.csv").write_text("path\npictures/a.png\npictures/b.png\n")
    pq.write_table(pa.table({"image": ["pictures/a.png", "pictures/b.png"]}), tmp_path / "p.parquet")
    for source in (tmp_path / "pictures", tmp_path / "m.csv", tmp_path / "p.parquet"):
        good, pipe = open_source(source).pictures()
        assert good.read() == noise_png(0)
        with pytest.raises(ImageError, match=r"b\.png' is not a regular file but a pipe.*save the picture to a file"):
            pipe.read()
    assert run(tmp_path / "pictures", tmp_path / "r.parquet").errors == 1


def test_an_oversized_member_of_an_archive_becomes_an_error_row(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(MAX_BYTES + 1))
        archive.writestr("face.png", noise_png(0))
        archive.writestr("false_size.png", bytes(MAX_BYTES + 1))
    data = bytearray((tmp_path / "p.zip").read_bytes())
    # the size that both of its headers state
    for at in (data.find(b"false_size.png") - 8, data.rfind(b"false_size.png") - 22):
        data[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "p.zip").write_bytes(data)
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        for name, content in (("bomb.png", bytes(MAX_BYTES + 1)), ("face.png", noise_png(0))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    for form, names in (("zip", ["bomb.png", "face.png", "false_size.png"]), ("tar", ["bomb.png", "face.png"])):
        run(tmp_path / f"p.{form}", tmp_path / f"{form}.parquet")
        found = parquet_rows(tmp_path / f"{form}.parquet")
        assert [row["source"] for row in found] == names
        assert "more than 10 MB" in found[0]["error"]
        assert found[1]["error"] is None
    assert parquet_rows(tmp_path / "zip.parquet")[2]["error"] is not None


def test_a_truncated_tar_file_ends_with_an_error_row(folder, tmp_path):
    path = _tar(folder, tmp_path / "p.tar.gz", "w:gz")
    path.write_bytes(path.read_bytes()[:-8000])
    done = run(path, tmp_path / "r.parquet")
    found = parquet_rows(tmp_path / "r.parquet")
    assert 3 < done.pictures < 13
    assert "cut short" in found[-1]["error"] or "cannot be read from the tar" in found[-1]["error"]
    assert [row["source"] for row in found[:4]] == sorted(PICTURES)[:4]


def test_a_tar_header_is_not_read_beyond_the_size_limit_of_a_picture(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 * MAX_BYTES
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(InputError, match="header of 83886080 bytes"):
        open_source(tmp_path / "p.tar")


def test_a_manifests_missing_pictures_are_error_rows_and_a_missing_column_is_an_error(folder, tmp_path):
    (tmp_path / "m.csv").write_text("label,path\nhappy,pictures/a/00.png\nsad,\nsad,pictures/gone.png\n")
    run(tmp_path / "m.csv", tmp_path / "r.parquet")
    good, blank, gone = parquet_rows(tmp_path / "r.parquet")
    assert good["error"] is None
    assert "m.csv row 3 has no path" in blank["error"]
    assert "there is no file" in gone["error"]
    (tmp_path / "m.csv").write_text("file,label\nx.png,happy\n")
    with pytest.raises(ManifestError, match=r"no column path among \['file', 'label'\]"):
        open_source(tmp_path / "m.csv")
    assert open_source(tmp_path / "m.csv", column="file").count() == 1


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.parquet", "p.mp4"])
def test_a_file_whose_content_contradicts_its_suffix_is_refused_by_name(name, tmp_path):
    (tmp_path / name).write_bytes(b"hello " * 200)
    with pytest.raises(InputError, match=rf"'{name}' (cannot be read as|holds no picture)"):
        open_source(tmp_path / name)


def test_an_invalid_source_is_refused_with_the_valid_forms(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no picture"):
        open_source(tmp_path / "empty")
    with pytest.raises(InputError, match=r"'notes.txt' is not a source; give a folder, a picture, .zip"):
        open_source(tmp_path / "notes.txt")
    for gone in (tmp_path / "gone", "x" * 300):
        with pytest.raises(InputError, match="there is no source"):
            open_source(gone)
    Image.new("L", (48, 48)).save(tmp_path / "empty" / "x.png")
    with pytest.raises(InputError, match=r"split='test'.*has no splits"):
        open_source(tmp_path / "empty", split="test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "engine='spark'; choose from local, ray"),
        ({"models": []}, "give a list"),
        ({"models": "native48"}, "give a list"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"workers": 0}, "workers=0"),
        ({"models": [linear_predictor(), linear_predictor()]}, "give each model once"),
        ({"engine": "ray"}, "not predictors"),
    ],
)
def test_an_invalid_setting_is_refused_before_the_first_picture(options, message, folder, tmp_path):
    with pytest.raises((InputError, ConfigError), match=message):
        run(folder, tmp_path / "r.parquet", **options)
    assert not list(tmp_path.glob("r.parquet*"))


def test_a_detector_that_cannot_run_stops_the_run(folder, tmp_path):
    class Broken(CornerDetector):
        def detect(self, image):
            raise DetectorError("no weights")

    Image.new("RGB", (200, 200)).save(folder / "photo.png")
    threads = threading.active_count()
    with pytest.raises(DetectorError, match="no weights"):
        run(folder, tmp_path / "r.parquet", detector=Broken())
    assert threading.active_count() <= threads


def test_without_ray_the_message_names_the_extra(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="engine='ray' needs the extra 'cluster'"):
        predict_many(folder, tmp_path / "r.parquet", engine="ray")


# threads


def test_prefetch_keeps_the_order_and_is_bounded():
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = prefetch(items(), lambda i: time.sleep(0.0005 * (i % 3)) or i * i, workers=3, chunk=4)
    assert [next(results) for _ in range(8)] == [i * i for i in range(8)]
    time.sleep(0.1)
    assert len(taken) <= 8 + (2 * 3 + 3 + 1) * 4
    assert list(results) == [i * i for i in range(8, 1000)]
    assert list(prefetch(range(30_000), lambda i: i, workers=8, chunk=1)) == list(range(30_000))


def test_prefetch_raises_errors_at_their_position_and_ends_its_threads():
    threads = threading.active_count()
    results = prefetch(range(100), lambda i: 1 // (50 - i), workers=2, chunk=8)
    with pytest.raises(ZeroDivisionError):
        list(results)

    def items():
        yield from range(20)
        raise OSError("the disk is gone")

    processed = []
    with pytest.raises(OSError, match="gone"):
        list(prefetch(items(), processed.append, workers=1, chunk=5))
    assert processed == list(range(20))
    results = prefetch(iter(int, 1), lambda i: i, workers=2)
    next(results)
    results.close()
    assert threading.active_count() <= threads


# the command


def test_the_command_prints_its_summary_and_exits_with_1_for_an_unreadable_picture(folder, tmp_path, capsys):
    argv = ["batch", str(folder), "--out", str(tmp_path / "r.parquet"), "--no-detect"]
    assert main([*argv, "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["pictures"], summary["faces"], summary["errors"], summary["models"]) == (12, 11, 1, ["native48"])
    (folder / "a" / "02.png").unlink()
    assert main(argv) == 2
    assert "source.files" in capsys.readouterr().err
    assert main([*argv, "--restart", "--batch-size", "4"]) == 0
    summary = "11 pictures (0 from an earlier run): 11 faces, 0 pictures without a face, 0 unreadable"
    assert summary in capsys.readouterr().out


def test_onnx_gives_the_same_rows_as_torch(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOTION_HUB_CACHE", str(tmp_path / "cache"))
    for backend in ("torch", "onnx"):
        predict_many(folder, tmp_path / f"{backend}.parquet", backend=backend, workers=2, part_size=4)
    for a, b in zip(parquet_rows(tmp_path / "torch.parquet"), parquet_rows(tmp_path / "onnx.parquet"), strict=True):
        assert (a["source"], a["label"], a["error"]) == (b["source"], b["label"], b["error"])
        if a["label"]:
            assert_same_probs(*([row[f"prob_{label}"] for label in FER2013.labels] for row in (a, b)))
