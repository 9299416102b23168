"""What holds under load and at the end: queues, time limits, batches, sizes, and a stop that leaves nobody without an answer."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError
from emotion_hub.explainers import METHODS
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve import ServeConfig, bodies, create_app
from emotion_hub.serve import models as serve_models
from emotion_hub.serve.batching import Batcher
from emotion_hub.serve.limits import Gate
from tests.fakes.api_server import Boxes, LinearBackend, photo, predictor, running, until
from tests.tolerances import assert_same_logits, assert_same_probs

PNG = {"content-type": "image/png"}


def ask(client: httpx.Client, seed: int = 0, path: str = "/predict", **options: object) -> httpx.Response:
    return client.post(path, content=photo(seed), headers=PNG, params=options)


def metric(client: httpx.Client, line: str) -> float:
    """The value of one series, 0 when it is not there yet."""
    rows = [row.rpartition(" ") for row in client.get("/metrics").text.splitlines()]
    return next((float(value) for name, _, value in rows if name == f"emotion_hub_{line}"), 0.0)


# the queue


def test_a_full_queue_answers_503_with_retry_after_and_the_others_are_served() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(queue=3, workers=1))
    with running(app) as client, ThreadPoolExecutor(3) as many:
        detector.go.clear()
        waiting = [many.submit(ask, client, seed) for seed in range(3)]
        until(lambda: app.state.service.photos.inside == 3)
        assert metric(client, 'queue_depth{queue="photos"}') == 3
        for path in ("/predict", "/", "/compare?upscale224=tiny&native48=tiny"):
            refused = client.post(path, content=photo(), headers=PNG)
            assert refused.status_code == 503
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert "the queue for requests is full, 3 of 3" in refused.json()["error"]
        detector.go.set()
        assert [each.result().status_code for each in waiting] == [200] * 3
        assert ask(client).status_code == 200
        assert metric(client, 'rejections_total{reason="full"}') == 3
        assert (app.state.service.photos.inside, metric(client, 'queue_limit{queue="photos"}')) == (0, 3)


def test_time_that_is_up_is_a_504_and_the_place_stays_taken_until_the_work_is_over() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(timeout=4, workers=1))
    with running(app) as client:
        detector.go.clear()
        late = ask(client)
        assert late.status_code == 504
        assert "longer than 4 s" in late.json()["error"]
        assert app.state.service.photos.inside == 1, "a thread still works for it"
        batches = len(app.state.service.models.lanes["tiny"].predictor.backend.batches)
        detector.go.set()
        until(lambda: app.state.service.photos.inside == 0)
        assert len(app.state.service.models.lanes["tiny"].predictor.backend.batches) == batches, (
            "nobody waits for the network's answer"
        )
        app.state.service.photos.usual_work = 0.0
        assert ask(client).status_code == 200
        assert metric(client, 'rejections_total{reason="timeout"}') == 1


def test_work_that_did_not_begin_in_time_is_a_503_and_never_begins() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(timeout=4, workers=1))
    with running(app) as client, ThreadPoolExecutor(2) as many:
        seen = detector.seen
        detector.go.clear()
        begun = many.submit(ask, client)
        until(lambda: detector.seen == seen + 1)
        waiting = many.submit(ask, client)
        assert begun.result().status_code == 504
        late = waiting.result()
        assert (late.status_code, "retry-after" in late.headers) == (503, True)
        assert "before the work could begin" in late.json()["error"]
        detector.go.set()
        until(lambda: app.state.service.photos.inside == 0)
        assert detector.seen == seen + 1
        assert metric(client, 'rejections_total{reason="late"}') == 1


def test_work_that_would_be_cut_off_is_not_begun() -> None:
    gate = Gate(1, 10.0, "requests")
    gate.usual_work = 4.0

    async def come(waited: float) -> list[int]:
        ran = []
        async with gate.admit() as ticket:
            ticket._came -= waited
            with ThreadPoolExecutor(1) as pool:
                await ticket.wait(pool.submit(ticket.work(ran.append), 1))
        return ran

    assert asyncio.run(come(1.0)) == [1]
    with pytest.raises(Exception, match="before the work could begin") as caught:
        asyncio.run(come(8.0))
    assert caught.value.status_code == 503
    assert gate.inside == 0


def test_explanations_have_their_own_queue_and_end_when_their_time_is_up() -> None:
    backend = LinearBackend()
    slow, quick = predictor(name="slow"), predictor(1, name="quick")
    slow = EmotionPredictor(backend, slow.labels, slow.preprocessor, name="slow", detector=Boxes())
    config = ServeConfig(explain_at_once=1, explain_queue=0, explain_timeout=2.0)
    METHODS["lime"].load()  # its import takes longer than that
    app = create_app({"slow": slow, "quick": quick}, config=config)
    options = {"method": "lime", "metrics": "none", "samples": 5000, "model": "slow"}
    with running(app) as client, ThreadPoolExecutor(1) as many:
        backend.go.clear()
        late = many.submit(ask, client, path="/explain", **options)
        until(lambda: app.state.service.explanations.inside == 1)
        refused = ask(client, path="/explain", **options)
        assert (refused.status_code, "the queue for explanations is full, 1 of 1" in refused.json()["error"]) == (
            503,
            True,
        )
        assert int(refused.headers["retry-after"]) >= 1
        assert ask(client, model="quick").status_code == 200, "predictions go on"
        assert late.result().status_code == 504
        calls = len(backend.batches)
        backend.go.set()
        until(lambda: app.state.service.explanations.inside == 0)
        assert len(backend.batches) <= calls + 2, "the method ended at its next batch"


# sizes


def test_a_body_is_read_no_further_than_it_may_be_long() -> None:
    app = create_app({"tiny": predictor()}, config=ServeConfig(max_body=10_000))
    read, sent, before = [], [], []

    async def receive() -> dict:
        read.append(4096)
        return {"type": "http.request", "body": bytes(4096), "more_body": len(read) < 20}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            before.append(sum(read))  # what is read later, for a moment, only lets the client see the answer
        sent.append(message)

    async def post(headers: list[tuple[bytes, bytes]]) -> int:
        read.clear()
        sent.clear()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "raw_path": b"/predict",
            "query_string": b"",
            "headers": headers,
            "asgi": {"version": "3.0"},
        }
        await app(
            {
                **scope,
                "http_version": "1.1",
                "scheme": "http",
                "server": ("x", 80),
                "client": ("y", 1),
                "root_path": "",
            },
            receive,
            send,
        )
        return sent[0]["status"]

    try:
        assert asyncio.run(post([(b"content-type", b"image/png")])) == 413
        assert before.pop() == 3 * 4096
        assert asyncio.run(post([(b"content-type", b"image/png"), (b"content-length", b"999999")])) == 413
        assert before.pop() == 0, "what is announced as too large is not read at all"
        assert asyncio.run(post([(b"content-length", b"9" * 5000)])) == 413
    finally:
        app.state.service.close()


@contextmanager
def begun(client: httpx.Client, path: str, sent: bytes = b"x") -> Iterator[socket.socket]:
    """A connection whose request has begun and whose body does not go on."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n".encode()
            + sent
        )
        yield raw


