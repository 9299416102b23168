"""API routes over HTTP: results, request formats, options, errors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from emotion_hub.comparison import compare
from emotion_hub.errors import ConfigError, InputError
from emotion_hub.explainers import explain
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.preprocess import UPSCALE224
from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.requests import ExplainRequest, PredictRequest, parse_request
from tests.fakes.api_server import Boxes, LinearBackend, blank, photo, predictor, running
from tests.tolerances import PROBS, assert_same_probs

NAMES = "angry,fearful,happy,neutral,sad,surprised"
MODELS = {
    "native48": predictor(0, name="native48"),
    "upscale224": predictor(1, name="upscale224", config=UPSCALE224),
    "blind": predictor(2, name="blind", detector=Boxes(())),
}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(create_app(MODELS, config=ServeConfig(max_body=400_000, workers=2))) as client:
        yield client


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def assert_same_prediction(actual: dict, expected: dict) -> None:
    """Equal except for times; probabilities within their tolerance."""
    times = ("processing_time", "timings")
    assert set(actual) == set(expected)
    for key, value in expected.items():
        if key == "probs":
            assert_same_probs(actual[key], value)
            assert list(actual[key]) == list(value)
        elif key == "confidence":
            assert_same_probs(actual[key], value)
        elif key not in times:
            assert actual[key] == value


def test_predict_returns_the_predictors_results_for_form_json_and_image_bodies(client: httpx.Client) -> None:
    expected = [face.to_dict() for face in MODELS["native48"].predict(photo())]
    assert len(expected) == 2
    responses = [
        client.post("/predict", files={"image": ("me.png", photo(), "image/png")}),
        client.post("/predict", json={"image": base64_of(photo())}),
        client.post("/predict", json={"image": "data:image/png;base64," + base64_of(photo()), "model": None}),
        client.post("/predict", content=photo(), headers={"content-type": "image/png"}),
        client.post("/predict", content=photo(), headers={"content-type": "application/octet-stream"}),
    ]
    for response in responses:
        assert response.status_code == 200, response.text
        result = response.json()
        assert (result.pop("width"), result.pop("height")) == (120, 100)
        faces = result.pop("faces")
        assert result == faces[0], "the fields of the largest face are repeated at the top"
        for face, expected_face in zip(faces, expected, strict=True):
            repeated = {
                name: face.pop(name) for name in ("predictions", "predicted_class", "processing_time")
            }  # the fields of the technical report's API
            assert repeated == {
                "predictions": face["probs"],
                "predicted_class": face["label"],
                "processing_time": face["timings"]["total"] / 1000,
            }
            assert_same_prediction(face, expected_face)


def test_timings_total_is_the_sum_of_the_steps(client: httpx.Client) -> None:
    face = client.post("/predict", content=photo(), headers={"content-type": "image/png"}).json()["faces"][0]
    assert list(face["timings"]) == ["decode", "detect", "preprocess", "inference", "total"]
    assert face["timings"]["total"] == pytest.approx(sum(face["timings"][step] for step in list(face["timings"])[:-1]))
    assert face["processing_time"] == pytest.approx(face["timings"]["total"] / 1000)


def test_photo_without_a_face_returns_an_empty_list_and_nulls(client: httpx.Client) -> None:
    response = client.post("/predict", files={"image": photo()}, data={"model": "blind"}).json()
    assert response["faces"] == []
    assert (response["model"], response["width"], response["height"]) == ("blind", 120, 100)
    assert response["processing_time"] == response["timings"]["total"] / 1000 > 0
    nulls = ("predictions", "predicted_class", "confidence", "label", "label_id", "probs", "bbox", "score", "detector")
    assert [response[name] for name in nulls] == [None] * len(nulls)
    compared = client.post("/compare", files={"image": photo()}, data={"native48": "blind"}).json()
    assert compared == {"width": 120, "height": 100, "faces": []}


@pytest.mark.parametrize("where", ["form", "query", "json"])
def test_options_are_read_from_form_query_and_json(client: httpx.Client, where: str) -> None:
    options = {"model": "upscale224", "whole": "true", "labels": NAMES}
    if where == "form":
        response = client.post("/predict", files={"image": photo()}, data=options)
    elif where == "query":
        response = client.post("/predict", files={"image": photo()}, params=options)
    else:
        response = client.post(
            "/predict",
            json={"image": base64_of(photo()), "model": "upscale224", "whole": True, "labels": NAMES.split(",")},
        )
    [face] = response.json()["faces"]
    assert (face["model"], face["bbox"], face["detector"]) == ("upscale224", [0, 0, 120, 100], None)
    assert list(face["probs"]) == NAMES.split(",")


def test_probabilities_use_the_requested_label_names_in_their_order(client: httpx.Client) -> None:
    [largest, *_] = MODELS["native48"].predict(photo())
    kept = {name: p for name, p in largest.probs.items() if name != "disgust"}
    expected = {name: p / sum(kept.values()) for name, p in kept.items()}
    response = client.post("/predict", files={"image": photo()}, data={"labels": NAMES}).json()
    assert list(response["predictions"]) == NAMES.split(",")
    assert_same_probs(response["predictions"]["fearful"], expected["fear"])
    assert_same_probs(response["predictions"]["surprised"], expected["surprise"])
    assert sum(response["predictions"].values()) == pytest.approx(1)
    assert (
        response["predicted_class"]
        == response["label"]
        == max(response["predictions"], key=response["predictions"].get)
    )
    assert response["confidence"] == response["predictions"][response["predicted_class"]]
    assert response["label_id"] == NAMES.split(",").index(response["label"])
    six_class = client.post("/predict", files={"image": photo()}, data={"labels": "six_class"}).json()
    assert_same_probs(six_class["predictions"], SIX_CLASS.project(largest.probs))
    assert list(six_class["predictions"]) == list(SIX_CLASS.labels)
    for body in (response, six_class):
        assert body["left_out"] == {"disgust": pytest.approx(largest.probs["disgust"], abs=PROBS)}


def test_compare_returns_the_results_of_the_python_function(client: httpx.Client) -> None:
    expected = [
        face.to_dict() for face in compare(photo(), native48=MODELS["native48"], upscale224=MODELS["upscale224"])
    ]
    response = client.post("/compare", files={"image": photo()}).json()
    assert (response["width"], response["height"]) == (120, 100)
    for face, expected_face in zip(response["faces"], expected, strict=True):
        assert set(face) == set(expected_face)
        assert_same_prediction(face["native48"], expected_face["native48"])
        assert_same_prediction(face["upscale224"], expected_face["upscale224"])
        assert (face["bbox"], face["agree"]) == (expected_face["bbox"], expected_face["agree"])
        assert_same_probs(face["distance"], expected_face["distance"])
        assert list(face["ratios"]) == ["preprocess", "inference"]
    swapped = client.post(
        "/compare", json={"image": base64_of(photo()), "native48": "upscale224", "upscale224": "native48"}
    ).json()["faces"][0]
    assert_same_prediction(swapped["native48"], expected[0]["upscale224"])


def test_explain_returns_the_overlay_and_the_metrics_of_the_map(client: httpx.Client) -> None:
    options = {"method": "lime", "target": "fearful", "versus": "happy", "samples": 100}
    response = client.post("/explain", json={"image": base64_of(photo()), **options}).json()
    expected = explain(photo(), "lime", MODELS["native48"], "fear", versus="happy", samples=100, seed=0).to_dict()
    assert (response["method"], response["target"], response["versus"], response["model"]) == (
        "lime",
        "fear",
        "happy",
        "native48",
    )
    assert_same_probs(response["confidence"], expected["confidence"])
    assert_same_probs(response["scores"]["deletion"], expected["scores"]["deletion"])
    assert response["parameters"] == expected["parameters"]
    assert response["bbox"] == [50, 20, 110, 80], "the largest face"
    overlay = Image.open(io.BytesIO(base64.b64decode(response["overlay"])))
    assert (overlay.format, overlay.size, overlay.mode) == ("PNG", (224, 224), "RGB")
    without_metrics = client.post(
        "/explain", files={"image": photo()}, data={"method": "lime", "samples": "100", "metrics": "none"}
    ).json()
    assert without_metrics["scores"] == {} or set(without_metrics["scores"]) < set(response["scores"])


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"method": "guess"}, 422, "method='guess': input should be 'gradcam'"),
        ({"method": "gradcam"}, 422, "needs the torch backend"),
        ({"method": "lime", "samples": "9"}, 422, "samples='9': input should be greater than or equal to 10"),
        ({"method": "lime", "samples": "5001"}, 422, "samples='5001': input should be less than or equal to 5000"),
        ({"method": "lime", "samples": "10.5"}, 422, "samples='10.5': input should be a valid integer"),
        ({"method": "lime", "scoring": "fast"}, 422, "unknown field 'scoring'; the fields are image"),
        ({"method": "shap", "samples": "50"}, 422, "SHAP has no option samples; leave it out"),
        ({"method": "lime", "target": "bored"}, 422, "label 'bored' is not in fer2013; it has angry"),
        ({"method": "lime", "target": "sad", "versus": "sad"}, 422, "both 'sad'"),
        ({"method": "lime", "model": "blind"}, 422, "no face was found in the 120x100 image"),
        ({"method": "lime", "model": "nobody"}, 404, "no model 'nobody'; choose from native48"),
        ({"method": "lime", "seed": "-1"}, 422, "seed='-1'"),
        ({"method": "lime", "metrics": "some"}, 422, "metrics='some'"),
    ],
)
def test_explain_refuses_wrong_options_with_the_reason(
    client: httpx.Client, options: dict, status: int, words: str
) -> None:
    refused(client.post("/explain", files={"image": photo()}, data=options), status, words)


def refused(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]
    assert response.headers["x-request-id"]


BLANK = blank(9000, 5000)
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize("path", ["/predict", "/compare", "/explain"])
@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"content": b"{", "headers": JSON}, 400, "the body is not JSON"),
        ({"content": b"\xff{}", "headers": JSON}, 400, "the body is not JSON"),
        ({"content": b"[" * 1000, "headers": JSON}, 400, "the body is not JSON"),
        (
            {"content": b'{"image": "", "model": [' + b"[]," * 100_000 + b"[]]}", "headers": JSON},
            400,
            "200,004 brackets, braces and commas, at most 1,000",
        ),
        ({"json": [1]}, 422, "a JSON list"),
        ({"json": {}}, 422, "there is no image"),
        ({"json": {"image": ""}}, 422, "there is no image"),
        ({"json": {"image": 3}}, 422, "image is a JSON int"),
        ({"json": {"image": "%%"}}, 400, "image is no base64 text"),
        ({"json": {"image": "bm8gcGljdHVyZQ=="}}, 400, "is a text file"),
        ({"json": {"image": base64_of(photo()), "picture": 1}}, 422, "unknown field 'picture'; the fields are image"),
        ({"json": {"image": base64_of(photo()), "whole": "perhaps"}}, 422, "whole='perhaps': use true or false"),
        ({"json": {"image": base64_of(photo()), "whole": 1}}, 422, "whole=1: use true or false"),
        ({"content": photo()[:-300], "headers": {"content-type": "image/png"}}, 400, "damaged or cut short"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, 422, "there is no image"),
        ({"content": photo()}, 415, "content type '' is not supported"),
        ({"content": photo(), "headers": {"content-type": "text/plain"}}, 415, "content type 'text/plain'"),
        ({"files": {"picture": photo()}}, 422, "unknown field 'picture'"),
        ({"files": {"image": photo()}, "data": {"whole": "2"}}, 422, "whole='2'"),
        ({"files": {"image": photo()}, "params": {"strict": "1"}}, 422, "unknown field 'strict'"),
        ({"files": {"image": photo()}, "params": [("whole", "1"), ("whole", "1")]}, 422, "'whole' was sent twice"),
        (
            {"params": {"image": "x"}, "content": photo(), "headers": {"content-type": "image/png"}},
            422,
            "send the image in the body",
        ),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "has no boundary"),
        ({"content": b"nonsense", "headers": FORM}, 400, "multipart body cannot be parsed"),
        ({"content": PART % (b"image", b"x"), "headers": FORM}, 400, "closing boundary is missing"),
        ({"content": PART % (b"image", b"x") * 2 + b"--b--\r\n", "headers": FORM}, 400, "'image' was sent twice"),
        ({"content": b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", "headers": FORM}, 400, "has no name"),
        (
            {"content": b"".join(PART % (b"a%d" % i, b"x") for i in range(21)) + b"--b--\r\n", "headers": FORM},
            400,
            "more than 20 fields",
        ),
        ({"content": bytes(400_001), "headers": {"content-type": "image/png"}}, 413, "larger than 0.381 MB"),
        ({"content": BLANK, "headers": {"content-type": "image/png"}}, 413, "megapixels"),
    ],
    ids=range(30),
)
def test_wrong_bodies_are_refused_with_status_and_reason(
    client: httpx.Client, path: str, request_: dict, status: int, words: str
) -> None:
    refused(client.post(path, **request_), status, words)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("six", "label 'six' is not in fer2013; it has angry"),
        ("sad,sadness", "names a label twice"),
        ("", "labels=''"),
        ([], "labels=[]"),
        ([3], "labels=[3]"),
    ],
)
def test_invalid_labels_are_refused(client: httpx.Client, labels: object, words: str) -> None:
    for model in ("native48", "blind"):
        request = {"image": base64_of(photo()), "labels": labels, "model": model}
        refused(client.post("/predict", json=request), 422, words)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "no such path"),
        ("GET", "/predict", 405, "does not take that method"),
        ("DELETE", "/health", 405, "does not take that method"),
        ("POST", "/predict?model=nobody", 404, "no model 'nobody'; choose from native48, upscale224, blind"),
        ("POST", "/compare?upscale224=nobody", 404, "no model 'nobody'"),
        ("POST", "/models/nobody", 404, "no model 'nobody'"),
    ],
)
def test_errors_of_the_framework_have_the_same_shape(
    client: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    body = {"content": photo(), "headers": {"content-type": "image/png"}} if method == "POST" else {}
    response = client.request(method, path, **body)
    refused(response, status, words)
    assert ("allow" in response.headers) == (status == 405)


def test_models_lists_backend_parameters_labels_and_preprocessing(client: httpx.Client) -> None:
    response = client.get("/models").json()
    assert (response["default"], [row["name"] for row in response["models"]]) == ("native48", list(MODELS))
    assert response["methods"][0] == "gradcam"
    row = response["models"][1]
    assert (row["backend"], row["parameters"], row["labels"]) == ("linear", 7, list(FER2013.labels))
    assert row["preprocess"] == UPSCALE224.to_dict()
    assert row["accuracy"] is None


def test_inference_api_returns_the_largest_face_and_an_empty_list_without_one(client: httpx.Client) -> None:
    expected = MODELS["native48"].predict(photo())[0].probs
    response = client.post("/models/native48", content=photo()).json()
    assert_same_probs({row["label"]: row["score"] for row in response}, expected)
    assert client.post("/models/blind", content=photo()).json() == []
    refused(client.post("/", content=b"text"), 400, "is a text file")


def test_nan_and_infinity_become_null() -> None:
    from emotion_hub.serve.responses import nan_to_null

    values = {
        "a": float("nan"),
        "b": [1.0, float("inf")],
        "c": {"d": (2, None, "x")},
        "e": LinearBackend().weights[0, 0],
    }
    plain = nan_to_null(values)
    assert plain | {"e": 0} == {"a": None, "b": [1.0, None], "c": {"d": [2, None, "x"]}, "e": 0}
    assert json.dumps(plain, allow_nan=False)


def test_responses_use_the_served_name_of_a_model_not_its_path() -> None:
    model = predictor(name="/home/me/secret")
    with running(create_app({"mine": model, "blind": predictor(name="/home/me/secret", detector=Boxes(()))})) as client:
        responses = [
            client.post("/predict", files={"image": photo()}),
            client.post("/predict", files={"image": photo()}, data={"model": "blind"}),
            client.post("/compare", files={"image": photo()}, data={"native48": "mine", "upscale224": "mine"}),
            client.post(
                "/explain", files={"image": photo()}, data={"method": "lime", "samples": "100", "metrics": "none"}
            ),
        ]
    assert [response.status_code for response in responses] == [200] * 4
    assert "secret" not in "".join(response.text for response in responses)
    predicted, blind, compared, explained = (response.json() for response in responses)
    assert (predicted["model"], predicted["faces"][0]["model"], blind["model"], explained["model"]) == (
        "mine",
        "mine",
        "blind",
        "mine",
    )
    assert {face[side]["model"] for face in compared["faces"] for side in ("native48", "upscale224")} == {"mine"}
    assert model.name == "/home/me/secret", "the given predictor is not changed"


def test_body_fields_take_precedence_over_the_query() -> None:
    body = json.dumps({"image": base64_of(b"data"), "whole": False}).encode()
    request = parse_request(PredictRequest, body, "application/json", [("whole", "true"), ("model", "m")])
    assert (request.image, request.whole, request.model) == (b"data", False, "m")
    assert "data" not in repr(request), "an image must not appear in messages"


def parse_explain(**options: object) -> ExplainRequest:
    body = json.dumps({"image": base64_of(b"data"), **options}).encode()
    return parse_request(ExplainRequest, body, "application/json")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"whole": "TRUE"}, True),
        ({"whole": "0"}, False),
        ({"whole": None}, False),
        ({"samples": "10"}, 10),
        ({"samples": 20.0}, 20),
        ({"samples": None}, None),
        ({"seed": None}, None),
        ({"seed": 2**32 - 1}, 2**32 - 1),
        ({"method": None}, "gradcam"),
        ({"metrics": None}, "fast"),
    ],
)
def test_accepted_spellings_of_options(options: dict, expected: object) -> None:
    [name] = options
    value = getattr(parse_explain(**options), name)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"whole": value}, f"whole={value!r}: use true or false") for value in ("yes", "on", "", 1, 0, 1.0, [], {})),
        *(
            ({"samples": value}, f"samples={value!r}: input should be a valid integer")
            for value in (True, "10.0", "+10", " 10", "\u0661\u0660", "", 10.5, [10])
        ),
        ({"seed": -1}, "seed=-1: input should be greater than or equal to 0"),
        ({"seed": 2**32}, "seed=4294967296: input should be less than or equal to 4294967295"),
        ({"method": ["lime"]}, "method=['lime']: input should be 'gradcam'"),
        ({"metrics": True}, "metrics=True: input should be 'none', 'map', 'fast' or 'full'"),
        ({"target": ""}, "target='': string should have at least 1 character"),
        ({"target": "x" * 201}, "...: string should have at most 200 characters"),
        ({"versus": 3}, "versus=3: input should be a valid string"),
        ({"scoring": None}, "unknown field 'scoring'; the fields are image"),
        ({"seed": -1, "whole": "yes"}, "whole='yes': use true or false; seed=-1: input should be"),
        ({"a": 1, "b": 2}, "unknown fields 'a', 'b'; the fields are image"),
    ],
)
def test_options_of_other_types_are_refused_with_name_and_value(options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_explain(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "jax"},
        {"port": 70000},
        {"port": True},
        {"queue": 0},
        {"batch": 0},
        {"batch_wait": -1},
        {"workers": 0},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"body_timeout": 0},
        {"explain_timeout": float("inf")},
        {"explain_queue": -1},
        {"explain_at_once": 0},
        {"max_body": 10},
        {"api_key": "short"},
        {"api_key": "pässword-long"},
        {"cors": ("example.org",)},
        {"cors": ("https://example.org/path",)},
        {"cors": "https://example.org"},
        {"models": "native48"},
    ],
)
def test_wrong_settings_are_refused_with_name_and_value(wrong: dict) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ConfigError) as caught:
        ServeConfig(**wrong)
    assert ("API key" if name == "api_key" else name) in str(caught.value)
    assert name != "api_key" or value not in str(caught.value), "the message must not show the key"


def test_repr_of_the_configuration_does_not_show_the_key() -> None:
    assert "secret-key" not in repr(ServeConfig(api_key="secret-key"))


def test_decoding_has_one_thread_per_core_and_one_where_the_number_is_unknown(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert (ServeConfig().threads, ServeConfig(workers=2).threads) == (6, 2)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert ServeConfig().threads == 1


def test_default_must_be_served_and_a_single_model_is_the_default(tmp_path) -> None:
    with pytest.raises(InputError, match="default='x' is not a served model; choose from tiny"):
        create_app({"tiny": predictor()}, default="x")
    with pytest.raises(InputError, match="default='y' is not a served model; choose from native48"):
        create_app(config=ServeConfig(models=("native48",), default="y"))
    assert create_app({"tiny": predictor()}).state.service.models.default == "tiny"
    for folder in ("a/me", "b/me"):
        (tmp_path / folder).mkdir(parents=True)
    assert create_app(config=ServeConfig(models=(str(tmp_path / "a" / "me"),))).state.service.models.names == ("me",), (
        "clients do not see local paths"
    )
    with pytest.raises(ConfigError, match="two models are named 'me'"):
        create_app(config=ServeConfig(models=(str(tmp_path / "a" / "me"), str(tmp_path / "b" / "me"))))
