"""API key, CORS, request log, metrics and internal errors."""

from __future__ import annotations

import base64
import hmac
import io
import json
import logging
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.request_log import JsonFormatter
from tests.fakes.api_server import Boxes, LinearBackend, photo, predictor, running, until

KEY = "correct horse"
PNG = {"content-type": "image/png"}


class BrokenBackend(LinearBackend):
    """Works once, for the warm-up, and then raises."""

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


# API key


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"x-api-key": KEY},
        {"authorization": "Basic " + base64.b64encode(f"anyone:{KEY}".encode()).decode()},
    ],
)
def test_key_is_accepted_as_bearer_token_header_and_password(locked: httpx.Client, headers: dict) -> None:
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
def test_requests_without_the_key_get_401(locked: httpx.Client, path: str, headers: dict) -> None:
    response = locked.post(path, content=photo(), headers=PNG | headers)
    assert response.status_code == 401
    assert list(response.json()) == ["error"]
    assert response.headers["www-authenticate"] == 'Bearer realm="emotion_hub"'


def test_only_health_and_ready_need_no_key(locked: httpx.Client) -> None:
    statuses = {
        path: locked.get(path).status_code
        for path in ("/health", "/ready", "/metrics", "/models", "/openapi.json", "/docs", "/demo/", "/health/")
    }
    assert {path for path, status in statuses.items() if status != 401} == {"/health", "/ready"}
    assert locked.get("/docs").headers["www-authenticate"].startswith("Basic"), (
        "browsers ask for a password, not for a token"
    )
    assert 'reason="unauthorized"' in locked.get("/metrics", headers={"x-api-key": KEY}).text


def test_keys_are_compared_in_constant_time(locked: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert locked.get("/models", headers={"authorization": "Bearer abc", "x-api-key": KEY}).status_code == 401
    assert compared == [(KEY.encode(), KEY.encode()), (b"abc", KEY.encode())]


def test_openapi_document_lists_the_operations_that_require_the_key(locked: httpx.Client, client: httpx.Client) -> None:
    document = locked.get("/openapi.json", headers={"x-api-key": KEY}).json()
    requiring_key = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("security") == [{"key": []}]
    }
    assert set(document["paths"]) - requiring_key == {"/health", "/ready"}
    assert "401" in document["paths"]["/predict"]["post"]["responses"]
    assert "401" not in client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]


# CORS


def test_cors_allows_the_configured_origins_only(locked: httpx.Client, client: httpx.Client) -> None:
    origin = {"origin": "https://example.org"}
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    allowed = locked.options("/predict", headers=origin | preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://example.org")
    refused = locked.post("/predict", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://example.org"), (
        "a page of that origin can read the error"
    )
    assert (
        "access-control-allow-origin"
        not in locked.options("/predict", headers={"origin": "https://other.org"} | preflight).headers
    )
    for response in (client.options("/predict", headers=origin | preflight), client.get("/health", headers=origin)):
        assert not [name for name in response.headers if name.startswith("access-control")], "CORS is off by default"


# request ids, log lines, metrics


def test_every_response_has_a_request_id_which_a_valid_client_id_replaces(
    client: httpx.Client, locked: httpx.Client
) -> None:
    for response in (client.get("/health"), client.get("/nothing"), client.get("/predict"), locked.get("/models")):
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert client.get("/nothing", headers={"x-request-id": "job-7.a_b"}).headers["x-request-id"] == "job-7.a_b"
    for wrong in ("", "a b", "x" * 129, 'a"b', "{}"):
        assert re.fullmatch(
            "[0-9a-f]{32}", client.get("/health", headers={"x-request-id": wrong}).headers["x-request-id"]
        )


def test_each_request_is_one_json_log_line_without_file_name_or_query(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        files = {"image": ("holiday with anna.png", photo())}
        client.post("/predict", files=files, params={"model": "tiny"}, headers={"x-request-id": "mine"})
        client.get("/anna.png")
        until(lambda: len(caplog.records) >= 2)
    lines = [JsonFormatter().format(record) for record in caplog.records]
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


def test_internal_errors_are_logged_and_not_sent_to_the_client(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        response = client.post("/predict", files={"image": photo()}, data={"model": "broken"})
        until(lambda: len(caplog.records) >= 2)
    assert response.status_code == 500
    assert list(response.json()) == ["error"]
    assert response.headers["x-request-id"] in response.json()["error"]
    assert not any(word in response.text for word in ("secret", "weights", "RuntimeError", "Traceback"))
    error_line, request_line = (json.loads(JsonFormatter().format(record)) for record in caplog.records)
    assert "weights at /secret/place are gone" in error_line["traceback"]
    assert error_line["request_id"] == request_line["request_id"] == response.headers["x-request-id"]
    assert (error_line["level"], request_line["status"]) == ("error", 500)
    assert client.post("/predict", content=photo(), headers=PNG).status_code == 200


def test_metrics_count_requests_by_route_and_stage() -> None:
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
        assert 'route="/predict"' not in other.get("/metrics").text, "two apps in one process do not share counts"


def test_client_disconnect_is_logged_as_499_and_not_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with running(create_app({"tiny": predictor()})) as client, caplog.at_level(logging.INFO, "emotion_hub"):
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as raw:
            raw.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
            )
        until(lambda: any(getattr(r, "fields", {}).get("status") == 499 for r in caplog.records))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_log_lines_are_json_for_any_message() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, 'two\nlines %s "quoted"', (object,), None)
    handler.emit(record)
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == f'two\nlines {object} "quoted"'