def test_bodies_that_hardly_move_keep_nobody_out() -> None:
    config = ServeConfig(queue=1, explain_at_once=1, explain_queue=0, body_timeout=300)
    app = create_app({"tiny": predictor()}, config=config)
    with running(app) as client, ExitStack() as slow:
        for path in ("/predict", "/explain", "/compare", "/"):
            for _ in range(3):
                slow.enter_context(begun(client, path))
        until(lambda: app.state.service.bodies.inside == 12)
        assert metric(client, 'queue_depth{queue="bodies"}') == 12
        assert ask(client).status_code == 200
        assert ask(client, path="/explain", method="lime", samples=100, metrics="none").status_code == 200
        slow.close()
        until(lambda: (app.state.service.bodies.inside, app.state.service.bodies.held) == (0, 0))


@pytest.mark.parametrize("path", ["/predict", "/explain", "/compare", "/", "/models/tiny"])
def test_a_body_that_does_not_arrive_in_time_is_a_408_and_the_connection_ends(path: str) -> None:
    with running(create_app({"tiny": predictor()}, config=ServeConfig(body_timeout=0.2))) as client:
        with begun(client, path) as raw:
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(
            b'{"error":"the body was not there after 0.2 s; send a smaller picture, or over a faster line"}'
        )
        assert metric(client, 'rejections_total{reason="slow"}') == 1


