"""Connections after early responses, and abandoned work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.threads import DaemonPool
from tests.fakes.api_server import Boxes, photo, predictor, running, until

KEY = "a-key-of-some-length"


@contextmanager
def _endless_body(client: httpx.Client, path: str, headers: str = "") -> Iterator[socket.socket]:
    """A connection on which a chunked body was started and is not finished."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: image/png\r\n"
        raw.sendall(f"{head}{headers}\r\n".encode())
        yield raw


def _send_until_closed(raw: socket.socket, seconds: float = 15.0) -> int:
    """The number of bytes that could be sent before the server closed the connection."""
    chunk, sent, deadline = b"10000\r\n" + bytes(65536) + b"\r\n", 0, time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            raw.sendall(chunk)
            sent += len(chunk)
    except (BrokenPipeError, ConnectionResetError):
        return sent
    raise AssertionError(f"after {seconds:g} s and {sent / 2**20:.0f} MB the server has not closed the connection")


def _response(raw: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the response on the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += raw.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += raw.recv(65536)
    return int(status.split()[1]), headers, body


CASES = [
    pytest.param("/predict", "", 413, id="too large"),
    pytest.param("/", "", 413, id="too large for the Inference API"),
    pytest.param("/predict", "X-API-Key: wrong\r\n", 401, id="without the key"),
    pytest.param("/nowhere", "", 404, id="unknown path"),
    pytest.param("/models", "", 405, id="wrong method"),
    pytest.param("/models/nobody", "", 404, id="unknown model"),
]


@pytest.mark.parametrize(("path", "headers", "status"), CASES)
def test_response_before_the_end_of_the_body_closes_the_connection(path: str, headers: str, status: int) -> None:
    app = create_app({"tiny": predictor()}, config=ServeConfig(max_body=100_000, api_key=KEY, body_timeout=60))
    key = "" if headers else f"X-API-Key: {KEY}\r\n"
    with running(app, ready=False) as client:
        until(lambda: client.get("/ready").status_code == 200)
        with _endless_body(client, path, headers + key) as raw:
            if status == 413:
                raw.sendall(b"40000\r\n" + bytes(262144) + b"\r\n")
            actual, response_headers, body = _response(raw)
            assert (actual, response_headers["connection"]) == (status, "close")
            assert "error" in json.loads(body)
            assert _send_until_closed(raw) < 16 * 2**20
        assert client.get("/health").status_code == 200


def test_client_that_is_still_sending_gets_the_response() -> None:
    app = create_app({"tiny": predictor()}, config=ServeConfig(max_body=100_000))
    with running(app) as client:
        response = client.post("/predict", content=bytes(600_000), headers={"content-type": "image/png"})
        assert (response.status_code, response.headers["connection"]) == (413, "close")


def test_connection_stays_open_if_the_body_was_read() -> None:
    with (
        running(create_app({"tiny": predictor()})) as client,
        socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as raw,
    ):
        for body, status in ((photo(), 200), (b"no picture", 400), (photo(), 200)):
            head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            actual, headers, _ = _response(raw)
            assert (actual, headers.get("connection")) == (status, None)


def test_server_stops_while_abandoned_work_runs() -> None:
    detector = Boxes()
    app = create_app({"tiny": predictor(detector=detector)}, config=ServeConfig(timeout=1, workers=1))
    with running(app) as client:
        detector.unblocked.clear()
        assert client.post("/predict", content=photo(), headers={"content-type": "image/png"}).status_code == 504
        started_at = time.monotonic()
        client.server.should_exit = True
        until(lambda: not client.server.started or not app.state.service.models.is_ready, 20)
    assert time.monotonic() - started_at < 5
    detector.unblocked.set()


PROGRAM = """
    import threading, time
    from emotion_hub.serve.threads import DaemonPool

    pool, started = DaemonPool(1, "test"), threading.Event()
    pool.submit(lambda: (started.set(), time.sleep(60)))
    started.wait()
    pool.close()
"""


def test_process_exits_while_abandoned_work_runs() -> None:
    started_at = time.monotonic()
    subprocess.run([sys.executable, "-c", textwrap.dedent(PROGRAM)], check=True, timeout=50, env=dict(os.environ))
    assert time.monotonic() - started_at < 30


def test_pool_runs_in_order_passes_exceptions_on_and_cancels_waiting_jobs() -> None:
    pool, unblocked = DaemonPool(1, "test"), threading.Event()
    order: list[int] = []
    first = pool.submit(lambda: (unblocked.wait(10), order.append(0)))
    failing = pool.submit(lambda: 1 / 0)
    waiting = [pool.submit(order.append, n) for n in (1, 2)]
    unblocked.set()
    with pytest.raises(ZeroDivisionError):
        failing.result(10)
    first.result(10), waiting[-1].result(10)
    assert order == [0, 1, 2]
    unblocked.clear()
    pool.submit(lambda: unblocked.wait(10))
    waiting_job = pool.submit(order.append, 3)
    pool.close()
    assert waiting_job.cancelled()
    unblocked.set()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(print)
