"""/ in a browser, and HEAD wherever there is GET."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest

from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from emotion_hub.serve import ServeConfig, create_app, mount_demo
from tests.fakes.api_server import LinearBackend, photo, predictor, running, until

KEY = "correct horse"

#: What Chromium and Firefox send for a page.
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}

PATHS = ("/models", "/health", "/ready", "/metrics", "/docs", "/docs/docs.css", "/docs/docs.js", "/openapi.json")


def page() -> gr.Blocks:
    with gr.Blocks(title="a small page", analytics_enabled=False) as demo:
        gr.Markdown("hello")
    return demo


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(create_app({"tiny": predictor()})) as client:
        yield client


@pytest.fixture(scope="module")
def beside_demo() -> Iterator[httpx.Client]:
    with running(mount_demo(create_app({"tiny": predictor()}, config=ServeConfig(api_key=KEY)), page(), {})) as client:
        yield client


# /


def test_a_browser_at_the_root_is_sent_to_the_reference_where_there_is_no_demo(client: httpx.Client) -> None:
    answer = client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"], answer.headers["vary"]) == (307, "/docs", "Accept")
    assert client.get("/", headers=BROWSER, follow_redirects=True).status_code == 200


def test_a_browser_at_the_root_is_sent_to_the_demo_where_it_is_mounted(beside_demo: httpx.Client) -> None:
    answer = beside_demo.get("/", headers=BROWSER, auth=("me", KEY))
    assert (answer.status_code, answer.headers["location"]) == (307, "/demo")
    shown = beside_demo.get("/", headers=BROWSER, auth=("me", KEY), follow_redirects=True)
    assert (shown.status_code, "a small page" in shown.text) == (200, True)


def test_the_redirect_keeps_the_path_that_a_proxy_adds() -> None:
    app = create_app({"tiny": predictor()})
    app.root_path = "/faces"
    with running(app, ready=False) as client:
        assert client.get("/", headers=BROWSER).headers["location"] == "/faces/docs"


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_other_clients_at_the_root_are_told_what_it_takes(client: httpx.Client, accept: str) -> None:
    answer = client.get("/", headers={"accept": accept})
    assert (answer.status_code, answer.headers["allow"], list(answer.json())) == (405, "POST", ["error"])
    assert "POST /" in answer.json()["error"]


def test_the_root_is_still_the_inference_api_whatever_is_accepted(client: httpx.Client) -> None:
    answer = client.post("/", content=photo(), headers=BROWSER | {"content-type": "image/png"})
    assert (answer.status_code, set(answer.json()[0])) == (200, {"label", "score"})


def test_one_dialog_at_the_root_covers_the_whole_server(beside_demo: httpx.Client) -> None:
    for method in ("GET", "HEAD"):
        refused = beside_demo.request(method, "/", headers=BROWSER)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="emotion_hub"')
    for method, headers in (("GET", {}), ("POST", BROWSER)):
        assert beside_demo.request(method, "/", headers=headers).headers["www-authenticate"].startswith("Bearer")


# HEAD


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_does_without_a_body(client: httpx.Client, path: str) -> None:
    of_get, of_head = client.get(path), client.head(path)
    assert (of_head.status_code, of_head.content) == (200, b"")
    changing = {"date", "x-request-id", *(["content-length"] if path == "/metrics" else [])}  # counts grow
    assert {k: v for k, v in of_head.headers.items() if k not in changing} == {
        k: v for k, v in of_get.headers.items() if k not in changing
    }
    assert len(of_get.content) == int(of_get.headers["content-length"])


def test_head_of_a_server_that_still_loads_is_503_as_its_get_is() -> None:
    backend = LinearBackend()
    backend.go.clear()
    app = create_app({"slow": EmotionPredictor(backend, FER2013, Preprocessor("native48"), name="slow")})
    with running(app, ready=False) as client:
        for method in ("GET", "HEAD"):
            answer = client.request(method, "/ready")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert bool(answer.content) == (method == "GET")
            assert client.request(method, "/health").status_code == 200
        backend.go.set()
        until(lambda: client.head("/ready").status_code == 200)


def test_head_needs_the_key_where_get_does(beside_demo: httpx.Client) -> None:
    assert {path for path in PATHS if beside_demo.head(path).status_code != 401} == {"/health", "/ready"}


def test_head_is_refused_where_there_is_no_get(client: httpx.Client) -> None:
    for path, status in (("/predict", 405), ("/", 405), ("/nothing", 404)):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")
    assert client.head("/predict").headers["allow"] == "POST"
    assert client.post("/health").headers["allow"] == "GET, HEAD"


def test_head_of_the_demo_is_left_to_it(beside_demo: httpx.Client) -> None:
    assert beside_demo.head("/demo/", auth=("me", KEY)).status_code == 200


def test_head_stands_under_its_own_name_in_the_log_and_the_metrics(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        client.head("/health")
        until(lambda: caplog.records)
    [fields] = [record.fields for record in caplog.records]
    assert (fields["method"], fields["route"], fields["status"]) == ("HEAD", "/health", 200)
    assert 'method="HEAD",route="/health",status="200"' in client.get("/metrics").text


def test_the_document_lists_each_operation_once_and_no_page(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operations = {
        (path, method): each["operationId"]
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    }
    assert {method for _, method in operations} == {"get", "post"}
    assert len(set(operations.values())) == len(operations)
    assert {path for path, _ in operations} == {
        "/",
        "/predict",
        "/compare",
        "/explain",
        "/models",
        "/models/{name}",
        "/health",
        "/ready",
        "/metrics",
    }
    assert ("/", "get") not in operations