def test_bodies_are_bounded_in_number_and_in_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST", 2)
    app = create_app({"tiny": predictor()}, config=ServeConfig(queue=1, max_body=1024, body_timeout=300))
    reading = app.state.service.bodies
    with running(app) as client, ExitStack() as slow:
        slow.enter_context(begun(client, "/predict", bytes(600)))
        until(lambda: reading.held == 600)
        crowded = client.post("/predict", content=bytes(600), headers=PNG)
        slow.enter_context(begun(client, "/predict"))
        until(lambda: reading.inside == 2)
        full = client.post("/explain", content=b"", headers=PNG)
        for refused in (crowded, full):
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "300")
            assert "too many bodies are being read" in refused.json()["error"]
        slow.close()
        until(lambda: (reading.inside, reading.held) == (0, 0))
        assert client.post("/predict", content=bytes(600), headers=PNG).status_code == 400, (
            "it is read again, and is no picture"
        )


def test_a_large_photo_in_a_form_is_never_written_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(create_app({"tiny": predictor()})) as client:

        def written(*args: object, **kwargs: object) -> None:
            raise AssertionError("a temporary file was opened")

        for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
            monkeypatch.setattr(tempfile, name, written)
        large = photo(size=(1300, 900), kind="BMP")
        assert len(large) > 3_000_000
        assert client.post("/predict", files={"image": large}).status_code == 200


# batches


def test_requests_that_wait_share_a_batch_and_each_gets_its_own_answer() -> None:
    network = predictor()
    expected = [network.predict(photo(seed))[0].probs for seed in range(8)]
    app = create_app({"tiny": network}, config=ServeConfig(batch=64, workers=2))
    backend = network.backend
    with running(app) as client, ThreadPoolExecutor(8) as many:
        backend.batches.clear()
        backend.go.clear()
        first = many.submit(ask, client, 0)
        until(lambda: backend.batches == [2])
        others = [many.submit(ask, client, seed) for seed in range(1, 8)]
        until(lambda: len(app.state.service.models.lanes["tiny"].batcher._jobs) == 7)
        backend.go.set()
        answers = [each.result().json() for each in (first, *others)]
        assert backend.batches == [2, 14], "two faces a photo"
        for answer, probs in zip(answers, expected, strict=True):
            assert_same_probs(answer["probs"], probs)
        assert metric(client, 'batch_faces_count{model="tiny"}') == 2
        assert metric(client, 'faces_total{model="tiny"}') == 16


def test_a_lone_request_does_not_wait_for_others() -> None:
    with running(create_app({"tiny": predictor()}, config=ServeConfig(batch_wait=1000))) as client:
        times = []
        for _ in range(3):
            begun = time.monotonic()
            assert ask(client).status_code == 200
            times.append(time.monotonic() - begun)
        assert min(times) < 0.8


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 1, 48, 48)).astype(np.float32)


def test_a_batch_waits_no_longer_than_told_and_goes_when_it_is_full() -> None:
    backend = LinearBackend()
    batcher, patient = Batcher(backend, 4, 300), Batcher(backend, 4, 60_000)
    try:
        begun = time.monotonic()
        lone = batcher.submit(rows(1)).result()
        assert 0.25 < time.monotonic() - begun < 5
        assert lone.waited >= 250
        begun = time.monotonic()
        full = [patient.submit(rows(2, seed)) for seed in (1, 2)]
        assert_same_logits(full[1].result().logits, backend.logits(rows(2, 2)))
        assert time.monotonic() - begun < 30
        assert backend.batches[:2] == [1, 4]
    finally:
        batcher.close()
        patient.close()


def test_no_run_of_the_network_is_larger_than_the_limit() -> None:
    backend = LinearBackend()
    batcher = Batcher(backend, 4, 0)
    backend.go.clear()
    first = batcher.submit(rows(1))
    until(lambda: backend.batches == [1])
    pending = [batcher.submit(rows(n, n)) for n in (3, 2, 9)]
    backend.go.set()
    batcher.close()
    assert backend.batches == [1, 3, 2, 4, 4, 1]
    assert first.result().logits.shape == (1, 7)
    for n, future in zip((3, 2, 9), pending, strict=True):
        assert_same_logits(future.result().logits, backend.logits(rows(n, n)))


