"""The comparison with other packages: same faces, counts, failures.

The peers themselves are not run.
"""

from __future__ import annotations

import json
import os
import sys

import pytest
from PIL import Image

from benchmarks import peer_environments, peers
from benchmarks.peer_environments import PeerError, worker_command
from benchmarks.peers import OURS, WORKERS, Peer, count_correct
from emotion_hub.errors import InputError

pytestmark = pytest.mark.usefixtures("datasets_cache")

#: One brightness per label, so that a worker can infer the label from the pixels.
FACES = {"angry": 10, "fear": 60, "happy": 110, "neutral": 160}

WORKER = """
import json, sys
from pathlib import Path
sys.path.insert(0, {workers!r})
from clock import run
from PIL import Image
import io
calls = Path(__file__).with_suffix(".calls")
def prepare(task):
    calls.write_text(calls.read_text() + f"{{task['limit']}} " if calls.is_file() else f"{{task['limit']}} ")
    return {{{variant!r}: label}}
def label(png):
    pixel = Image.open(io.BytesIO(png)).getpixel((0, 0))
    return {names!r}[str(pixel)]
if __name__ == "__main__":
    run(prepare, ("pillow",), "one thread")
"""
KNOWN = {"10": "angry", "60": "Fearful", "110": "happiness", "160": "neutral"}


@pytest.fixture
def data(tmp_path):
    """A data set with FER2013's structure: four faces in the test split."""
    for label, brightness in FACES.items():
        (tmp_path / "data" / "test" / label).mkdir(parents=True)
        Image.new("L", (48, 48), brightness).save(tmp_path / "data" / "test" / label / "face.png")
    return tmp_path / "data"


@pytest.fixture
def bench(data, tmp_path, monkeypatch):
    """Runs the benchmark with stand-ins: emotion_hub, always correct, and one peer, wrong on one face.

    `bench.worker(name, ...)` writes further workers.
    """

    def worker(name: str, names: dict[str, str] = KNOWN, code: str | None = None) -> Peer:
        path = tmp_path / f"{name}.py"
        path.write_text(WORKER.format(workers=str(WORKERS), variant=name, names=names) if code is None else code)
        return Peer(str(path))

    def run(*options: str) -> dict:
        return peers.main(
            [
                "--data",
                str(data),
                "--baselines",
                str(tmp_path),
                "--work",
                str(tmp_path / "work"),
                "--rounds",
                "1",
                *options,
            ]
        )

    run.worker = worker
    run.calls = lambda name: (tmp_path / f"{name}.calls").read_text().split()
    monkeypatch.setattr(peers, "PEERS", {OURS: worker("ours"), "rival": worker("rival", {**KNOWN, "10": "sadness"})})
    monkeypatch.setattr(peers, "WARM", 1)
    return run


def test_labels_are_matched_by_name_and_counted():
    assert count_correct(["Fearful", "happiness", "SAD", "neutral"], [2, 3, 4, 0]) == 3
    with pytest.raises(PeerError, match="bored"):
        count_correct(["bored"], [0])
    with pytest.raises(PeerError, match="1 labels for 2 faces"):
        count_correct(["happy"], [3, 3])


