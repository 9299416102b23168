"""The pool of models: loads in the background, queue, eviction, disk."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from emotion_hub.errors import CheckpointError
from emotion_hub.ui import downloads, models
from emotion_hub.ui.choices import MORE_VARIABLE
from emotion_hub.ui.models import MAX_MODELS, ModelPool, shared_pool
from emotion_hub.ui.picker import _status
from emotion_hub.ui.predict import predict_html
from tests.fakes.hub_cards import ID, note_of
from tests.fakes.hub_models import checkpoint_files, put


def test_a_failed_load_is_repeated_only_after_a_pause(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ModelPool()
    with pytest.raises(CheckpointError):
        pool.get(ID, 30)
    put(hub, ID, checkpoint_files())
    requests = len(hub.log)
    for _ in range(5):
        assert pool.request(ID).problem
    assert len(hub.log) == requests
    monkeypatch.setattr(models, "RETRY_AFTER", 0.0)
    assert pool.get(ID, 30).name == ID


def test_predictions_do_not_wait_for_a_load_and_the_page_shows_its_progress(hub: Any, face: str) -> None:
    put(hub, ID, checkpoint_files())
    hub.delay("^/cdn/", 2)
    predict_html(face, "native48", True)
    started = time.monotonic()
    html, faces = predict_html(face, ID, True)
    assert time.monotonic() - started < 1.8
    assert faces[0]["model"] == "native48"
    assert f"{ID} is still loading" in note_of(html)
    with pytest.raises(CheckpointError, match=r"is still loading.*try again"):
        shared_pool().get(ID, 0.1)
    for _ in range(50):
        card, pending = _status(ID, None)
        if "downloading 6.3 MB" in card:
            break
        time.sleep(0.05)
    assert pending
    assert "downloading 6.3 MB" in card
    shared_pool().get(ID, 30)
    assert note_of(predict_html(face, ID, True)[0]) == ""
    assert not _status(ID, None)[1]


def test_a_load_that_takes_too_long_is_abandoned_and_the_next_one_runs(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 0.5)
    over = threading.Event()
    real = models.load

    def load(choice: Any, *rest: Any) -> Any:
        if choice.repo_id == "a/slow":
            over.wait(20)
        return real(choice, *rest)

    monkeypatch.setattr(models, "load", load)
    put(hub, ID, checkpoint_files())
    pool = ModelPool()
    with pytest.raises(CheckpointError, match="took longer than"):
        pool.get("a/slow", 10)
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 30)
    pool.get(ID, 30)
    assert "took longer than" in pool.request("a/slow").problem
    over.set()
    for thread in pool._abandoned:
        thread.join(20)
    assert "took longer than" in pool.request("a/slow").problem, "an abandoned load does not become available"


def test_no_further_loads_start_while_too_many_abandoned_loads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    started = []
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 0.05)
    monkeypatch.setattr(models, "load", lambda choice, *_: (started.append(choice.name), over.wait(20)))
    pool = ModelPool()
    for name in ("a/one", "a/two", "a/three"):
        with pytest.raises(CheckpointError):
            pool.get(name, 5)
    assert started == ["a/one", "a/two"]
    assert "earlier downloads still hang" in pool.request("a/three").problem
    over.set()


def test_loads_run_one_after_another_and_the_queue_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, gate = [0], [0], threading.Event()

    def load(choice: Any, *_: Any) -> Any:
        running[0] += 1
        most[0] = max(most[0], running[0])
        gate.wait(20)
        running[0] -= 1
        raise CheckpointError("none")

    monkeypatch.setattr(models, "load", load)
    pool = ModelPool()
    for i in range(models.MAX_QUEUE + 1):
        assert pool.request(f"a/m{i}").pending
        for _ in range(1000 if i == 0 else 0):  # the first one leaves the queue before the others fill it
            if running[0]:
                break
            time.sleep(0.02)
    assert "other models wait" in pool.request("a/late").problem
    gate.set()
    with pytest.raises(CheckpointError, match="none"):
        pool.get(f"a/m{models.MAX_QUEUE}", 20)
    assert most[0] == 1


def test_the_least_recently_requested_visitors_model_is_evicted(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(hub, "tester/own", checkpoint_files())
    monkeypatch.setenv(MORE_VARIABLE, "tester/own")
    pool = ModelPool()
    pool.get("tester/own", 30)
    names = [f"a/m{i}" for i in range(MAX_MODELS + 1)]
    for name in names:
        put(hub, name, checkpoint_files())
    for name in names[:MAX_MODELS]:
        pool.get(name, 30)
    pool.request(names[0])
    pool.get(names[MAX_MODELS], 30)
    ready = {name for name, status in pool._states.items() if status.model}
    assert ready == {"tester/own", *names} - {names[1]}


def test_the_oldest_downloads_are_deleted_beyond_the_disk_limit(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_DISK", 14_000_000)  # two of the 6.3 MB models
    pool = ModelPool()
    for name in ("a/one", "a/two", "a/three"):
        put(hub, name, checkpoint_files())
        pool.get(name, 30)
    kept = {folder.name for folder in downloads.public_cache().glob("models--*")}
    assert kept == {"models--a--two", "models--a--three"}
    assert not list(Path(constants.HF_HUB_CACHE).glob("models--*")), "the operator's cache has no visitors' files"
