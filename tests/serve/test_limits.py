"""Server under load: admission, deadlines, bodies, batching, start, stop."""

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
from emotion_hub.serve.limits import RequestLimiter
from tests.fakes.api_server import Boxes, LinearBackend, photo, predictor, running, until
from tests.tolerances import assert_same_logits, assert_same_probs

PNG = {"content-type": "image/png"}


def post_photo(client: httpx.Client, seed: int = 0, path: str = "/predict", **options: object) -> httpx.Response:
    return client.post(path, content=photo(seed), headers=PNG, params=options)


def metric(client: httpx.Client, line: str) -> float:
    """The value of one series; 0 if it does not exist yet."""
    rows = [row.rpartition(" ") for row in client.get("/metrics").text.splitlines()]
    return next((float(value) for name, _, value in rows if name == f"emotion_hub_{line}"), 0.0)


# admission control


def test_full_queue_is_503_with_retry_after() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(queue=3, workers=1))
    with running(app) as client, ThreadPoolExecutor(3) as many:
        detector.unblocked.clear()
        admitted = [many.submit(post_photo, client, seed) for seed in range(3)]
        until(lambda: app.state.service.photos.in_flight == 3)
        assert metric(client, 'queue_depth{queue="photos"}') == 3
        for path in ("/predict", "/", "/compare?upscale224=tiny&native48=tiny"):
            refused = client.post(path, content=photo(), headers=PNG)
            assert refused.status_code == 503
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert "the queue for requests is full, 3 of 3" in refused.json()["error"]
        detector.unblocked.set()
        assert [each.result().status_code for each in admitted] == [200] * 3
        assert post_photo(client).status_code == 200
        assert metric(client, 'rejections_total{reason="full"}') == 3
        assert (app.state.service.photos.in_flight, metric(client, 'queue_limit{queue="photos"}')) == (0, 3)


def test_timeout_is_504_and_the_request_stays_in_flight_until_its_work_ends() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(timeout=4, workers=1))
    with running(app) as client:
        detector.unblocked.clear()
        late = post_photo(client)
        assert late.status_code == 504
        assert "longer than 4 s" in late.json()["error"]
        assert app.state.service.photos.in_flight == 1, "a thread still works for the request"
        batches = len(app.state.service.models.loaded["tiny"].predictor.backend.batches)
        detector.unblocked.set()
        until(lambda: app.state.service.photos.in_flight == 0)
        assert len(app.state.service.models.loaded["tiny"].predictor.backend.batches) == batches, (
            "the network does not run after the deadline"
        )
        app.state.service.photos.usual_work_seconds = 0.0
        assert post_photo(client).status_code == 200
        assert metric(client, 'rejections_total{reason="timeout"}') == 1


def test_work_that_cannot_start_in_time_is_503_and_never_runs() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(timeout=4, workers=1))
    with running(app) as client, ThreadPoolExecutor(2) as many:
        calls = detector.calls
        detector.unblocked.clear()
        running_request = many.submit(post_photo, client)
        until(lambda: detector.calls == calls + 1)
        waiting = many.submit(post_photo, client)
        assert running_request.result().status_code == 504
        late = waiting.result()
        assert (late.status_code, "retry-after" in late.headers) == (503, True)
        assert "could not start within" in late.json()["error"]
        detector.unblocked.set()
        until(lambda: app.state.service.photos.in_flight == 0)
        assert detector.calls == calls + 1
        assert metric(client, 'rejections_total{reason="late"}') == 1


@pytest.mark.parametrize(("seconds", "header"), [(0.01, 1), (1.2, 2), (59.5, 60), (60.5, 60), (4000.0, 60)])
def test_clients_are_told_to_wait_as_long_as_recent_requests_took_but_at_most_a_minute(seconds, header):
    limiter = RequestLimiter(1, 10.0, "requests")
    limiter._usual_request_seconds = seconds
    assert limiter.retry_after == header


