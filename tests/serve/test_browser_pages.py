"""GET / in browsers, and HEAD requests."""

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

#: The Accept header of Chromium and Firefox for a page.
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}

PATHS = ("/models", "/health", "/ready", "/metrics", "/docs", "/docs/docs.css", "/docs/docs.js", "/openapi.json")


def small_demo() -> gr.Blocks:
    with gr.Blocks(title="a small page", analytics_enabled=False) as demo:
        gr.Markdown("hello")
    return demo


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(create_app({"tiny": predictor()})) as client:
        yield client


@pytest.fixture(scope="module")
def with_demo() -> Iterator[httpx.Client]:
    with running(
        mount_demo(create_app({"tiny": predictor()}, config=ServeConfig(api_key=KEY)), small_demo(), {})
    ) as client:
        yield client


# /


def test_root_redirects_browsers_to_the_api_reference_without_a_demo(client: httpx.Client) -> None:
    response = client.get("/", headers=BROWSER)
    assert (response.status_code, response.headers["location"], response.headers["vary"]) == (307, "/docs", "Accept")
    assert client.get("/", headers=BROWSER, follow_redirects=True).status_code == 200


def test_root_redirects_browsers_to_a_mounted_demo(with_demo: httpx.Client) -> None:
    response = with_demo.get("/", headers=BROWSER, auth=("me", KEY))
    assert (response.status_code, response.headers["location"]) == (307, "/demo")
    page = with_demo.get("/", headers=BROWSER, auth=("me", KEY), follow_redirects=True)
    assert (page.status_code, "a small page" in page.text) == (200, True)


def test_root_redirect_keeps_the_path_prefix_of_a_proxy() -> None:
    app = create_app({"tiny": predictor()})
    app.root_path = "/faces"
    with running(app, ready=False) as client:
        assert client.get("/", headers=BROWSER).headers["location"] == "/faces/docs"


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_get_root_is_405_for_clients_that_do_not_accept_html(client: httpx.Client, accept: str) -> None:
    response = client.get("/", headers={"accept": accept})
    assert (response.status_code, response.headers["allow"], list(response.json())) == (405, "POST", ["error"])
    assert "POST /" in response.json()["error"]


def test_post_root_is_the_inference_api_for_any_accept_header(client: httpx.Client) -> None:
    response = client.post("/", content=photo(), headers=BROWSER | {"content-type": "image/png"})
    assert (response.status_code, set(response.json()[0])) == (200, {"label", "score"})


def test_root_asks_browsers_for_a_password_and_other_clients_for_a_token(with_demo: httpx.Client) -> None:
    for method in ("GET", "HEAD"):
        refused = with_demo.request(method, "/", headers=BROWSER)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="emotion_hub"')
    for method, headers in (("GET", {}), ("POST", BROWSER)):
        assert with_demo.request(method, "/", headers=headers).headers["www-authenticate"].startswith("Bearer")


# HEAD


@pytest.mark.parametrize("path", PATHS)
def test_head_returns_the_headers_of_get_without_a_body(client: httpx.Client, path: str) -> None:
    get_response, head_response = client.get(path), client.head(path)
    assert (head_response.status_code, head_response.content) == (200, b"")
    varying = {
        "date",
        "x-request-id",
        *(["content-length"] if path == "/metrics" else []),
    }  # the counts of requests change
    assert {k: v for k, v in head_response.headers.items() if k not in varying} == {
        k: v for k, v in get_response.headers.items() if k not in varying
    }
    assert len(get_response.content) == int(get_response.headers["content-length"])


def test_head_ready_is_503_while_models_load() -> None:
    backend = LinearBackend()
    backend.unblocked.clear()
    app = create_app({"slow": EmotionPredictor(backend, FER2013, Preprocessor("native48"), name="slow")})
    with running(app, ready=False) as client:
        for method in ("GET", "HEAD"):
            response = client.request(method, "/ready")
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert bool(response.content) == (method == "GET")
            assert client.request(method, "/health").status_code == 200
        backend.unblocked.set()
        until(lambda: client.head("/ready").status_code == 200)


def test_head_requires_the_key_where_get_does(with_demo: httpx.Client) -> None:
    assert {path for path in PATHS if with_demo.head(path).status_code != 401} == {"/health", "/ready"}


def test_head_is_405_or_404_for_paths_without_get(client: httpx.Client) -> None:
    for path, status in (("/predict", 405), ("/", 405), ("/nothing", 404)):
        response = client.head(path)
        assert (response.status_code, response.content) == (status, b"")
    assert client.head("/predict").headers["allow"] == "POST"
    assert client.post("/health").headers["allow"] == "GET, HEAD"


def test_mounted_demo_answers_head_itself(with_demo: httpx.Client) -> None:
    assert with_demo.head("/demo/", auth=("me", KEY)).status_code == 200


def test_log_and_metrics_record_head_as_head(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "emotion_hub"):
        client.head("/health")
        until(lambda: caplog.records)
    [fields] = [record.fields for record in caplog.records]
    assert (fields["method"], fields["route"], fields["status"]) == ("HEAD", "/health", 200)
    assert 'method="HEAD",route="/health",status="200"' in client.get("/metrics").text


def test_openapi_document_lists_each_operation_once_and_no_page(client: httpx.Client) -> None:
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
