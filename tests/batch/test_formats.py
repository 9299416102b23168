"""Results as CSV and JSON lines: the rows of parquet, without pyarrow, resumable in the same way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from emotion_hub.batch import predict_many
from emotion_hub.batch.formats import about_file
from emotion_hub.batch.parts import Parts
from emotion_hub.errors import InputError, MissingDependencyError
from emotion_hub.labels import FER2013, LabelSet
from tests.batch.test_batch import Corners, linear, png

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
TEXT = (".csv", ".ndjson", ".jsonl")
BBOX = ["bbox_left", "bbox_top", "bbox_right", "bbox_bottom"]

each_text = pytest.mark.parametrize("suffix", TEXT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Faces, a file that is no picture, a picture without a face, a photo with two faces, and names that are hard to write."""
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(9):
        (made / f"{i:02d}.png").write_bytes(png(i))
    for name in (
        '=HYPERLINK("x").png',
        "+1.png",
        "-1.png",
        "@a.png",
        'comma, "quote".png',
        "line\nbreak.png",
        "return\r.png",
        "ünï 顔.png",
    ):
        (made / name).write_bytes(png(len(name)))
    (made / "03.png").write_bytes(b"no picture")
    (made / "05.png").write_bytes(png(5, side=8))
    Image.linear_gradient("L").resize((160, 120)).save(made / "photo.jpg")
    return made


def run(source: Path, out: Path, **options):
    return predict_many(
        source,
        out,
        **{"models": [linear()], "workers": 2, "part_size": 5, "batch_size": 3, "detector": Corners(), **options},
    )


