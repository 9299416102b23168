"""CSV and JSON lines results: equal to parquet, resumable."""

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
from emotion_hub.batch.formats import metadata_file
from emotion_hub.batch.parts import Parts
from emotion_hub.errors import InputError, MissingDependencyError
from emotion_hub.labels import FER2013, LabelSet
from tests.fakes.batch_helpers import ENVIRONMENT, CornerDetector, linear_predictor, noise_png, parquet_rows

TEXT = (".csv", ".ndjson", ".jsonl")
BBOX = ["bbox_left", "bbox_top", "bbox_right", "bbox_bottom"]

each_text = pytest.mark.parametrize("suffix", TEXT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Face crops, an unreadable file, a small picture without a face, a photo with two faces, and unusual names."""
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(9):
        (made / f"{i:02d}.png").write_bytes(noise_png(i))
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
        (made / name).write_bytes(noise_png(len(name)))
    (made / "03.png").write_bytes(b"no picture")
    (made / "05.png").write_bytes(noise_png(5, side=8))
    Image.linear_gradient("L").resize((160, 120)).save(made / "photo.jpg")
    return made


def run(source: Path, out: Path, **options):
    return predict_many(
        source,
        out,
        **{
            "models": [linear_predictor()],
            "workers": 2,
            "part_size": 5,
            "batch_size": 3,
            "detector": CornerDetector(),
            **options,
        },
    )


def text_rows(path: Path) -> list[dict]:
    """The rows of a text file with the types of parquet; probabilities are rounded to float32."""
    found = []
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                row = {name: None if value == "" else value for name, value in row.items()}
                corners = [row.pop(name) for name in BBOX]
                row["bbox"] = None if corners[0] is None else [int(value) for value in corners]
                codes = row["warnings"].split("|") if row["warnings"] else []
                row["warnings"] = None if row["detector"] is None else codes  # ready-made crops are not checked
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
        "one": [linear_predictor()],
        "mixed": [linear_predictor(), linear_predictor("other", other, seed=1)],
        "labels over six": [linear_predictor().with_labels("six_class")],
    }


# content


@each_text
@pytest.mark.parametrize("models", ["one", "mixed", "labels over six"])
def test_the_rows_equal_those_of_parquet_bit_for_bit(suffix, models, folder, tmp_path):
    chosen = model_sets()[models]
    summary = run(folder, tmp_path / f"r{suffix}", models=chosen)
    same = run(folder, tmp_path / "r.parquet", models=chosen)
    expected = parquet_rows(tmp_path / "r.parquet")
    assert {row["error"] is None for row in expected} == {True, False}
    assert {row["faces"] for row in expected} == {None, 0, 1, 2}
    found = text_rows(tmp_path / f"r{suffix}")
    assert found == expected
    for result in (summary, same):
        assert (result.pictures, result.faces, result.faceless, result.errors) == (18, 17, 1, 1)


def test_columns_have_the_order_of_parquet_and_a_box_is_four_csv_columns(folder, tmp_path):
    for suffix in (".parquet", ".csv", ".ndjson"):
        run(folder, tmp_path / f"r{suffix}", models=model_sets()["mixed"])
    names = pq.read_schema(tmp_path / "r.parquet").names
    at = names.index("bbox")
    first = (tmp_path / "r.csv").read_bytes().partition(b"\r\n")[0].decode()
    assert first.split(",") == [*names[:at], *BBOX, *names[at + 1 :]]
    assert list(json.loads((tmp_path / "r.ndjson").read_text(encoding="utf-8").partition("\n")[0])) == names
    assert names[-3:] == ["prob_calm", "prob_tense", "error"]


def test_a_probability_has_the_fewest_digits_of_its_float32(folder, tmp_path):
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


def test_nan_is_null_in_json(folder, tmp_path):
    model = linear_predictor()
    model.backend.weight = np.full_like(model.backend.weight, np.nan)
    run(folder, tmp_path / "r.ndjson", models=[model])
    text = (tmp_path / "r.ndjson").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert {json.loads(line)["prob_happy"] for line in text.split("\n")[:-1]} == {None}


def test_predictions_over_another_label_set_are_those_of_the_predictor(folder, tmp_path):
    run(folder, tmp_path / "r.ndjson", labels="six_class")
    predictor = linear_predictor().with_labels("six_class")
    row = text_rows(tmp_path / "r.ndjson")[0]
    [prediction] = predictor.predict(folder / row["source"])
    probs = {name.removeprefix("prob_"): value for name, value in row.items() if name.startswith("prob_")}
    assert (row["label"], row["label_id"]) == (prediction.label, prediction.label_id)
    assert list(probs) == list(prediction.probs)
    assert probs == pytest.approx(prediction.probs, abs=1e-6)
    with pytest.raises(InputError, match=r"models\.0\.labels"):
        run(folder, tmp_path / "r.ndjson")


# resuming a killed run

KILLED = """
import os, signal, sys
from tests.fakes.batch_helpers import CornerDetector, linear_predictor
from emotion_hub.batch import predict_many
from emotion_hub.batch.parts import Parts
write = Parts.write
def killed_after_writing(self, number, content):
    write(self, number, content)
    if number == 1:
        # a partial file, as a run leaves it that is killed while it writes
        (self.folder / f".part-00002{self.out.suffix}.partial").write_bytes(content[:9])
        os.kill(os.getpid(), signal.SIGKILL)
Parts.write = killed_after_writing
options = {"part_size": 5, "batch_size": 3, "workers": 2, "detector": CornerDetector()}
predict_many(sys.argv[1], sys.argv[2], models=[linear_predictor()], **options)
"""


@each_text
def test_a_killed_run_continues_and_writes_the_same_file_as_an_uninterrupted_run(suffix, folder, tmp_path):
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
def test_a_finished_result_is_kept_and_other_settings_are_refused_by_name(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    run(folder, out)
    stamp, model = out.stat().st_mtime_ns, linear_predictor()
    again = run(folder, out, models=[model])
    assert (again.pictures, again.faces, again.errors, model.backend.calls) == (18, 17, 1, [])
    assert out.stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match=r"batch_size 3 \(now 4\).*--restart"):
        run(folder, out, batch_size=4)
    assert run(folder, out, batch_size=4, restart=True).pictures == 18


@each_text
def test_a_file_of_other_software_or_a_changed_result_is_not_replaced(suffix, folder, tmp_path):
    out = tmp_path / f"r{suffix}"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"was not written by emotion_hub\.batch or was changed"):
        run(folder, out)
    assert out.read_text() == "mine"
    run(folder, out, restart=True)
    content = out.read_bytes()
    out.write_bytes(content + content[-10:])
    with pytest.raises(InputError, match="was changed since"):
        run(folder, out)
    out.write_bytes(content)
    assert run(folder, out).pictures == 18
    metadata_file(out).unlink()
    with pytest.raises(InputError, match=r"was not written by emotion_hub\.batch"):
        run(folder, out)


def test_an_existing_file_of_other_software_is_not_overwritten_by_the_metadata(folder, tmp_path):
    metadata_file(tmp_path / "r.csv").write_text('{"mine": 1}')
    for restart in (False, True):
        with pytest.raises(InputError, match=r"'r\.csv\.json'.*choose another name"):
            run(folder, tmp_path / "r.csv", restart=restart)
    assert metadata_file(tmp_path / "r.csv").read_text() == '{"mine": 1}'


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


# optional packages

BASE_INSTALL = """
import sys
missing = "torch torchvision timm safetensors skimage scipy matplotlib pyarrow datasets pandas av onnx ray gradio"
for name in missing.split():
    sys.modules[name] = None  # importing it raises ImportError
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
        MissingDependencyError, match=r"parquet output \(\.csv and \.ndjson need no extra\) needs the extra 'batch'"
    ) as raised:
        run(folder, tmp_path / "r.parquet")
    assert "emotion-hub[" not in str(raised.value)
    assert not list(tmp_path.glob("r.parquet*"))
    assert run(folder, tmp_path / "r.csv").pictures == 18


# progress

SHOWN = """
import sys
from tests.fakes.batch_helpers import CornerDetector, linear_predictor
from emotion_hub.batch import predict_many
predict_many(sys.argv[1], sys.argv[2], models=[linear_predictor()], detector=CornerDetector(), progress=True)
"""


def test_no_progress_bar_is_written_to_a_pipe(folder, tmp_path):
    command = [sys.executable, "-c", SHOWN, str(folder), str(tmp_path / "r.csv")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, "pictures" in done.stderr) == (0, "", False), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs pseudo terminals")
def test_a_terminal_shows_the_number_of_pictures_done(folder, tmp_path):
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
