"""Prediction sets over HTTP, in the Inference API and the Endpoint handler."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import InferenceClient

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.serve import EndpointHandler, ServeConfig, create_app
from emotion_hub.serve.schemas import CompareResponse, ModelsResponse, PredictResponse
from tests.fakes.api_server import photo, predictor, running

SETS = PredictionSets(0.9, {label: 0.7 + k / 50 for k, label in enumerate(FER2013.labels)})


def _model(seed: int, name: str, sets: PredictionSets | None):
    made = predictor(seed, name=name)
    made.prediction_sets = sets
    return made


MODELS = {"native48": _model(0, "native48", SETS), "plain": _model(0, "plain", None)}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(create_app(MODELS, config=ServeConfig(workers=2))) as client:
        yield client


@pytest.mark.parametrize("labels", [None, "six_class"])
def test_predict_has_the_set_of_the_library_for_every_face(client, labels):
    model = MODELS["native48"] if labels is None else MODELS["native48"].with_labels(labels)
    expected = [list(face.prediction_set) for face in model.predict(photo())]
    assert len({len(labels) for labels in expected} | {7}) > 1, "not every label is in every set"
    response = client.post("/predict", files={"image": photo()}, data={"labels": labels} if labels else {})
    body = PredictResponse.model_validate(response.json())
    assert [face.prediction_set for face in body.faces] == expected
    assert body.prediction_set == expected[0]


def test_a_model_without_a_rule_has_no_set(client):
    face = client.post("/predict", files={"image": photo()}, data={"model": "plain"}).json()["faces"][0]
    assert "prediction_set" not in face
    assert set(MODELS["plain"].predict(photo())[0].to_dict()) <= set(face)


def test_compare_has_the_set_of_the_side_that_has_one(client):
    data = {"native48": "native48", "upscale224": "plain"}
    body = client.post("/compare", files={"image": photo()}, data=data).json()
    CompareResponse.model_validate(body)
    expected = [list(face.prediction_set) for face in MODELS["native48"].predict(photo())]
    assert [face["native48"]["prediction_set"] for face in body["faces"]] == expected
    assert all("prediction_set" not in face["upscale224"] for face in body["faces"])


def test_models_states_the_coverage_and_the_thresholds(client):
    body = client.get("/models").json()
    ModelsResponse.model_validate(body)
    assert {row["name"]: row["prediction_sets"] for row in body["models"]} == {
        "native48": SETS.to_dict(),
        "plain": None,
    }


def test_the_inference_api_restricts_the_response_on_request(client):
    [largest, *_] = MODELS["native48"].predict(photo())
    whole = InferenceClient(model=f"{client.base_url}/models/native48").image_classification(photo())
    assert len(whole) == 7
    body = {"inputs": base64.b64encode(photo()).decode(), "parameters": {"prediction_set": True}}
    rows = client.post("/models/native48", json=body).json()
    assert [row["label"] for row in rows] == list(largest.prediction_set)
    assert 0 < len(rows) < 7
    two = {**body, "parameters": {"prediction_set": True, "top_k": 1, "function_to_apply": "none"}}
    assert [row["label"] for row in client.post("/models/native48", json=two).json()] == [largest.label]
    response = client.post("/models/plain", json=body)
    assert (response.status_code, list(response.json())) == (400, ["error"])
    assert "has no prediction sets" in response.json()["error"]
    wrong = client.post("/models/native48", json={**body, "parameters": {"prediction_set": "yes"}})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "prediction_set='yes': true or false")


def test_the_endpoint_handler_answers_like_the_library():
    handler = EndpointHandler(predictor=MODELS["native48"])
    [largest, *_] = MODELS["native48"].predict(photo())
    rows = handler({"inputs": photo(), "parameters": {"prediction_set": True}})
    assert [row["label"] for row in rows] == list(largest.prediction_set)
    assert len(handler({"inputs": photo()})) == 7
    with pytest.raises(InputError, match="has no prediction sets"):
        EndpointHandler(predictor=MODELS["plain"])({"inputs": photo(), "parameters": {"prediction_set": True}})