def parquet_rows(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def text_rows(path: Path) -> list[dict]:
    """The rows of a text file with the types of parquet: probabilities as the float32 that they stand for."""
    found = []
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                row = {name: None if value == "" else value for name, value in row.items()}
                corners = [row.pop(name) for name in BBOX]
                row["bbox"] = None if corners[0] is None else [int(value) for value in corners]
                for name in ("picture", "width", "height", "faces", "face", "label_id"):
                    row[name] = None if row[name] is None else int(row[name])
                for name in ("time", "score", *(name for name in row if name.startswith("prob_"))):
                    row[name] = None if row[name] is None else float(row[name])
                found.append(row)
    else:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    for row in found:
        for name in row:
            if name.startswith("prob_") and row[name] is not None:
                row[name] = float(np.float32(row[name]))
    return found


def model_sets() -> dict[str, list]:
    other = LabelSet("other", ("calm", "tense"))
    return {
        "one": [linear()],
        "mixed": [linear(), linear("other", other, seed=1)],
        "labels over six": [linear().with_labels("six_class")],
    }


# the same content


@each_text
@pytest.mark.parametrize("models", ["one", "mixed", "labels over six"])
def test_the_rows_are_those_of_parquet_to_the_last_bit(suffix, models, folder, tmp_path):
    chosen = model_sets()[models]
    summary = run(folder, tmp_path / f"r{suffix}", models=chosen)
    same = run(folder, tmp_path / "r.parquet", models=chosen)
    expected = parquet_rows(tmp_path / "r.parquet")
    assert {row["error"] is None for row in expected} == {True, False}
    assert {row["faces"] for row in expected} == {None, 0, 1, 2}
    found = text_rows(tmp_path / f"r{suffix}")
    assert found == expected
    assert (
        (summary.pictures, summary.faces, summary.faceless, summary.errors)
        == (same.pictures, same.faces, same.faceless, same.errors)
        == (18, 17, 1, 1)
    )


def test_columns_stand_in_the_order_of_parquet_and_a_box_in_csv_is_four_of_them(folder, tmp_path):
    for suffix in (".parquet", ".csv", ".ndjson"):
        run(folder, tmp_path / f"r{suffix}", models=model_sets()["mixed"])
    names = pq.read_schema(tmp_path / "r.parquet").names
    at = names.index("bbox")
    first = (tmp_path / "r.csv").read_bytes().partition(b"\r\n")[0].decode()
    assert first.split(",") == [*names[:at], *BBOX, *names[at + 1 :]]
    assert list(json.loads((tmp_path / "r.ndjson").read_text(encoding="utf-8").partition("\n")[0])) == names
    assert names[-3:] == ["prob_calm", "prob_tense", "error"]


def test_a_probability_has_the_digits_of_its_float32(folder, tmp_path):
    run(folder, tmp_path / "r.csv")
    run(folder, tmp_path / "r.parquet")
    stored = pq.read_table(tmp_path / "r.parquet")["prob_happy"].to_numpy()
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        digits = [row["prob_happy"] for row in csv.DictReader(file)]
    assert [text for text in digits if text] == [str(value) for value in stored[~np.isnan(stored)]]


def test_a_name_that_a_spreadsheet_takes_for_a_formula_is_written_unchanged(folder, tmp_path):
    run(folder, tmp_path / "r.csv")
    names = [row["source"] for row in text_rows(tmp_path / "r.csv")]
    for name in ('=HYPERLINK("x").png', "+1.png", "-1.png", "@a.png", "line\nbreak.png", "return\r.png"):
        assert (folder / name).exists()
        assert name in names


def test_a_number_that_json_does_not_have_is_null(folder, tmp_path):
    model = linear()
    model.backend.weight = np.full_like(model.backend.weight, np.nan)
    run(folder, tmp_path / "r.ndjson", models=[model])
    text = (tmp_path / "r.ndjson").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert {json.loads(line)["prob_happy"] for line in text.split("\n")[:-1]} == {None}


def test_answers_over_another_label_set_are_the_predictors(folder, tmp_path):
    run(folder, tmp_path / "r.ndjson", labels="six_class")
    predictor = linear().with_labels("six_class")
    row = text_rows(tmp_path / "r.ndjson")[0]
    [answer] = predictor.predict(folder / row["source"])
    probs = {name.removeprefix("prob_"): value for name, value in row.items() if name.startswith("prob_")}
    assert (row["label"], row["label_id"], list(probs)) == (answer.label, answer.label_id, list(answer.probs))
    assert probs == pytest.approx(answer.probs, abs=1e-6)
    with pytest.raises(InputError, match=r"models\.0\.labels"):
        run(folder, tmp_path / "r.ndjson")


# killed and continued

KILLED = """
import os, signal, sys
from tests.batch.test_batch import Corners, linear
from emotion_hub.batch import predict_many
from emotion_hub.batch.parts import Parts
write = Parts.write
def dying(self, number, content):
    write(self, number, content)
    if number == 1:
        (self.folder / f".part-00002{self.out.suffix}.partial").write_bytes(content[:9])  # as if it died while writing
        os.kill(os.getpid(), signal.SIGKILL)
Parts.write = dying
predict_many(sys.argv[1], sys.argv[2], models=[linear()], part_size=5, batch_size=3, workers=2, detector=Corners())
"""


@each_text
def test_a_killed_run_continues_and_ends_with_the_file_of_one_that_was_not_killed(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(out)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    assert sorted(path.name for path in Path(f"{out}.parts").glob("part-*")) == [
        f"part-0000{i}{suffix}" for i in range(2)
    ]
    done = run(folder, out)
    assert (done.pictures, done.resumed) == (18, 10)
    run(folder, tmp_path / f"whole{suffix}")
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not Path(f"{out}.parts").exists()


@each_text
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_part_is_computed_again(suffix, damage, folder, tmp_path, monkeypatch, caplog):
    out = tmp_path / f"r{suffix}"
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "merge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(folder, out)
    part = Path(f"{out}.parts") / f"part-00001{suffix}"
    content = part.read_bytes()
    part.write_bytes({"cut": content[:-20], "changed": content.replace(b"06.png", b"0x.png"), "empty": b""}[damage])
    assert run(folder, out).resumed == 13
    assert "part 1 is damaged" in caplog.text
    assert [row["picture"] for row in text_rows(out) if row["face"] in (None, 0)] == list(range(18))


@each_text
def test_a_finished_result_is_left_as_it_is_and_other_settings_are_refused_by_name(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    run(folder, out)
    stamp, model = out.stat().st_mtime_ns, linear()
    again = run(folder, out, models=[model])
    assert (again.pictures, again.faces, again.errors, model.backend.calls) == (18, 17, 1, [])
    assert out.stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match=r"batch_size 3 \(now 4\).*--restart"):
        run(folder, out, batch_size=4)
    assert run(folder, out, batch_size=4, restart=True).pictures == 18


@each_text
def test_a_file_that_score_did_not_write_or_that_was_changed_is_not_replaced(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    out.write_text("mine")
    with pytest.raises(InputError, match="was not written by score or was changed"):
        run(folder, out)
    assert out.read_text() == "mine"
    run(folder, out, restart=True)
    content = out.read_bytes()
    out.write_bytes(content + content[-10:])
    with pytest.raises(InputError, match="was changed since"):
        run(folder, out)
    out.write_bytes(content)
    assert run(folder, out).pictures == 18
    about_file(out).unlink()
    with pytest.raises(InputError, match="was not written by score"):
        run(folder, out)


def test_the_file_for_the_record_is_not_taken_from_somebody_else(folder, tmp_path):
    about_file(tmp_path / "r.csv").write_text('{"mine": 1}')
    for restart in (False, True):
        with pytest.raises(InputError, match=r"'r\.csv\.json'.*choose another name"):
            run(folder, tmp_path / "r.csv", restart=restart)
    assert about_file(tmp_path / "r.csv").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("restart", [False, True])
def test_a_result_does_not_replace_the_manifest_it_is_made_from(restart, folder, tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("path\npictures/00.png\n")
    (tmp_path / "link.csv").symlink_to(manifest)
    for out in (manifest, tmp_path / "link.csv"):
        with pytest.raises(InputError, match="would replace the source itself"):
            run(manifest, out, restart=restart)
    assert manifest.read_text() == "path\npictures/00.png\n"
    assert run(manifest, tmp_path / "r.csv", restart=restart).pictures == 1


# what is installed

BASE_INSTALL = """
import sys
for name in ("torch", "torchvision", "timm", "safetensors", "skimage", "scipy", "matplotlib", "pyarrow", "datasets", "pandas", "av", "onnx", "ray", "gradio"):
    sys.modules[name] = None  # an import of it raises ImportError
from emotion_hub.batch import predict_many
print(predict_many(sys.argv[1], sys.argv[2], models=["native48"], workers=1, part_size=5).faces)
"""


@each_text
def test_text_formats_need_no_package_beyond_the_base_installation(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    command = [sys.executable, "-c", BASE_INSTALL, str(folder)]
    done = subprocess.run(
        [*command, str(out)], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = text_rows(out)
    assert sum(row["face"] is not None for row in found) == int(done.stdout) == 15
    assert {row["label"] for row in found} - {None} <= set(FER2013.labels)
    refused = subprocess.run(
        [*command, str(tmp_path / "r.parquet")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "MissingDependencyError" in refused.stderr
    assert not list(tmp_path.glob("r.parquet*"))


def test_without_pyarrow_the_message_names_the_extra_and_the_formats_that_need_none(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingDependencyError, match=r"parquet output \(\.csv and \.ndjson need no extra\) needs the extra 'score'"
    ) as raised:
        run(folder, tmp_path / "r.parquet")
    assert "emotion-hub[" not in str(raised.value)
    assert not list(tmp_path.glob("r.parquet*"))
    assert run(folder, tmp_path / "r.csv").pictures == 18


# progress

SHOWN = """
import sys
from tests.batch.test_batch import Corners, linear
from emotion_hub.batch import predict_many
predict_many(sys.argv[1], sys.argv[2], models=[linear()], detector=Corners(), progress=True)
"""


def test_no_progress_bar_is_written_to_a_pipe(folder, tmp_path):
    command = [sys.executable, "-c", SHOWN, str(folder), str(tmp_path / "r.csv")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, "pictures" in done.stderr) == (0, "", False), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pseudo terminals")
def test_a_terminal_shows_the_pictures_done(folder, tmp_path):
    import pty
    import termios

    command = [sys.executable, "-c", SHOWN, str(folder), str(tmp_path / "r.csv")]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"")
    assert "18/18" in shown
