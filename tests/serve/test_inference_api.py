"""Inference API with huggingface_hub's client, and the endpoint handler."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import uvicorn
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.interop.inference_api import read_request
from emotion_hub.predictor import embedded_predictor
from emotion_hub.serve import EndpointHandler, ServeConfig, create_app
from emotion_hub.serve.config import MAX_BODY
from tests.tolerances import assert_same_probs


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(config=ServeConfig(backend="torch")), port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def face(face_image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    face_image.convert("L").resize((48, 48)).save(buffer, "PNG")
    return buffer.getvalue()


def scores(rows: list[dict[str, object]]) -> dict[str, float]:
    return {row["label"]: row["score"] for row in rows}


@pytest.mark.parametrize("name", ["native48", "upscale224"])
def test_inference_client_gets_the_predictors_probabilities(url: str, face: bytes, name: str) -> None:
    expected = embedded_predictor(name).predict(face)[0].probs
    response = InferenceClient(model=f"{url}/models/{name}").image_classification(face)
    assert [row.label for row in response] == sorted(expected, key=expected.get, reverse=True)
    assert_same_probs(scores(response), expected)


def test_root_runs_the_default_model_with_the_clients_parameters(url: str, face: bytes) -> None:
    expected = embedded_predictor("native48").predict(face)[0]
    client = InferenceClient(model=url)
    assert_same_probs(scores(client.image_classification(face)), expected.probs)
    [best] = client.image_classification(face, top_k=1)
    assert best.label == expected.label
    assert_same_probs(best.score, expected.confidence)
    logits = scores(client.image_classification(face, function_to_apply="none"))
    odds = np.exp(list(logits.values()))
    assert_same_probs(odds / odds.sum(), [expected.probs[label] for label in logits])
    sigmoids = scores(client.image_classification(face, function_to_apply="sigmoid"))
    assert_same_probs(sigmoids, {label: 1 / (1 + np.exp(-value)) for label, value in logits.items()})


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "words"),
    [
        ("/", b"", "image/png", 400, "there is no picture"),
        ("/", b"text, no picture", "image/png", 400, "text"),
        ("/", b"{", "application/json", 400, "not JSON"),
        ("/", b"[]", "application/json", 400, "JSON list"),
        (
            "/",
            b'{"inputs": "", "parameters": [' + b"[]," * 100_000 + b"[]]}",
            "application/json",
            400,
            "200,004 brackets, braces and commas",
        ),
        ("/", b'{"inputs": 3}', "application/json; charset=utf-8", 400, "inputs=3"),
        ("/", b'{"inputs": "%%"}', "application/json", 400, "no base64"),
        (
            "/",
            b'{"inputs": "", "parameters": {"top": 3}}',
            "application/json",
            400,
            "no parameter 'top'; there are top_k",
        ),
        ("/", b'{"inputs": "", "parameters": {"top_k": 0}}', "application/json", 400, "top_k=0"),
        ("/", b'{"inputs": "", "parameters": {"top_k": true}}', "application/json", 400, "top_k=True"),
        (
            "/",
            b'{"inputs": "", "parameters": {"function_to_apply": "tanh"}}',
            "application/json",
            400,
            "choose from softmax",
        ),
        ("/", b'{"inputs": "", "parameters": []}', "application/json", 400, "parameters=[]"),
        ("/models/nobody/nothing", b"x", "image/png", 404, "no model 'nobody/nothing'; choose from"),
        ("/", b"\0" * (MAX_BODY + 1), "image/png", 413, "larger than"),
    ],
)
def test_wrong_requests_get_one_error_shape(
    url: str, path: str, body: bytes, kind: str, status: int, words: str
) -> None:
    response = httpx.post(url + path, content=body, headers={"content-type": kind})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]


def test_inference_client_raises_for_a_refused_request(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match="is a text file"):
        InferenceClient(model=url).image_classification(b"no picture at all")


def test_endpoint_handler_accepts_bytes_base64_data_urls_and_pil_images(face: bytes) -> None:
    handler = EndpointHandler("native48")
    expected = scores(handler({"inputs": face}))
    assert scores(handler({"inputs": base64.b64encode(face).decode(), "parameters": {"top_k": None}})) == expected
    assert scores(handler({"inputs": Image.open(io.BytesIO(face))})) == expected
    assert scores(handler({"inputs": "data:image/png;base64," + base64.b64encode(face).decode()})) == expected
    for wrong in ([], {"parameters": {}}, {"inputs": face, "parameters": {"whole": "yes"}}):
        with pytest.raises(InputError):
            handler(wrong)


def test_endpoint_handler_returns_an_empty_list_without_a_face_unless_whole() -> None:
    handler, without_face = (
        EndpointHandler(predictor=embedded_predictor("native48")),
        Image.new("RGB", (200, 160), "teal"),
    )
    assert handler({"inputs": without_face}) == []
    assert len(handler({"inputs": without_face, "parameters": {"whole": True}})) == 7


def test_default_that_is_not_served_is_refused() -> None:
    with pytest.raises(InputError, match="default='x' is not a served model"):
        create_app({}, default="x")


def test_bytes_are_an_image_for_any_content_type_but_json(face: bytes) -> None:
    assert read_request(face).image == read_request(face, "application/octet-stream").image == face


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": ["x" * 1_000_000]},
        {"inputs": "", "parameters": "x" * 1_000_000},
        {"inputs": "", "parameters": {"x" * 1_000_000: 1}},
        {"inputs": "", "parameters": dict.fromkeys(map(str, range(900)))},
        *({"inputs": "", "parameters": {name: "x" * 1_000_000}} for name in ("top_k", "function_to_apply", "whole")),
    ],
    ids=["inputs", "parameters", "name", "names", "top_k", "function_to_apply", "whole"],
)
def test_error_messages_do_not_repeat_long_values(wrong: dict) -> None:
    with pytest.raises(InputError) as caught:
        read_request(json.dumps(wrong).encode(), "application/json")
    assert 20 < len(str(caught.value)) < 200