def test_every_peer_gets_the_same_faces_and_is_compared(bench, tmp_path, capsys):
    report = bench("--rounds", "2", "--timed", "3", "--json", str(tmp_path / "out" / "peers.json"))
    assert json.loads((tmp_path / "out" / "peers.json").read_text()) == report
    ours, rival = report["peers"][OURS]["rows"]["ours"], report["peers"]["rival"]["rows"]["rival"]
    assert (ours["correct"], ours["faces"], ours["accuracy"]) == (4, 4, 1.0)
    assert (rival["correct"], rival["accuracy"]) == (3, 0.75)
    assert len(rival["rounds_ms"]) == 2
    assert bench.calls("rival") == bench.calls("ours") == ["4", "3"], "all faces first, then those of the timed rounds"
    assert report["peers"]["rival"]["versions"].keys() == {"pillow"}
    [pair] = report["ahead"]
    assert (pair["ours"], pair["peer"], pair["points_ahead"]) == ("ours", "rival", 25.0)
    assert pair["times_as_fast"] == pytest.approx(rival["milliseconds"] / ours["milliseconds"])
    table = (tmp_path / "out" / "peers.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert f"| rival | {rival['milliseconds']:.2f} | 75.0% |" in table
    assert not [path for path in tmp_path.rglob("*.png") if "data" not in path.parts], "copies of faces are deleted"


def test_ahead_means_faster_and_more_accurate_at_once():
    def part(milliseconds: float, accuracy: float) -> dict:
        return {"rows": {"it": {"milliseconds": milliseconds, "accuracy": accuracy}}}

    def ahead(milliseconds: float, accuracy: float) -> bool:
        [pair] = peers.compare({"peers": {OURS: part(1.0, 0.7), "rival": part(milliseconds, accuracy)}})
        return pair["ahead"]

    assert ahead(2.0, 0.6)
    assert not ahead(0.5, 0.6), "slower"
    assert not ahead(2.0, 0.7), "no more accurate"


def test_a_peer_that_fails_is_a_row_with_the_reason(bench, monkeypatch):
    broken = {
        "crashes": bench.worker("crashes", code="raise RuntimeError('no such model')"),
        "silent": bench.worker("silent", code=""),
        "foreign": bench.worker("foreign", {**KNOWN, "10": "bored"}),
        "weightless": Peer(peers.PEERS["rival"].worker, weights={"rival.hdf5": "rival.hdf5"}),
        "node": Peer("face_api.js", "face_api.json"),
    }
    monkeypatch.setattr(peers, "PEERS", {OURS: peers.PEERS[OURS], **broken})
    monkeypatch.setattr(peer_environments.shutil, "which", lambda program: None)
    report = bench()
    reasons = {name: report["peers"][name]["unavailable"] for name in broken}
    assert "no such model" in reasons["crashes"]
    assert "no readable result" in reasons["silent"]
    assert "bored" in reasons["foreign"]
    assert "rival.hdf5" in reasons["weightless"]
    assert "apt-get install -y nodejs npm" in reasons["node"]
    assert report["peers"][OURS]["rows"]["ours"]["correct"] == 4, "emotion_hub is measured anyway"
    assert report["ahead"] == []
    assert all(f"| {name} | not measured: " in peers.markdown(report) for name in broken)


def test_one_peer_is_measured_again_and_the_others_are_kept(bench, monkeypatch):
    monkeypatch.setattr(peers, "PEERS", {**peers.PEERS, "third": bench.worker("third")})
    before = bench()
    after = bench("--peer", "third")
    assert [len(bench.calls(name)) for name in ("ours", "rival", "third")] == [2, 1, 2], "emotion_hub is in every run"
    assert after["peers"]["rival"]["rows"] == before["peers"]["rival"]["rows"]
    assert after["peers"]["rival"]["earlier"]
    assert "earlier" not in after["peers"]["third"]
    assert "Measured earlier" in peers.markdown(after)
    fewer = bench("--peer", "third", "--faces", "2")
    assert "not selected" in fewer["peers"]["rival"]["unavailable"], "figures of other faces are not reused"
    bench.worker("rival", {**KNOWN, "10": "fear"})
    assert "not selected" in bench("--peer", "third")["peers"]["rival"]["unavailable"], (
        "nor those of another worker's code"
    )


def test_the_number_of_cores_is_limited_and_restored():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot limit processes to cores")
    before = os.sched_getaffinity(0)
    with peer_environments.limited_cores(1) as cores:
        assert (cores, len(os.sched_getaffinity(0))) == (1, 1)
    assert os.sched_getaffinity(0) == before


def test_an_environment_is_installed_once_per_set_of_pins(tmp_path, monkeypatch):
    calls, pins, place = [], tmp_path / "pins.txt", tmp_path / "work" / "env"

    def call(command: list[str], what: str, **options: object) -> None:
        calls.append(what)
        if what == "pip install" and pins.read_text() == "broken==1\n":
            raise PeerError("pip install ended with 1: no such version")

    monkeypatch.setattr(peer_environments, "call", call)
    pins.write_text("fer==1\n")
    script = tmp_path / "worker.py"
    assert worker_command(script, None, place) == [sys.executable, str(script)]
    assert calls == []
    command = worker_command(script, pins, place)
    assert command[0].startswith(str(place)), "its own interpreter"
    assert worker_command(script, pins, place) == command
    assert calls == ["python -m venv", "pip install"]
    pins.write_text("broken==1\n")
    for _ in range(2):
        with pytest.raises(PeerError, match="no such version"):
            worker_command(script, pins, place)
    assert calls == ["python -m venv", "pip install"] * 3
    (place / "left over").touch()
    pins.write_text("fer==1\n")
    worker_command(script, pins, place)
    assert calls == ["python -m venv", "pip install"] * 4
    assert not (place / "left over").exists()


def test_a_failed_command_raises_its_error_output():
    with pytest.raises(PeerError, match=r"^pip install ended with 3: ERROR: no wheel$"):
        peer_environments.call(
            [sys.executable, "-c", "import sys; sys.stderr.write('ERROR: no wheel\\nnote\\n'); sys.exit(3)"],
            "pip install",
        )
    with pytest.raises(PeerError, match=r"pip install: .*absent"):
        peer_environments.call(["/absent"], "pip install")


@pytest.mark.parametrize("option", ["--faces", "--rounds", "--timed"])
def test_a_count_below_one_is_rejected(bench, option):
    with pytest.raises(InputError, match=f"{option} 0"):
        bench(option, "0")


@pytest.mark.parametrize("peer", peers.PEERS.values(), ids=peers.PEERS)
def test_every_peer_has_a_worker_and_exact_versions(peer):
    assert (WORKERS / peer.worker).is_file()
    if peer.pins is None:
        return
    text = (WORKERS / peer.pins).read_text()
    versions = (
        json.loads(text)["dependencies"].values()
        if peer.pins.endswith(".json")
        else [line.split("==")[1] for line in text.splitlines()]
    )
    assert versions
    assert all(version[0].isdigit() for version in versions), f"{peer.pins} has a version that is not pinned"
