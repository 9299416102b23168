"""The OpenAPI document: complete, with examples that work, and true of what the server answers to anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as oas

from emotion_hub.preprocess import UPSCALE224
from emotion_hub.serve import ServeConfig, create_app, schemas
from tests.fakes.api_server import photo, predictor, running

EXAMPLES = 12


@pytest.fixture(scope="module")
def app() -> FastAPI:
    models = {
        "native48": predictor(0, name="native48"),
        "upscale224": predictor(1, name="upscale224", config=UPSCALE224),
    }
    return create_app(models, config=ServeConfig(max_body=200_000))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with running(app) as client:
        yield client


OPERATIONS = (
    "POST /predict",
    "POST /compare",
    "POST /explain",
    "POST /",
    "POST /models/{name}",
    "GET /models",
    "GET /health",
    "GET /ready",
    "GET /metrics",
)

#: Everything the document promises of an answer; whether a wrong request must be refused is held by other tests, field by field.
CHECKS = [
    checks.not_a_server_error,
    oas.status_code_conformance,
    oas.content_type_conformance,
    oas.response_headers_conformance,
    oas.response_schema_conformance,
]


@pytest.fixture(scope="module")
def operations(client: httpx.Client) -> dict:
    found = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json").get_all_operations()
    return {operation.label: operation for operation in (result.ok() for result in found)}


def test_every_operation_is_tried(operations: dict) -> None:
    assert set(operations) == set(OPERATIONS)


PHOTO = "a real photo"
TRIED = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
TRIED += [
    (label, GenerationMode.NEGATIVE) for label in OPERATIONS if label.startswith("POST")
]  # the others take nothing that could be wrong
TRIED += [("POST /predict", PHOTO), ("POST /compare", PHOTO)]


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_no_request_breaks_the_server_or_the_document(operations: dict, label: str, mode: str) -> None:
    if mode == PHOTO:
        strategy = operations[label].as_strategy(
            body={"image": base64.b64encode(photo()).decode()}, media_type="application/json"
        )
    else:
        strategy = operations[label].as_strategy(generation_mode=mode)
    tried = []

    @given(case=strategy)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def hold(case: schemathesis.Case) -> None:
        answer = case.call(timeout=60)
        tried.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    hold()
    assert tried


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/predict", schemas.PredictAnswer, {}),
        ("/predict", schemas.PredictAnswer, {"whole": "true", "labels": "happy,sad"}),
        ("/compare", schemas.CompareAnswer, {}),
        ("/explain", schemas.ExplainAnswer, {"method": "lime", "samples": "100"}),
    ],
)
def test_answers_are_what_the_document_says(client: httpx.Client, path: str, kind: type, options: dict) -> None:
    answer = client.post(path, files={"image": photo()}, data=options)
    assert kind.model_validate(answer.json(), strict=True)


def test_a_photo_without_a_face_is_in_the_document_too() -> None:
    from tests.fakes.api_server import Boxes

    with running(create_app({"tiny": predictor(detector=Boxes(()))})) as client:
        assert schemas.PredictAnswer.model_validate(
            client.post("/predict", files={"image": photo()}).json(), strict=True
        )


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/models", schemas.ModelsAnswer), ("/health", schemas.HealthAnswer), ("/ready", schemas.ReadyAnswer)],
)
def test_status_answers_are_what_the_document_says(client: httpx.Client, path: str, kind: type) -> None:
    assert kind.model_validate(client.get(path).json(), strict=True)


def test_every_operation_has_a_summary_its_refusals_and_an_example_that_works(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
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
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert {"200", "500"} <= set(operation["responses"])
            assert all(
                "schema" in kind for answer in operation["responses"].values() for kind in answer["content"].values()
            )
            if method == "post":
                assert {"400", "408", "413", "503", "504"} <= set(operation["responses"])
                example = operation["requestBody"]["content"]["application/json"]["example"]
                if path == "/explain":
                    example = {**example, "method": "lime", "samples": 100}  # the tiny networks here are not torch's
                answer = client.post(path.replace("{name}", "native48"), json=example)
                assert answer.status_code == 200, (path, answer.text)
    assert "Retry-After" in document["paths"]["/predict"]["post"]["responses"]["503"]["headers"]
    assert "data:" not in json.dumps(document)
