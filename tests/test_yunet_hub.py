"""YuNet from the Hub: fetched once, checked, bounded in time, and the cascade goes on where there is none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from PIL import Image

from emotion_hub import detectors
from emotion_hub.detectors import YUNET_FILE, YUNET_VARIABLE, LbpDetector, YuNetDetector, default_detector, detector_at_work
from emotion_hub.detectors import hub as source_module
from emotion_hub.detectors.hub import PAUSE, WAIT, YuNetSource
from emotion_hub.detectors.yunet import YUNET_REPOSITORY, YUNET_SHA256
from emotion_hub.faces import find_faces
from emotion_hub.ui.about import detector_line

ROOT = Path(__file__).parent.parent
FILE = f"{YUNET_REPOSITORY}/resolve/"

pytest.importorskip("cv2")


@pytest.fixture
def content(shared_data: Path) -> bytes:
    return (shared_data / "detectors" / YUNET_FILE).read_bytes()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[YuNetSource]:
    """The process's source as after a fresh start, without a variable that names a file; its thread is waited for at the end."""
    monkeypatch.delenv(YUNET_VARIABLE, raising=False)
    fresh = YuNetSource(wait=30)  # a loaded machine may take longer than the three seconds of the others
    monkeypatch.setattr(detectors, "_SOURCE", fresh)
    yield fresh
    if fresh._thread:
        fresh._thread.join(20)


@pytest.fixture
def published(hub: Any, content: bytes) -> Any:
    """The local Hub with YuNet's repository."""
    publish(hub, content)
    return hub


def publish(hub: Any, content: bytes) -> None:
    repo = hub.store.create("model", YUNET_REPOSITORY, "opencv")
    digest = hashlib.sha256(content).hexdigest()
    hub.store.upload(digest, content)
    lines = [{"key": "header", "value": {"summary": "YuNet"}}, {"key": "lfsFile", "value": {"path": YUNET_FILE, "oid": digest}}]
    hub.store.commit(repo, "main", lines, "opencv")


def finished(source: YuNetSource) -> None:
    thread = source._thread
    if thread:
        thread.join(30)
        assert not thread.is_alive()


def test_the_known_hash_is_the_published_files(content: bytes) -> None:
    assert hashlib.sha256(content).hexdigest() == YUNET_SHA256


def test_yunet_is_fetched_once_and_is_the_default_also_without_the_hub(published: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_detector(), YuNetDetector)
    assert default_detector() is default_detector()
    asked = len(published.log)
    assert [r.status for r in published.seen("^/cdn/", "GET")] == [200]
    assert not [r for r in published.log if "authorization" in r.headers], "a public file is asked for without the caller's token"
    monkeypatch.setattr(detectors, "_SOURCE", YuNetSource(wait=30))  # as in the next process
    assert isinstance(default_detector(), YuNetDetector)
    assert len(published.log) == asked, "the cache has it: the Hub is not asked"
    published.stop()
    monkeypatch.setattr(detectors, "_SOURCE", YuNetSource(wait=30))
    assert isinstance(default_detector(), YuNetDetector)