def test_work_that_would_miss_the_deadline_does_not_start() -> None:
    limiter = RequestLimiter(1, 10.0, "requests")
    limiter.usual_work_seconds = 4.0

    async def run_after(seconds: float) -> list[int]:
        """Run work in a request that was admitted some seconds ago."""
        ran: list[int] = []
        async with limiter.admit() as admitted:
            admitted._admitted_at -= seconds
            with ThreadPoolExecutor(1) as pool:
                await admitted.wait(pool.submit(admitted.work(ran.append), 1))
        return ran

    assert asyncio.run(run_after(1.0)) == [1]
    with pytest.raises(Exception, match="could not start within") as caught:
        asyncio.run(run_after(8.0))
    assert caught.value.status_code == 503
    assert limiter.in_flight == 0


def test_explanations_have_their_own_queue_and_stop_at_their_deadline() -> None:
    backend = LinearBackend()
    slow, quick = predictor(name="slow"), predictor(1, name="quick")
    slow = EmotionPredictor(backend, slow.labels, slow.preprocessor, name="slow", detector=Boxes())
    config = ServeConfig(explain_at_once=1, explain_queue=0, explain_timeout=2.0)
    METHODS["lime"].load()  # importing it takes longer than the timeout
    app = create_app({"slow": slow, "quick": quick}, config=config)
    options = {"method": "lime", "metrics": "none", "samples": 5000, "model": "slow"}
    with running(app) as client, ThreadPoolExecutor(1) as many:
        backend.unblocked.clear()
        late = many.submit(post_photo, client, path="/explain", **options)
        until(lambda: app.state.service.explanations.in_flight == 1)
        refused = post_photo(client, path="/explain", **options)
        assert (refused.status_code, "the queue for explanations is full, 1 of 1" in refused.json()["error"]) == (
            503,
            True,
        )
        assert int(refused.headers["retry-after"]) >= 1
        assert post_photo(client, model="quick").status_code == 200, "predictions are not affected"
        assert late.result().status_code == 504
        calls = len(backend.batches)
        backend.unblocked.set()
        until(lambda: app.state.service.explanations.in_flight == 0)
        assert len(backend.batches) <= calls + 2, "the method stopped at its next batch"


# sizes


def test_bodies_are_not_read_beyond_the_size_limit() -> None:
    app = create_app({"tiny": predictor()}, config=ServeConfig(max_body=10_000))
    read: list[int] = []
    sent: list[dict] = []
    read_before_response: list[int] = []

    async def receive() -> dict:
        read.append(4096)
        return {"type": "http.request", "body": bytes(4096), "more_body": len(read) < 20}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            read_before_response.append(sum(read))  # later reads only let the client receive the response
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
        assert read_before_response.pop() == 3 * 4096
        assert asyncio.run(post([(b"content-type", b"image/png"), (b"content-length", b"999999")])) == 413
        assert read_before_response.pop() == 0, "a body with too large a Content-Length is not read"
        assert asyncio.run(post([(b"content-length", b"9" * 5000)])) == 413
    finally:
        app.state.service.close()


