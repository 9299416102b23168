"""OpenAPI document: complete, with working examples, and correct."""

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
from tests.fakes.api_server import Boxes, photo, predictor, running

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

#: Checks of responses against the document. Other tests check field by field that wrong requests are refused.
CHECKS = [
    checks.not_a_server_error,
    oas.status_code_conformance,
    oas.content_type_conformance,
    oas.response_headers_conformance,
    oas.response_schema_conformance,
]


@pytest.fixture(scope="module")
def operations(client: httpx.Client) -> dict:
    results = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json").get_all_operations()
    return {operation.label: operation for operation in (result.ok() for result in results)}


def test_every_operation_is_tested(operations: dict) -> None:
    assert set(operations) == set(OPERATIONS)


PHOTO = "a real photo"
CASES = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
CASES += [
    (label, GenerationMode.NEGATIVE) for label in OPERATIONS if label.startswith("POST")
]  # the other operations take no input
CASES += [("POST /predict", PHOTO), ("POST /compare", PHOTO)]


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_responses_to_generated_requests_match_the_document(operations: dict, label: str, mode: str) -> None:
    if mode == PHOTO:
        strategy = operations[label].as_strategy(
            body={"image": base64.b64encode(photo()).decode()}, media_type="application/json"
        )
    else:
        strategy = operations[label].as_strategy(generation_mode=mode)
    statuses: list[int] = []

    @given(case=strategy)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def check_response(case: schemathesis.Case) -> None:
        response = case.call(timeout=60)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check_response()
    assert statuses


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/predict", schemas.PredictResponse, {}),
        ("/predict", schemas.PredictResponse, {"whole": "true", "labels": "happy,sad"}),
        ("/compare", schemas.CompareResponse, {}),
        ("/explain", schemas.ExplainResponse, {"method": "lime", "samples": "100"}),
    ],
)
def test_responses_match_their_schema(client: httpx.Client, path: str, kind: type, options: dict) -> None:
    response = client.post(path, files={"image": photo()}, data=options)
    assert kind.model_validate(response.json(), strict=True)


def test_response_without_a_face_matches_its_schema() -> None:
    with running(create_app({"tiny": predictor(detector=Boxes(()))})) as client:
        assert schemas.PredictResponse.model_validate(
            client.post("/predict", files={"image": photo()}).json(), strict=True
        )


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/models", schemas.ModelsResponse), ("/health", schemas.HealthResponse), ("/ready", schemas.ReadyResponse)],
)
def test_status_responses_match_their_schema(client: httpx.Client, path: str, kind: type) -> None:
    assert kind.model_validate(client.get(path).json(), strict=True)


def test_every_operation_has_a_summary_error_responses_and_a_working_example(client: httpx.Client) -> None:
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
                "schema" in kind
                for response in operation["responses"].values()
                for kind in response["content"].values()
            )
            if method == "post":
                assert {"400", "408", "413", "503", "504"} <= set(operation["responses"])
                example = operation["requestBody"]["content"]["application/json"]["example"]
                if path == "/explain":
                    example = {**example, "method": "lime", "samples": 100}  # these networks do not run in torch
                response = client.post(path.replace("{name}", "native48"), json=example)
                assert response.status_code == 200, (path, response.text)
    assert "Retry-After" in document["paths"]["/predict"]["post"]["responses"]["503"]["headers"]
    assert "data:" not in json.dumps(document)
