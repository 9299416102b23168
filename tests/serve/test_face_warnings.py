"""Face warnings over HTTP: /predict, /compare and the Inference API."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import pytest

from emotion_hub.examples import example_path
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve import ServeConfig, create_app, schemas
from tests.fakes.api_server import running

PREDICTOR = EmotionPredictor.from_pretrained("native48")
PHOTO = example_path("profile").read_bytes()
CAT = example_path("cat").read_bytes()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    models = {"native48": PREDICTOR, "upscale224": PREDICTOR.with_name("upscale224")}
    with running(create_app(models, config=ServeConfig())) as client:
        yield client


def test_predict_has_the_warnings_of_the_library(client: httpx.Client) -> None:
    [expected] = PREDICTOR.predict(PHOTO)
    answer = client.post("/predict", files={"image": PHOTO}).json()
    assert [warning["code"] for warning in answer["warnings"]] == ["turned"]
    assert answer["warnings"] == answer["faces"][0]["warnings"] == [w.to_dict() for w in expected.warnings]
    assert schemas.PredictResponse.model_validate(answer).warnings[0].code == "turned"


def test_what_is_not_a_face_is_predicted_and_flagged_first(client: httpx.Client) -> None:
    answer = client.post("/predict", files={"image": CAT}, data={"whole": "true"}).json()
    assert answer["warnings"][0]["code"] == "not_a_face"
    assert sum(answer["probs"].values()) == pytest.approx(1)


def test_a_photo_without_a_face_has_no_warnings(client: httpx.Client) -> None:
    answer = client.post("/predict", files={"image": CAT}).json()
    assert (answer["faces"], answer["warnings"]) == ([], [])


def test_both_sides_of_a_comparison_have_the_warnings(client: httpx.Client) -> None:
    [face] = client.post("/compare", files={"image": PHOTO}).json()["faces"]
    assert [w["code"] for w in face["native48"]["warnings"]] == ["turned"]
    assert face["upscale224"]["warnings"] == face["native48"]["warnings"]


@pytest.mark.parametrize("path", ["/", "/models/native48"])
def test_the_inference_api_adds_the_warnings_on_request(client: httpx.Client, path: str) -> None:
    body = {"inputs": base64.b64encode(PHOTO).decode(), "parameters": {"top_k": 2}}
    assert [set(row) for row in client.post(path, json=body).json()] == [{"label", "score"}] * 2
    rows = client.post(path, json={**body, "parameters": {"top_k": 2, "warnings": True}}).json()
    assert [[w["code"] for w in row["warnings"]] for row in rows] == [["turned"]] * 2


def test_the_document_lists_the_codes(client: httpx.Client) -> None:
    components = client.get("/openapi.json").json()["components"]["schemas"]
    assert components["FaceWarning"]["properties"]["code"]["enum"][0] == "not_a_face"
