"""Who may ask, what is logged and counted, and what is said when the code itself breaks."""

from __future__ import annotations

import base64
import hmac
import io
import json
import logging
import re
from collections.abc import Iterator

import httpx
import pytest

from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.request_log import JsonLines
from tests.fakes.api_server import Boxes, LinearBackend, photo, predictor, running, until

KEY = "correct horse"
PNG = {"content-type": "image/png"}


class BrokenBackend(LinearBackend):
    """Works once, to get warm."""

    def logits(self, pixel_values):
        if self.batches:
            raise RuntimeError("weights at /secret/place are gone")
        return super().logits(pixel_values)


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    with running(
        create_app({"tiny": predictor()}, config=ServeConfig(api_key=KEY, cors=("https://example.org",)))
    ) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    broken = EmotionPredictor(BrokenBackend(), FER2013, Preprocessor("native48"), name="broken", detector=Boxes())
    with running(create_app({"tiny": predictor(), "broken": broken})) as client:
        yield client


# the key


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"x-api-key": KEY},
        {"authorization": "Basic " + base64.b64encode(f"anyone:{KEY}".encode()).decode()},
    ],
)
def test_the_key_opens_as_a_bearer_token_a_header_or_a_password(locked: httpx.Client, headers: dict) -> None:
    assert locked.post("/predict", content=photo(), headers=PNG | headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": KEY},
        {"authorization": "Basic %%%"},
        {"authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},
        {"x-api-key": "wrong"},
        {"x-api-key": "é".encode()},
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/", "/models/tiny", "/nothing"])
def test_without_the_key_nothing_opens(locked: httpx.Client, path: str, headers: dict) -> None:
    answer = locked.post(path, content=photo(), headers=PNG | headers)
    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="emotion_hub"'


def test_only_health_and_ready_stay_open(locked: httpx.Client) -> None:
    statuses = {
        path: locked.get(path).status_code
        for path in ("/health", "/ready", "/metrics", "/models", "/openapi.json", "/docs", "/demo/", "/health/")
    }
    assert {path for path, status in statuses.items() if status != 401} == {"/health", "/ready"}
    assert locked.get("/docs").headers["www-authenticate"].startswith("Basic"), "a browser can ask for a password"
    assert 'reason="unauthorized"' in locked.get("/metrics", headers={"x-api-key": KEY}).text


def test_keys_are_compared_in_constant_time(locked: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert locked.get("/models", headers={"authorization": "Bearer abc", "x-api-key": KEY}).status_code == 401
    assert compared == [(KEY.encode(), KEY.encode()), (b"abc", KEY.encode())]


def test_the_document_says_where_the_key_is_wanted(locked: httpx.Client, client: httpx.Client) -> None:
    document = locked.get("/openapi.json", headers={"x-api-key": KEY}).json()
    wanted = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("security") == [{"key": []}]
    }
    assert set(document["paths"]) - wanted == {"/health", "/ready"}
    assert "401" in document["paths"]["/predict"]["post"]["responses"]
    assert "401" not in client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]


# other origins


def test_other_origins_are_let_in_only_by_name(locked: httpx.Client, client: httpx.Client) -> None:
    origin = {"origin": "https://example.org"}
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    asked = locked.options("/predict", headers=origin | preflight)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://example.org")
    refused = locked.post("/predict", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://example.org"), (
        "its page can read why"
    )
    assert (
        "access-control-allow-origin"
        not in locked.options("/predict", headers={"origin": "https://other.org"} | preflight).headers
    )
    for answer in (client.options("/predict", headers=origin | preflight), client.get("/health", headers=origin)):
        assert not [name for name in answer.headers if name.startswith("access-control")], "off unless asked for"


# ids, lines, counts


def test_every_answer_carries_an_id_the_clients_own_if_it_is_well_formed(
    client: httpx.Client, locked: httpx.Client
) -> None:
    for answer in (client.get("/health"), client.get("/nothing"), client.get("/predict"), locked.get("/models")):
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert client.get("/nothing", headers={"x-request-id": "job-7.a_b"}).headers["x-request-id"] == "job-7.a_b"
    for wrong in ("", "a b", "x" * 129, 'a"b', "{}"):
        assert re.fullmatch(
            "[0-9a-f]{32}", client.get("/health", headers={"x-request-id": wrong}).headers["x-request-id"]
        )


def test_a_request_is_one_json_line_without_the_photo_and_its_name(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        files = {"image": ("holiday with anna.png", photo())}
        client.post("/predict", files=files, params={"model": "tiny"}, headers={"x-request-id": "mine"})
        client.get("/anna.png")
        until(lambda: len(caplog.records) >= 2)
    lines = [JsonLines().format(record) for record in caplog.records]
    assert len(lines) == 2
    assert "anna" not in "".join(lines)
    assert all("\n" not in line for line in lines)
    first, second = map(json.loads, lines)
    assert (first["request_id"], first["method"], first["route"], first["status"]) == ("mine", "POST", "/predict", 200)
    assert (first["model"], first["faces"]) == ("tiny", 2)
    assert len(photo()) < first["bytes_in"] < len(photo()) + 500
    assert set(first["stages"]) == {"read", "wait", "decode", "detect", "preprocess", "collect", "inference"}
    assert first["milliseconds"] > 0
    assert (first["level"], first["logger"], first["message"]) == ("info", "emotion_hub.serve.request_log", "request")
    assert (second["route"], second["status"]) == ("(none)", 404)


def test_what_breaks_inside_is_logged_and_not_told(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        answer = client.post("/predict", files={"image": photo()}, data={"model": "broken"})
        until(lambda: len(caplog.records) >= 2)
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert answer.headers["x-request-id"] in answer.json()["error"]
    assert not any(word in answer.text for word in ("secret", "weights", "RuntimeError", "Traceback"))
    broken, request = (json.loads(JsonLines().format(record)) for record in caplog.records)
    assert "weights at /secret/place are gone" in broken["traceback"]
    assert broken["request_id"] == request["request_id"] == answer.headers["x-request-id"]
    assert (broken["level"], request["status"]) == ("error", 500)
    assert client.post("/predict", content=photo(), headers=PNG).status_code == 200


def test_what_happened_is_counted_by_route_and_stage() -> None:
    with running(create_app({"tiny": predictor()})) as client, running(create_app({"tiny": predictor()})) as other:
        for _ in range(3):
            client.post("/predict", content=photo(), headers=PNG)
        client.get("/made/up")
        client.request("BREW", "/health")
        text = client.get("/metrics").text
        for line in (
            'requests_total{method="POST",route="/predict",status="200"} 3.0',
            'requests_total{method="GET",route="(none)",status="404"} 1.0',
            'requests_total{method="other",route="/health",status="405"} 1.0',
            'request_seconds_count{route="/predict"} 3.0',
            *(
                f'stage_seconds_count{{stage="{stage}"}} 3.0'
                for stage in ("read", "wait", "decode", "detect", "preprocess", "collect", "inference")
            ),
            'faces_total{model="tiny"} 6.0',
            'queue_depth{queue="photos"} 0.0',
            "ready 1.0",
        ):
            assert f"emotion_hub_{line}\n" in text
        assert "made/up" not in text
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")
        assert 'route="/predict"' not in other.get("/metrics").text, "two apps in a process do not mix"


def test_a_client_that_leaves_early_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with running(create_app({"tiny": predictor()})) as client, caplog.at_level(logging.INFO, "emotion_hub"):
        address = (client.base_url.host, client.base_url.port)
        import socket

        with socket.create_connection(address) as raw:
            raw.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
            )
        until(lambda: any(getattr(r, "fields", {}).get("status") == 499 for r in caplog.records))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_lines_are_json_whatever_is_logged() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, 'two\nlines %s "quoted"', (object,), None)
    handler.emit(record)
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == f'two\nlines {object} "quoted"'
