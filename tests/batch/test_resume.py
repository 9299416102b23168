"""Resuming a killed batch run, refusal of other settings, and the Ray engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from emotion_hub.batch import predict_many
from emotion_hub.batch.formats import JsonLinesFormat
from emotion_hub.batch.parts import Parts
from emotion_hub.errors import InputError
from tests.fakes.batch_helpers import ENVIRONMENT, ROOT, linear_predictor, noise_png, parquet_rows
from tests.tolerances import assert_same_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(23):
        Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(tmp_path / "pictures" / f"{i:02d}.png")
    (tmp_path / "pictures" / "07.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def run(source, out: Path, **options):
    return predict_many(
        source, out, **{"models": [linear_predictor()], "workers": 2, "part_size": 5, "batch_size": 3, **options}
    )


def run_interrupted(source, out: Path, after: int, monkeypatch, **options) -> None:
    """A run that is interrupted after it has written `after` parts."""
    write, left = Parts.write, [after]

    def interrupted(self, number, table):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(self, number, table)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(source, out, **options)


KILLED = """
import os, signal, sys
from tests.fakes.batch_helpers import linear_predictor
from emotion_hub.batch import predict_many
from emotion_hub.batch.parts import Parts
write = Parts.write
def killed_after_writing(self, number, table):
    write(self, number, table)
    print(number, flush=True)
    if number == 1:
        # a partial file, as a run leaves it that is killed while it writes
        (self.folder / ".part-00002.parquet.partial").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
Parts.write = killed_after_writing
predict_many(sys.argv[1], sys.argv[2], models=[linear_predictor()], part_size=5, batch_size=3, workers=2)
"""


#: Writes one picture per part, slowly enough for a test to follow.
SLOW = """
import sys, time
from tests.fakes.batch_helpers import linear_predictor
from emotion_hub.batch import predict_many
from emotion_hub.batch.parts import Parts
write = Parts.write
def slow(self, number, table):
    write(self, number, table)
    time.sleep(0.1)
Parts.write = slow
predict_many(sys.argv[1], sys.argv[2], models=[linear_predictor()], part_size=1, batch_size=3, workers=2)
"""


def test_a_killed_run_continues_and_gives_the_rows_of_an_uninterrupted_run(folder, tmp_path):
    out = tmp_path / "r.parquet"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(out)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["0", "1"]), killed.stderr
    assert not out.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "r.parquet.parts").glob("part-*")}
    assert sorted(kept) == ["part-00000.parquet", "part-00001.parquet"]
    done = run(folder, out)
    assert (done.pictures, done.resumed, done.errors) == (23, 10, 1)
    run(folder, tmp_path / "whole.parquet")
    assert_same_rows(parquet_rows(out), parquet_rows(tmp_path / "whole.parquet"))
    assert not (tmp_path / "r.parquet.parts").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_run_killed_at_any_moment_can_be_continued(folder, tmp_path):
    """The kill comes from another process, at arbitrary times."""
    out = tmp_path / "r.parquet"
    for _ in range(2):
        before = _parts(out)
        process = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), str(out)], env=ENVIRONMENT)
        while process.poll() is None and _parts(out) < before + 7:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before + 7 <= _parts(out) < 23
    done = run(folder, out, part_size=1)
    assert done.pictures == 23
    assert done.resumed >= 14
    run(folder, tmp_path / "whole.parquet", part_size=1)
    assert_same_rows(parquet_rows(out), parquet_rows(tmp_path / "whole.parquet"))


def _parts(out: Path) -> int:
    return len(list(out.with_name(out.name + ".parts").glob("part-*.parquet")))


def test_finished_parts_are_not_computed_again(folder, tmp_path, monkeypatch):
    run_interrupted(folder, tmp_path / "r.parquet", 3, monkeypatch)
    model = linear_predictor()
    run(folder, tmp_path / "r.parquet", models=[model])
    assert sum(model.backend.calls) == 8
    run(folder, tmp_path / "w.parquet")
    assert_same_rows(parquet_rows(tmp_path / "r.parquet"), parquet_rows(tmp_path / "w.parquet"))


@pytest.mark.parametrize("gone", [{0}, {2}, {1, 3}, {4}, {0, 1, 2, 3, 4}])
def test_missing_parts_between_finished_ones_are_computed(gone, folder, tmp_path, monkeypatch):
    """Ray's actors finish parts in any order."""
    run(folder, tmp_path / "w.parquet")
    run_interrupted(folder, tmp_path / "r.parquet", 4, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _replace_except(tmp_path / "r.parquet"))
        with pytest.raises(KeyboardInterrupt):
            run(folder, tmp_path / "r.parquet")
    for number in gone:
        (tmp_path / "r.parquet.parts" / f"part-{number:05d}.parquet").unlink()
    model = linear_predictor()
    done = run(folder, tmp_path / "r.parquet", models=[model])
    sizes = [5, 5, 5, 5, 3]
    assert done.resumed == 23 - sum(sizes[number] for number in gone)
    assert sum(model.backend.calls) == sum(sizes[number] for number in gone) - (1 in gone)
    assert_same_rows(parquet_rows(tmp_path / "r.parquet"), parquet_rows(tmp_path / "w.parquet"))