def test_offline_mode_is_respected(published: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert isinstance(default_detector(), LbpDetector)
    assert published.log == []
    assert "HF_HUB_OFFLINE" in detector_line()


def test_the_variable_comes_first_and_off_turns_it_off(published: Any, source: YuNetSource, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(YUNET_VARIABLE, "off")
    assert isinstance(default_detector(), LbpDetector)
    assert "EMOTION_HUB_YUNET=off" in detector_line()
    monkeypatch.setenv(YUNET_VARIABLE, str(shared_data / "detectors" / YUNET_FILE))
    assert isinstance(default_detector(), YuNetDetector)
    assert published.log == []


@pytest.mark.parametrize("content", [b"this is no network", b"\x08\x07" * 50_000], ids=["text", "bytes"])
def test_a_file_that_is_not_yunet_is_refused_with_a_message_and_the_cascade_goes_on(
    content: bytes, hub: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, content)
    monkeypatch.setattr(source_module, "YuNetDetector", lambda path: pytest.fail("OpenCV was given a file that nobody checked"))
    assert isinstance(default_detector(), LbpDetector)
    finished(source)
    assert isinstance(default_detector(), LbpDetector)
    assert hashlib.sha256(content).hexdigest()[:12] in detector_at_work().problem
    assert "is not used" in detector_line()
    assert "set EMOTION_HUB_YUNET" in detector_line()


def test_a_damaged_file_in_the_cache_is_fetched_again(published: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_detector(), YuNetDetector)
    [cached] = Path(constants.HF_HUB_CACHE).rglob(f"snapshots/*/{YUNET_FILE}")
    cached.resolve().write_bytes(b"damaged")
    monkeypatch.setattr(detectors, "_SOURCE", YuNetSource(wait=30))
    assert isinstance(default_detector(), YuNetDetector)
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == YUNET_SHA256


def test_a_hub_that_is_down_costs_no_wait_and_is_not_asked_again_for_minutes(hub: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stop()
    begun = time.monotonic()
    assert isinstance(default_detector(), LbpDetector)
    assert time.monotonic() - begun < 2
    finished(source)
    tried: list[float] = []
    monkeypatch.setattr(source_module, "_download", lambda again: tried.append(time.monotonic()))
    for _ in range(20):
        default_detector()
    assert tried == []
    assert "the Hub did not give its file" in detector_at_work().problem
    source._failed_at -= PAUSE + 1
    default_detector()
    finished(source)
    assert len(tried) == 1, "after the pause it is tried again"


def test_a_hub_with_errors_is_asked_one_question_and_not_six(published: Any, source: YuNetSource) -> None:
    published.fail(FILE, 503, times=99)
    assert isinstance(default_detector(), LbpDetector)
    finished(source)
    assert [r.status for r in published.seen(FILE)] == [503]


class Trap:
    """A server that accepts connections and then does as `serve` says, until the test is over."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None]) -> None:
        self.over = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.serve = serve
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        lines = []
        while not self.over.is_set():
            try:
                connection, _ = self.socket.accept()
            except TimeoutError:
                continue
            lines.append(threading.Thread(target=self._one, args=(connection,), daemon=True))
            lines[-1].start()
        for line in lines:
            line.join(5)
        self.socket.close()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client hung up
            self.serve(connection, self.over)


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def trickle(connection: socket.socket, over: threading.Event) -> None:
    """Headers one byte at a time: each read succeeds, so that no timeout of a read ever fires."""
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 1000:
        if over.wait(0.1):
            return
        connection.sendall(bytes([byte]))


SLOW = """
import sys, time
from emotion_hub.detectors import LbpDetector, default_detector
import emotion_hub.faces, huggingface_hub.file_download
LbpDetector()
begun = time.monotonic()
names = [default_detector().name for _ in range(3)]
print(names, time.monotonic() - begun)
"""


@pytest.mark.parametrize("kind", ["silent", "trickle", "no such host"])
def test_a_hub_that_does_not_answer_delays_a_process_by_three_seconds_in_all(kind: str, tmp_path: Path) -> None:
    trap = None if kind == "no such host" else Trap({"silent": silent, "trickle": trickle}[kind])
    endpoint = f"http://127.0.0.1:{trap.socket.getsockname()[1]}" if trap else "http://hub.invalid"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != YUNET_VARIABLE and "proxy" not in k.lower()}
    environment = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SLOW], env=environment, capture_output=True, text=True, timeout=60, check=False)
    if trap:
        trap.over.set()
        trap.thread.join(10)
    assert done.returncode == 0, done.stderr
    names, seconds = done.stdout.rsplit("] ", 1)
    assert names == "['LBP cascade', 'LBP cascade', 'LBP cascade'"
    assert float(seconds) < 2 * WAIT, "once in all, not once a call"


def test_what_comes_late_takes_over_for_later_photos_and_the_foot_line_follows(published: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.wait = 1
    published.delay("^/cdn/", 4)
    photo = Image.new("RGB", (80, 80), "gray")
    begun = time.monotonic()
    assert find_faces(photo) == []
    assert 0.9 < time.monotonic() - begun < 3
    at_work = detector_at_work()
    assert (isinstance(at_work.detector, LbpDetector), at_work.pending) == (True, True)
    assert "being fetched" in detector_line()
    begun = time.monotonic()
    assert isinstance(default_detector(), LbpDetector)
    assert time.monotonic() - begun < 0.8, "the wait is spent: it is not spent again"
    finished(source)
    assert isinstance(default_detector(), YuNetDetector)
    assert "<strong>YuNet</strong>" in detector_line()


def test_asking_what_is_at_work_never_waits(published: Any, source: YuNetSource) -> None:
    published.delay("^/cdn/", 3)
    begun = time.monotonic()
    assert detector_at_work().pending
    assert time.monotonic() - begun < 2
    finished(source)


def test_many_threads_fetch_it_once(published: Any, source: YuNetSource) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(default_detector())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(d) for d in found}) == 1
    assert isinstance(found[0], YuNetDetector)
    assert len(published.seen("^/cdn/", "GET")) == 1


def test_without_opencv_nothing_is_fetched_and_the_command_is_named(published: Any, source: YuNetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module.importlib.util, "find_spec", lambda name: None)
    assert isinstance(default_detector(), LbpDetector)
    assert published.log == []
    assert "pip install opencv-python-headless" in detector_line()
