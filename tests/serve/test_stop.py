"""Stopping the server: within 3 seconds, with a response for every client.

This holds for any request in flight.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.fakes.api_server import photo, until

ROOT = Path(__file__).resolve().parents[2]

#: Maximum time in seconds from the signal to the end of the process.
LIMIT = 3.0


@dataclass
class Stopped:
    """How a server stopped: seconds since the signal, exit status, log lines, and its standard error."""

    seconds: float
    status: int
    lines: list[dict[str, Any]]
    err: str


@dataclass
class Server:
    """A running server process, and the threads of its clients."""

    process: subprocess.Popen
    url: str
    threads: list[threading.Thread] = field(default_factory=list)

    def client(self, function: Callable[[], Any]) -> Future:
        """A future for the result of `function`, which runs in a thread of its own."""
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        return future

    def explain(self, **options: str) -> Future:
        """A future for the response to an explanation request."""
        options = {"whole": "true", "metrics": "none", **options}
        return self.client(
            lambda: httpx.post(f"{self.url}/explain", files={"image": photo(size=(48, 48))}, data=options, timeout=60)
        )

    def in_flight(self, queue: str, count: int) -> None:
        """Wait until that many requests are in flight."""
        until(lambda: f'queue_depth{{queue="{queue}"}} {count}.0' in httpx.get(f"{self.url}/metrics", timeout=20).text)

    def stop(self, number: signal.Signals = signal.SIGTERM, during: Callable[[], None] = lambda: None) -> Stopped:
        started_at = time.monotonic()
        self.process.send_signal(number)
        during()
        out, err = self.process.communicate(timeout=120)
        seconds = time.monotonic() - started_at
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive(), "a client did not finish"
        return Stopped(
            seconds,
            self.process.returncode,
            [json.loads(line) for line in out.splitlines() if line.startswith("{")],
            err,
        )


@contextlib.contextmanager
def server(*arguments: str, wait_for: str = "/ready", **environment: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "emotion_hub", "serve", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url + wait_for, timeout=10).status_code == 200
        return False

    try:
        until(is_up, 300)  # importing torch may take a minute on a busy machine
        yield Server(process, url)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            stream.close()


def assert_clean_stop(stopped: Stopped) -> None:
    """In time, with status 0, nothing on standard error and no traceback in the log."""
    assert (stopped.status, stopped.err) == (0, "")
    assert stopped.seconds < LIMIT
    assert not [line for line in stopped.lines if "traceback" in line]


def assert_stopping(response: httpx.Response) -> None:
    assert (response.status_code, response.headers["retry-after"], response.headers["connection"]) == (
        503,
        "5",
        "close",
    ), response.text
    assert "the server is stopping" in response.json()["error"]


@pytest.mark.slow
def test_running_lime_does_not_delay_the_stop() -> None:
    with server("--model", "upscale224", "--backend", "torch", "--no-demo") as running:
        running_one, waiting = (
            running.explain(method="lime", samples="5000"),
            running.explain(method="lime", samples="5000"),
        )
        running.in_flight("explanations", 2)
        time.sleep(1)  # one of them runs in torch now
        stopped = running.stop()
        assert_stopping(running_one.result(1))
        assert_stopping(waiting.result(1))
    assert_clean_stop(stopped)
    requests = [(line["route"], line["status"]) for line in stopped.lines if line["message"] == "request"]
    assert requests.count(("/explain", 503)) == 2


@pytest.mark.slow
def test_running_shap_does_not_delay_the_stop() -> None:
    with server("--model", "upscale224", "--backend", "torch", "--no-demo") as running:
        responses = [running.explain(method="shap", metrics="full") for _ in range(5)]
        running.in_flight("explanations", 5)
        time.sleep(1)
        stopped = running.stop()
        statuses = [response.result(1).status_code for response in responses]
    assert_clean_stop(stopped)
    assert set(statuses) <= {200, 503}
    assert 503 in statuses


def upload(running: Server, sent: bytes, length: int) -> socket.socket:
    """A connection on which a part of the body was sent."""
    host, port = running.url.removeprefix("http://").split(":")
    raw = socket.create_connection((host, int(port)), timeout=60)
    raw.sendall(
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n".encode()
        + sent
    )
    running.in_flight("bodies", 1)
    return raw


def received(raw: socket.socket) -> bytes:
    return b"".join(iter(lambda: raw.recv(65536), b""))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_slow_upload_does_not_delay_the_stop(number: signal.Signals) -> None:
    with server("--model", "native48", "--no-demo") as running, upload(running, b"", 500_000) as raw:
        # bytes that arrive after the server has closed the connection would make TCP drop the response unread
        paused = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not paused.wait(0.05):
                    raw.sendall(b"x" * 100)

        threading.Thread(target=trickle, daemon=True).start()
        response = running.client(lambda: received(raw))
        time.sleep(0.3)
        paused.set()
        stopped = running.stop(number)
        text = response.result(1)
    assert_clean_stop(stopped)
    assert text.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5\r\n" in text.lower()
    assert b"the server is stopping" in text


def test_request_that_finishes_within_the_grace_period_is_answered() -> None:
    body = photo(size=(48, 48))
    with server("--model", "native48", "--no-demo") as running, upload(running, body[:100], len(body)) as raw:

        def send_rest() -> None:
            time.sleep(0.4)
            raw.sendall(body[100:])

        response = running.client(lambda: received(raw))
        stopped = running.stop(during=send_rest)
        text = response.result(1)
    assert_clean_stop(stopped)
    assert text.startswith(b"HTTP/1.1 200 ")
    assert b'"predicted_class"' in text
    assert not [line for line in stopped.lines if line["level"] == "error"]


def test_server_stops_while_models_load() -> None:
    with server("--no-demo", wait_for="/health") as running:
        stopped = running.stop()
    assert (stopped.status, stopped.err) == (0, "")
    assert stopped.seconds < LIMIT


def test_command_exits_with_3_if_the_port_is_taken_while_models_load() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "emotion_hub", "serve", "--no-demo", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert "address already in use" in ended.stdout


@pytest.mark.slow
def test_open_demo_page_and_running_explanation_do_not_delay_the_stop(tmp_path: Path) -> None:
    with server("--model", "native48", TMPDIR=str(tmp_path)) as running:
        api = f"{running.url}/demo/gradio_api"
        streams = [running.client(lambda: streamed(f"{api}/heartbeat/some-session"))]  # an open page holds this stream
        image = io.BytesIO()
        Image.open(io.BytesIO(photo(size=(48, 48)))).save(image, "PNG")
        [path] = httpx.post(f"{api}/upload", files={"files": ("a.png", image.getvalue())}, timeout=60).json()
        arguments = [
            {"path": path, "meta": {"_type": "gradio.FileData"}},
            "lime",
            "upscale224",
            "the predicted one",
            "nothing",
            2000,
            True,
        ]
        event = httpx.post(f"{api}/call/explain", json={"data": arguments}, timeout=60).json()["event_id"]
        streams.append(running.client(lambda: streamed(f"{api}/call/explain/{event}")))
        time.sleep(2)
        assert not [each for each in streams if each.done()], "the page's stream is open and the explanation is running"
        stopped = running.stop()
        assert [each.result(1) for each in streams] == [200, 200], "both streams ended normally"
    assert_clean_stop(stopped)
    assert not list(tmp_path.glob("emotion_hub_uploads_*")), "the demo's upload folder is deleted"


@pytest.mark.slow
def test_open_demo_page_alone_does_not_delay_the_stop() -> None:
    with server("--model", "native48") as running:
        stream = running.client(lambda: streamed(f"{running.url}/demo/gradio_api/heartbeat/some-session"))
        time.sleep(1)
        assert not stream.done()
        stopped = running.stop()
        assert stream.result(1) == 200
    assert_clean_stop(stopped)
    assert not [line for line in stopped.lines if line["level"] == "error"], "no request was cancelled"


def streamed(url: str) -> int:
    """The status of a response, after reading it to its end."""
    with httpx.stream("GET", url, timeout=120) as response:
        for _ in response.iter_bytes():
            pass
        return response.status_code