def test_a_damaged_part_is_computed_again(folder, tmp_path, monkeypatch, caplog):
    run_interrupted(folder, tmp_path / "r.parquet", 3, monkeypatch)
    part = tmp_path / "r.parquet.parts" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    assert run(folder, tmp_path / "r.parquet").resumed == 10
    assert "part 1 is damaged" in caplog.text
    assert [row["picture"] for row in parquet_rows(tmp_path / "r.parquet")] == list(range(23))


def _int8(model):
    """The predictor as if its file had 8-bit weights, with the hash of the weights that they were made from."""
    model.backend.storage = "int8"
    return model


CHANGES = {
    "batch_size": ({"batch_size": 4}, r"batch_size 3 \(now 4\)"),
    "part_size": ({"part_size": 6}, r"part_size 5 \(now 6\)"),
    "whole": ({"whole": True}, r"whole False \(now True\)"),
    "weights": ({"models": [linear_predictor(seed=1)]}, r"models.0.weights 'seed0' \(now 'seed1'\)"),
    "storage": ({"models": [_int8(linear_predictor())]}, r"models.0.backend 'linear' \(now 'linear-int8'\)"),
    "models": ({"models": [linear_predictor(), linear_predictor("second")]}, r"models.1.name None \(now 'second'\)"),
    "preprocess": (
        {"models": [linear_predictor(preprocess="upscale224")]},
        r"models.0.preprocess.channels 1 \(now 3\)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("finished", [False, True], ids=["parts", "result"])
def test_another_setting_or_model_is_refused_by_name_unless_restarted(change, finished, folder, tmp_path, monkeypatch):
    options, message = CHANGES[change]
    if finished:
        run(folder, tmp_path / "r.parquet")
    else:
        run_interrupted(folder, tmp_path / "r.parquet", 2, monkeypatch)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    with pytest.raises(InputError, match=rf"r\.parquet.*{message}.*--restart"):
        run(folder, tmp_path / "r.parquet", **options)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before
    done = run(folder, tmp_path / "r.parquet", restart=True, **options)
    assert (done.pictures, done.resumed) == (23, 0)


def test_workers_may_change_between_runs(folder, tmp_path, monkeypatch):
    run_interrupted(folder, tmp_path / "r.parquet", 2, monkeypatch)
    assert run(folder, tmp_path / "r.parquet", workers=5).resumed == 10


def test_changed_pictures_are_recognised(folder, tmp_path, monkeypatch):
    run_interrupted(folder, tmp_path / "r.parquet", 2, monkeypatch)
    (folder / "00a.png").write_bytes((folder / "00.png").read_bytes())
    with pytest.raises(InputError, match=r"source\.files"):
        run(folder, tmp_path / "r.parquet")
    (folder / "00a.png").unlink()
    assert run(folder, tmp_path / "r.parquet").resumed == 10


def test_a_complete_result_is_not_changed(folder, tmp_path):
    run(folder, tmp_path / "r.parquet")
    stamp, model = (tmp_path / "r.parquet").stat(), linear_predictor()
    (tmp_path / "r.parquet.parts").mkdir()  # left by a kill between writing the result and deleting the parts
    (tmp_path / "r.parquet.parts" / "part-00000.parquet").write_bytes(b"old")
    again = run(folder, tmp_path / "r.parquet", models=[model])
    assert (again.pictures, again.errors, model.backend.calls) == (23, 1, [])
    assert (tmp_path / "r.parquet").stat().st_mtime_ns == stamp.st_mtime_ns
    assert not (tmp_path / "r.parquet.parts").exists()


def test_a_file_of_other_software_is_not_replaced(folder, tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"was not written by emotion_hub\.batch"):
        run(folder, tmp_path / "r.parquet")
    assert (tmp_path / "r.parquet").read_bytes() == b"mine"
    with pytest.raises(InputError, match=r"name a \.parquet, \.csv, \.ndjson or \.jsonl file"):
        run(folder, tmp_path / "r.xlsx")


@pytest.mark.parametrize("restart", [False, True])
def test_a_result_does_not_replace_its_source_or_lie_among_its_tables(restart, tmp_path):
    (tmp_path / "tables").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table({"image": [noise_png(1), noise_png(2)]}), tmp_path / "tables" / f"{name}.parquet")
    (tmp_path / "elsewhere.parquet").symlink_to(tmp_path / "tables" / "b.parquet")
    kept = tmp_path / "kept.parquet.parts"
    kept.mkdir()
    (kept / "a.png").write_bytes(noise_png(1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.p*") if path.is_file()}
    a, tables = tmp_path / "tables" / "a.parquet", tmp_path / "tables"
    replaced = [
        (a, a),
        (a, tables / ".." / "tables" / "a.parquet"),
        (tables, tmp_path / "elsewhere.parquet"),
        (kept, tmp_path / "kept.parquet"),
    ]
    for source, out in [*replaced, (kept / "a.png", tmp_path / "kept.parquet")]:
        with pytest.raises(InputError, match=r"would replace the source itself; name another"):
            run(source, out, restart=restart)
    for out in (tables / "r.parquet", tables / "train" / ".." / "r.parquet"):
        (tables / "train").mkdir(exist_ok=True)
        with pytest.raises(
            InputError, match=r"r\.parquet' lies in the folder whose tables are the source.*outside of it"
        ):
            run(tables, out, restart=restart)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.p*") if path.is_file()} == before
    assert run(a, tables / "r.parquet", restart=restart).pictures == 2


def test_a_result_may_be_written_beside_the_pictures(folder, monkeypatch):
    run_interrupted(folder, folder / "r.parquet", 2, monkeypatch)
    assert run(folder, folder / "r.parquet").resumed == 10
    assert run(folder, folder / "r.parquet").pictures == 23
    assert run(folder, folder / "r.parquet", restart=True).resumed == 0


def test_two_runs_cannot_write_the_same_result(folder, tmp_path):
    with (
        Parts(tmp_path / "r.parquet", {"by": "another"}, JsonLinesFormat([], {})).locked(),
        pytest.raises(InputError, match="another run is writing"),
    ):
        run(folder, tmp_path / "r.parquet")
    assert run(folder, tmp_path / "r.parquet").pictures == 23


def test_a_killed_merge_keeps_the_parts(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _replace_except(tmp_path / "r.parquet"))
        with pytest.raises(KeyboardInterrupt):
            run(folder, tmp_path / "r.parquet")
    assert len(list((tmp_path / "r.parquet.parts").glob("part-*.parquet"))) == 5
    model = linear_predictor()
    assert run(folder, tmp_path / "r.parquet", models=[model]).resumed == 23
    assert model.backend.calls == []
    assert [row["picture"] for row in parquet_rows(tmp_path / "r.parquet")] == list(range(23))
    assert not (tmp_path / ".r.parquet.partial").exists()


def _replace_except(target: Path):
    """`os.replace`, which is interrupted for one target."""
    replace = os.replace

    def interrupted(source, destination):
        if Path(destination) == target:
            raise KeyboardInterrupt
        replace(source, destination)

    return interrupted


# Ray


@pytest.mark.slow
@pytest.mark.parametrize(("form", "backend"), [("folder", "onnx"), ("tar", "torch")])
def test_ray_gives_the_same_rows(form, backend, folder, tmp_path):
    """In a subprocess: Ray starts other processes and issues warnings. It gives them one thread each."""
    pytest.importorskip("ray", reason="needs emotion-hub[cluster]")
    source = folder
    if form == "tar":
        import tarfile

        source = tmp_path / "p.tar"
        with tarfile.open(source, "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)
    code = (
        "import sys; from emotion_hub.batch import predict_many\n"
        "options = dict(backend=sys.argv[3], engine='ray', part_size=5, batch_size=3, workers=2)\n"
        "predict_many(*sys.argv[1:3], **options)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path / "ray.parquet"), backend],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    predict_many(source, tmp_path / "local.parquet", backend=backend, part_size=5, batch_size=3, workers=2)
    ray, local = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("ray", "local"))
    assert ray.schema.equals(local.schema, check_metadata=True)
    assert_same_rows(ray.to_pylist(), local.to_pylist())


@pytest.mark.slow
@pytest.mark.timing
def test_a_batch_run_reaches_most_of_the_bare_networks_speed(monkeypatch, tmp_path):
    """At least 70 %, on a machine without other load."""
    from benchmarks.score import main

    monkeypatch.setenv("EMOTION_HUB_CACHE", str(tmp_path / "cache"))
    found = main(["--faces", "2560", "--rounds", "5", "--workers", "2", "--json", str(tmp_path / "b.json")])
    assert json.loads((tmp_path / "b.json").read_text()) == found
    assert max(found["shares"]) >= 0.7