def test_who_gave_up_is_left_out_and_a_broken_batch_breaks_no_other() -> None:
    backend = LinearBackend()
    batcher = Batcher(backend, 8, 0)
    backend.go.clear()
    batcher.submit(rows(1))
    until(lambda: backend.batches == [1])
    gone, stays = batcher.submit(rows(2)), batcher.submit(rows(3))
    assert gone.cancel()
    backend.go.set()
    assert len(stays.result().logits) == 3
    assert backend.batches == [1, 3]
    with pytest.raises(CancelledError):
        gone.result()
    with pytest.raises(ValueError, match="matmul"):
        batcher.submit(np.zeros((1, 1, 2, 2), np.float32)).result()
    assert len(batcher.submit(rows(1)).result().logits) == 1
    last = batcher.submit(rows(1))
    batcher.close()
    assert len(last.result().logits) == 1, "what waits is answered before the end"
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(rows(1))


# the beginning and the end


def test_the_server_is_alive_at_once_and_ready_when_the_models_are(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    load = lambda name, source, backend: go.wait(20) and predictor(name=name)  # noqa: E731
    monkeypatch.setattr(serve_models, "_load", load)
    with (
        running(create_app(config=ServeConfig(models=("native48",))), ready=False) as client,
        ThreadPoolExecutor(1) as many,
    ):
        assert client.get("/health").json()["status"] == "ok"
        for path in ("/ready", "/models"):
            early = client.get(path)
            assert (early.status_code, early.json()) == (503, {"error": "the models are being loaded"})
            assert int(early.headers["retry-after"]) >= 1
        assert metric(client, "ready") == 0
        waits = many.submit(ask, client)
        time.sleep(0.1)
        assert not waits.done(), "who asks early waits"
        go.set()
        assert waits.result().status_code == 200
        assert client.get("/ready").json() == {"ready": True, "models": ["native48"]}
        assert metric(client, "ready") == 1


@pytest.mark.parametrize(
    ("named", "expected"), [(None, ["onnx", "torch"]), ("auto", ["onnx", "torch"]), ("torch", ["torch", "torch"])]
)
def test_each_model_runs_on_its_default_backend_unless_one_is_named(
    named: str | None, expected: list[str], tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(embedded_checkpoints()["emotion_cnn"] / name, tmp_path / name)
    app = create_app(config=ServeConfig(models=("emotion_cnn", str(tmp_path)), backend=named))
    try:
        asyncio.run(app.state.service.models.ready())
        assert [lane.backend for lane in app.state.service.models.lanes.values()] == expected, (
            "of a checkpoint with an ONNX file, and of weights alone"
        )
    finally:
        app.state.service.close()


def test_models_that_cannot_be_loaded_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, source: str, backend: str) -> None:
        raise CheckpointError("the file /secret/place is damaged")

    monkeypatch.setattr(serve_models, "_load", load)
    app = create_app(config=ServeConfig(models=("native48",)))
    told = threading.Event()
    app.state.service.models.on_failure = told.set
    with running(app, ready=False) as client:
        assert told.wait(10)
        for answer in (client.get("/ready"), ask(client)):
            assert answer.status_code == 503
            assert "could not be loaded" in answer.json()["error"]
            assert "secret" not in answer.text
        assert client.get("/health").status_code == 200


def test_a_stopping_server_answers_who_is_inside_and_ends_its_threads() -> None:
    before = {thread.name for thread in threading.enumerate()}
    detector = Boxes()
    with (
        ThreadPoolExecutor(2) as many,
        running(create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(workers=1))) as client,
    ):
        detector.go.clear()
        waiting = [many.submit(ask, client, seed) for seed in range(2)]
        until(lambda: metric(client, 'queue_depth{queue="photos"}') == 2)
        client.server.should_exit = True

        def refused() -> bool:
            try:
                httpx.get(f"{client.base_url}/health")
            except httpx.ConnectError:
                return True
            except httpx.TransportError:  # the system had taken this caller in as the door closed
                return False
            return False

        until(refused)
        detector.go.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
    ours = ("photos", "explanations", "batcher", "models", "api")  # a closed pool does not wait for its threads
    until(lambda: not [t.name for t in threading.enumerate() if t.name not in before and t.name.startswith(ours)])


def test_an_app_may_be_started_again() -> None:
    app = create_app({"tiny": predictor()})
    for _ in range(2):
        with running(app) as client:
            assert ask(client).status_code == 200