@contextmanager
def started_body(client: httpx.Client, path: str, sent: bytes = b"x") -> Iterator[socket.socket]:
    """A connection on which a request was sent with only a part of its body."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n".encode()
            + sent
        )
        yield raw


def test_slow_uploads_do_not_hold_inference_slots() -> None:
    config = ServeConfig(queue=1, explain_at_once=1, explain_queue=0, body_timeout=300)
    app = create_app({"tiny": predictor()}, config=config)
    with running(app) as client, ExitStack() as slow:
        for path in ("/predict", "/explain", "/compare", "/"):
            for _ in range(3):
                slow.enter_context(started_body(client, path))
        until(lambda: app.state.service.bodies.in_progress == 12)
        assert metric(client, 'queue_depth{queue="bodies"}') == 12
        assert post_photo(client).status_code == 200
        assert post_photo(client, path="/explain", method="lime", samples=100, metrics="none").status_code == 200
        slow.close()
        until(lambda: (app.state.service.bodies.in_progress, app.state.service.bodies.bytes_held) == (0, 0))


@pytest.mark.parametrize("path", ["/predict", "/explain", "/compare", "/", "/models/tiny"])
def test_slow_body_is_408_and_closes_the_connection(path: str) -> None:
    with running(create_app({"tiny": predictor()}, config=ServeConfig(body_timeout=0.2))) as client:
        with started_body(client, path) as raw:
            response = b"".join(iter(lambda: raw.recv(4096), b""))
        assert response.startswith(b"HTTP/1.1 408 ")
        error = b"the request body did not arrive within 0.2 s; send a smaller image, or use a faster connection"
        assert response.endswith(b'{"error":"' + error + b'"}')
        assert metric(client, 'rejections_total{reason="slow"}') == 1


def test_number_and_total_size_of_bodies_in_progress_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BODIES", 2)
    app = create_app({"tiny": predictor()}, config=ServeConfig(queue=1, max_body=1024, body_timeout=300))
    reader = app.state.service.bodies
    with running(app) as client, ExitStack() as slow:
        slow.enter_context(started_body(client, "/predict", bytes(600)))
        until(lambda: reader.bytes_held == 600)
        too_many_bytes = client.post("/predict", content=bytes(600), headers=PNG)
        slow.enter_context(started_body(client, "/predict"))
        until(lambda: reader.in_progress == 2)
        too_many_bodies = client.post("/explain", content=b"", headers=PNG)
        for refused in (too_many_bytes, too_many_bodies):
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "300")
            assert "too many request bodies are being read" in refused.json()["error"]
        slow.close()
        until(lambda: (reader.in_progress, reader.bytes_held) == (0, 0))
        assert client.post("/predict", content=bytes(600), headers=PNG).status_code == 400, (
            "the body is read, and is not an image"
        )


def test_form_uploads_are_not_written_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(create_app({"tiny": predictor()})) as client:

        def fail(*args: object, **kwargs: object) -> None:
            raise AssertionError("a temporary file was opened")

        for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
            monkeypatch.setattr(tempfile, name, fail)
        large = photo(size=(1300, 900), kind="BMP")
        assert len(large) > 3_000_000
        assert client.post("/predict", files={"image": large}).status_code == 200


# batching


def test_waiting_requests_share_a_batch_and_get_their_own_results() -> None:
    network = predictor()
    expected = [network.predict(photo(seed))[0].probs for seed in range(8)]
    app = create_app({"tiny": network}, config=ServeConfig(batch=64, workers=2))
    backend = network.backend
    with running(app) as client, ThreadPoolExecutor(8) as many:
        backend.batches.clear()
        backend.unblocked.clear()
        first = many.submit(post_photo, client, 0)
        until(lambda: backend.batches == [2])
        others = [many.submit(post_photo, client, seed) for seed in range(1, 8)]
        until(lambda: len(app.state.service.models.loaded["tiny"].batcher._jobs) == 7)
        backend.unblocked.set()
        responses = [each.result().json() for each in (first, *others)]
        assert backend.batches == [2, 14], "two faces per photo"
        for response, probs in zip(responses, expected, strict=True):
            assert_same_probs(response["probs"], probs)
        assert metric(client, 'batch_faces_count{model="tiny"}') == 2
        assert metric(client, 'faces_total{model="tiny"}') == 16


def test_single_request_does_not_wait_for_a_full_batch() -> None:
    with running(create_app({"tiny": predictor()}, config=ServeConfig(batch_wait=1000))) as client:
        times = []
        for _ in range(3):
            started_at = time.monotonic()
            assert post_photo(client).status_code == 200
            times.append(time.monotonic() - started_at)
        assert min(times) < 0.8


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 1, 48, 48)).astype(np.float32)


def test_batch_starts_after_its_maximum_wait_or_when_full() -> None:
    backend = LinearBackend()
    batcher, long_wait = Batcher(backend, 4, 300), Batcher(backend, 4, 60_000)
    try:
        started_at = time.monotonic()
        lone = batcher.submit(rows(1)).result()
        assert 0.25 < time.monotonic() - started_at < 5
        assert 250 <= lone.queue_ms < 5000
        started_at = time.monotonic()
        full = [long_wait.submit(rows(2, seed)) for seed in (1, 2)]
        assert_same_logits(full[1].result().logits, backend.logits(rows(2, 2)))
        assert time.monotonic() - started_at < 30
        assert backend.batches[:2] == [1, 4]
    finally:
        batcher.close()
        long_wait.close()


def test_no_batch_is_larger_than_the_limit() -> None:
    backend = LinearBackend()
    batcher = Batcher(backend, 4, 0)
    backend.unblocked.clear()
    first = batcher.submit(rows(1))
    until(lambda: backend.batches == [1])
    pending = [batcher.submit(rows(n, n)) for n in (3, 2, 9)]
    backend.unblocked.set()
    batcher.close()
    assert backend.batches == [1, 3, 2, 4, 4, 1]
    assert first.result().logits.shape == (1, 7)
    for n, future in zip((3, 2, 9), pending, strict=True):
        assert_same_logits(future.result().logits, backend.logits(rows(n, n)))


def test_cancelled_jobs_are_skipped_and_a_failed_batch_does_not_affect_others() -> None:
    backend = LinearBackend()
    batcher = Batcher(backend, 8, 0)
    backend.unblocked.clear()
    batcher.submit(rows(1))
    until(lambda: backend.batches == [1])
    cancelled, kept = batcher.submit(rows(2)), batcher.submit(rows(3))
    assert cancelled.cancel()
    backend.unblocked.set()
    assert len(kept.result().logits) == 3
    assert backend.batches == [1, 3]
    with pytest.raises(CancelledError):
        cancelled.result()
    with pytest.raises(ValueError, match="matmul"):
        batcher.submit(np.zeros((1, 1, 2, 2), np.float32)).result()
    assert len(batcher.submit(rows(1)).result().logits) == 1
    last = batcher.submit(rows(1))
    batcher.close()
    assert len(last.result().logits) == 1, "waiting jobs are run before the batcher closes"
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(rows(1))


# start and stop


def test_health_answers_at_once_and_ready_after_the_models_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    unblocked = threading.Event()
    load = lambda name, source, backend: unblocked.wait(20) and predictor(name=name)  # noqa: E731
    monkeypatch.setattr(serve_models, "_load_predictor", load)
    with (
        running(create_app(config=ServeConfig(models=("native48",))), ready=False) as client,
        ThreadPoolExecutor(1) as many,
    ):
        assert client.get("/health").json()["status"] == "ok"
        for path in ("/ready", "/models"):
            early = client.get(path)
            assert (early.status_code, early.json()) == (503, {"error": "the models are loading; try again in 5 s"})
            assert int(early.headers["retry-after"]) >= 1
        assert metric(client, "ready") == 0
        waiting = many.submit(post_photo, client)
        time.sleep(0.1)
        assert not waiting.done(), "a prediction waits for the models"
        unblocked.set()
        assert waiting.result().status_code == 200
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
        assert [model.backend for model in app.state.service.models.loaded.values()] == expected, (
            "a checkpoint with an ONNX file, and weights alone"
        )
    finally:
        app.state.service.close()


def test_models_that_cannot_be_loaded_are_reported_as_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, source: str, backend: str) -> None:
        raise CheckpointError("the file /secret/place is damaged")

    monkeypatch.setattr(serve_models, "_load_predictor", load)
    app = create_app(config=ServeConfig(models=("native48",)))
    failed = threading.Event()
    app.state.service.models.on_failure = failed.set
    with running(app, ready=False) as client:
        assert failed.wait(10)
        for response in (client.get("/ready"), post_photo(client)):
            assert response.status_code == 503
            assert "could not be loaded" in response.json()["error"]
            assert "secret" not in response.text
        assert client.get("/health").status_code == 200


def test_stopping_server_answers_requests_in_flight_and_ends_its_threads() -> None:
    before = {thread.name for thread in threading.enumerate()}
    detector = Boxes()
    with (
        ThreadPoolExecutor(2) as many,
        running(create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(workers=1))) as client,
    ):
        detector.unblocked.clear()
        waiting = [many.submit(post_photo, client, seed) for seed in range(2)]
        until(lambda: metric(client, 'queue_depth{queue="photos"}') == 2)
        client.server.should_exit = True

        def refuses_connections() -> bool:
            try:
                httpx.get(f"{client.base_url}/health")
            except httpx.ConnectError:
                return True
            except httpx.TransportError:  # the system accepted the connection before the server closed its socket
                return False
            return False

        until(refuses_connections)
        detector.unblocked.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
    names = ("photos", "explanations", "batcher", "models", "api")  # closing a pool does not wait for its threads
    until(lambda: not [t.name for t in threading.enumerate() if t.name not in before and t.name.startswith(names)])


def test_app_can_be_started_again() -> None:
    app = create_app({"tiny": predictor()})
    for _ in range(2):
        with running(app) as client:
            assert post_photo(client).status_code == 200
