"""What the API answers over real HTTP: the predictor's own numbers, the seed's shape, every refusal with its reason."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from emotion_hub.errors import ConfigError, InputError
from emotion_hub.explainers import explain
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.predictor import compare
from emotion_hub.preprocess import UPSCALE224
from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.requests import PredictRequest, read
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


def same(answer: dict, expected: dict) -> None:
    """Equal but for the times, and probabilities within their tolerance."""
    times = ("processing_time", "timings")
    assert set(answer) == set(expected)
    for key, value in expected.items():
        if key == "probs":
            assert_same_probs(answer[key], value)
            assert list(answer[key]) == list(value)
        elif key == "confidence":
            assert_same_probs(answer[key], value)
        elif key not in times:
            assert answer[key] == value


def test_predict_answers_as_the_predictor_does_whichever_way_the_photo_comes(client: httpx.Client) -> None:
    expected = [face.to_dict() for face in MODELS["native48"].predict(photo())]
    assert len(expected) == 2
    ways = [
        client.post("/predict", files={"image": ("me.png", photo(), "image/png")}),
        client.post("/predict", json={"image": base64_of(photo())}),
        client.post("/predict", json={"image": "data:image/png;base64," + base64_of(photo()), "model": None}),
        client.post("/predict", content=photo(), headers={"content-type": "image/png"}),
        client.post("/predict", content=photo(), headers={"content-type": "application/octet-stream"}),
    ]
    for way in ways:
        assert way.status_code == 200, way.text
        answer = way.json()
        assert (answer.pop("width"), answer.pop("height")) == (120, 100)
        faces = answer.pop("faces")
        assert answer == faces[0], "the largest face stands at the top"
        for face, wanted in zip(faces, expected, strict=True):
            repeated = {
                name: face.pop(name) for name in ("predictions", "predicted_class", "processing_time")
            }  # the report's fields
            assert repeated == {
                "predictions": face["probs"],
                "predicted_class": face["label"],
                "processing_time": face["timings"]["total"] / 1000,
            }
            same(face, wanted)


def test_the_times_are_steps_that_add_up(client: httpx.Client) -> None:
    face = client.post("/predict", content=photo(), headers={"content-type": "image/png"}).json()["faces"][0]
    assert list(face["timings"]) == ["decode", "detect", "preprocess", "inference", "total"]
    assert face["timings"]["total"] == pytest.approx(sum(face["timings"][step] for step in list(face["timings"])[:-1]))
    assert face["processing_time"] == pytest.approx(face["timings"]["total"] / 1000)


def test_a_photo_without_a_face_gives_an_empty_list_and_nulls(client: httpx.Client) -> None:
    answer = client.post("/predict", files={"image": photo()}, data={"model": "blind"}).json()
    assert answer["faces"] == []
    assert (answer["model"], answer["width"], answer["height"]) == ("blind", 120, 100)
    assert answer["processing_time"] == answer["timings"]["total"] / 1000 > 0
    nulls = ("predictions", "predicted_class", "confidence", "label", "label_id", "probs", "bbox", "score", "detector")
    assert [answer[name] for name in nulls] == [None] * len(nulls)
    compared = client.post("/compare", files={"image": photo()}, data={"native48": "blind"}).json()
    assert compared == {"width": 120, "height": 100, "faces": []}


@pytest.mark.parametrize("where", ["form", "query", "json"])
def test_options_come_in_the_form_the_query_or_the_json(client: httpx.Client, where: str) -> None:
    options = {"model": "upscale224", "whole": "true", "labels": NAMES}
    if where == "form":
        answer = client.post("/predict", files={"image": photo()}, data=options)
    elif where == "query":
        answer = client.post("/predict", files={"image": photo()}, params=options)
    else:
        answer = client.post(
            "/predict",
            json={"image": base64_of(photo()), "model": "upscale224", "whole": True, "labels": NAMES.split(",")},
        )
    [face] = answer.json()["faces"]
    assert (face["model"], face["bbox"], face["detector"]) == ("upscale224", [0, 0, 120, 100], None)
    assert list(face["probs"]) == NAMES.split(",")


def test_the_six_names_of_the_report_are_answered_as_they_were_asked_for(client: httpx.Client) -> None:
    [largest, *_] = MODELS["native48"].predict(photo())
    kept = {name: p for name, p in largest.probs.items() if name != "disgust"}
    expected = {name: p / sum(kept.values()) for name, p in kept.items()}
    answer = client.post("/predict", files={"image": photo()}, data={"labels": NAMES}).json()
    assert list(answer["predictions"]) == NAMES.split(",")
    assert_same_probs(answer["predictions"]["fearful"], expected["fear"])
    assert_same_probs(answer["predictions"]["surprised"], expected["surprise"])
    assert sum(answer["predictions"].values()) == pytest.approx(1)
    assert answer["predicted_class"] == answer["label"] == max(answer["predictions"], key=answer["predictions"].get)
    assert answer["confidence"] == answer["predictions"][answer["predicted_class"]]
    assert answer["label_id"] == NAMES.split(",").index(answer["label"])
    ours = client.post("/predict", files={"image": photo()}, data={"labels": "six_class"}).json()
    assert_same_probs(ours["predictions"], SIX_CLASS.project(largest.probs))
    assert list(ours["predictions"]) == list(SIX_CLASS.labels)
    for body in (answer, ours):
        assert body["left_out"] == {"disgust": pytest.approx(largest.probs["disgust"], abs=PROBS)}


def test_compare_answers_as_compare_does(client: httpx.Client) -> None:
    expected = [
        face.to_dict() for face in compare(photo(), native48=MODELS["native48"], upscale224=MODELS["upscale224"])
    ]
    answer = client.post("/compare", files={"image": photo()}).json()
    assert (answer["width"], answer["height"]) == (120, 100)
    for face, wanted in zip(answer["faces"], expected, strict=True):
        assert set(face) == set(wanted)
        same(face["native48"], wanted["native48"])
        same(face["upscale224"], wanted["upscale224"])
        assert (face["bbox"], face["agree"]) == (wanted["bbox"], wanted["agree"])
        assert_same_probs(face["distance"], wanted["distance"])
        assert list(face["ratios"]) == ["preprocess", "inference"]
    swapped = client.post(
        "/compare", json={"image": base64_of(photo()), "native48": "upscale224", "upscale224": "native48"}
    ).json()["faces"][0]
    same(swapped["native48"], expected[0]["upscale224"])


def test_explain_gives_the_map_over_the_face_and_its_scores(client: httpx.Client) -> None:
    options = {"method": "lime", "target": "fearful", "versus": "happy", "samples": 100}
    answer = client.post("/explain", json={"image": base64_of(photo()), **options}).json()
    expected = explain(photo(), "lime", MODELS["native48"], "fear", versus="happy", samples=100, seed=0).to_dict()
    assert (answer["method"], answer["target"], answer["versus"], answer["model"]) == (
        "lime",
        "fear",
        "happy",
        "native48",
    )
    assert_same_probs(answer["confidence"], expected["confidence"])
    assert_same_probs(answer["scores"]["deletion"], expected["scores"]["deletion"])
    assert answer["parameters"] == expected["parameters"]
    assert answer["bbox"] == [50, 20, 110, 80], "the largest face"
    picture = Image.open(io.BytesIO(base64.b64decode(answer["overlay"])))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (224, 224), "RGB")
    bare = client.post(
        "/explain", files={"image": photo()}, data={"method": "lime", "samples": "100", "metrics": "none"}
    ).json()
    assert bare["scores"] == {} or set(bare["scores"]) < set(answer["scores"])


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"method": "guess"}, 422, "method='guess'; choose from gradcam"),
        ({"method": "gradcam"}, 422, "needs the torch backend"),
        ({"method": "lime", "samples": "9"}, 422, "samples='9': a whole number from 10 to 5000"),
        ({"method": "shap", "samples": "50"}, 422, "LIME draws samples, SHAP does not"),
        ({"method": "lime", "target": "bored"}, 422, "unknown expression 'bored'"),
        ({"method": "lime", "target": "sad", "versus": "sad"}, 422, "both 'sad'"),
        ({"method": "lime", "model": "blind"}, 422, "no face was found in the 120x100 picture"),
        ({"method": "lime", "model": "nobody"}, 404, "no model 'nobody'; there are native48"),
        ({"method": "lime", "seed": "-1"}, 422, "seed='-1'"),
        ({"method": "lime", "metrics": "some"}, 422, "metrics='some'"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_the_reason(
    client: httpx.Client, options: dict, status: int, words: str
) -> None:
    refused(client.post("/explain", files={"image": photo()}, data=options), status, words)


def refused(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    assert answer.headers["x-request-id"]


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
        ({"json": {}}, 422, "there is no picture"),
        ({"json": {"image": ""}}, 422, "there is no picture"),
        ({"json": {"image": 3}}, 422, "image is a JSON int"),
        ({"json": {"image": "%%"}}, 400, "image is no base64 text"),
        ({"json": {"image": "bm8gcGljdHVyZQ=="}}, 400, "is a text file"),
        ({"json": {"image": base64_of(photo()), "picture": 1}}, 422, "no field 'picture'; there are image"),
        ({"json": {"image": base64_of(photo()), "whole": "perhaps"}}, 422, "whole='perhaps': true or false"),
        ({"json": {"image": base64_of(photo()), "whole": 1}}, 422, "whole=1: true or false"),
        ({"content": photo()[:-300], "headers": {"content-type": "image/png"}}, 400, "damaged or cut short"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, 422, "there is no picture"),
        ({"content": photo()}, 415, "the content type '' is not read here"),
        ({"content": photo(), "headers": {"content-type": "text/plain"}}, 415, "the content type 'text/plain'"),
        ({"files": {"picture": photo()}}, 422, "no field 'picture'"),
        ({"files": {"image": photo()}, "data": {"whole": "2"}}, 422, "whole='2'"),
        ({"files": {"image": photo()}, "params": {"strict": "1"}}, 422, "no field 'strict'"),
        ({"files": {"image": photo()}, "params": [("whole", "1"), ("whole", "1")]}, 422, "'whole' came twice"),
        (
            {"params": {"image": "x"}, "content": photo(), "headers": {"content-type": "image/png"}},
            422,
            "the picture belongs in the body",
        ),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "names no boundary"),
        ({"content": b"nonsense", "headers": FORM}, 400, "multipart body cannot be read"),
        ({"content": PART % (b"image", b"x"), "headers": FORM}, 400, "closing boundary is missing"),
        ({"content": PART % (b"image", b"x") * 2 + b"--b--\r\n", "headers": FORM}, 400, "'image' came twice"),
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
def test_a_wrong_body_is_refused_with_its_status_and_the_reason(
    client: httpx.Client, path: str, request_: dict, status: int, words: str
) -> None:
    refused(client.post(path, **request_), status, words)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("six", "unknown expression 'six'"),
        ("sad,sadness", "names an expression twice"),
        ("", "labels=''"),
        ([], "labels=[]"),
        ([3], "labels=[3]"),
    ],
)
def test_labels_that_are_none_are_refused(client: httpx.Client, labels: object, words: str) -> None:
    refused(client.post("/predict", json={"image": base64_of(photo()), "labels": labels}), 422, words)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "nothing at this address"),
        ("GET", "/predict", 405, "takes another method"),
        ("DELETE", "/health", 405, "takes another method"),
        ("POST", "/predict?model=nobody", 404, "no model 'nobody'; there are native48, upscale224, blind"),
        ("POST", "/compare?upscale224=nobody", 404, "no model 'nobody'"),
        ("POST", "/models/nobody", 404, "no model 'nobody'"),
    ],
)
def test_the_frameworks_refusals_have_the_same_shape(
    client: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    body = {"content": photo(), "headers": {"content-type": "image/png"}} if method == "POST" else {}
    answer = client.request(method, path, **body)
    refused(answer, status, words)
    assert ("allow" in answer.headers) == (status == 405)


def test_models_are_listed_with_what_they_are(client: httpx.Client) -> None:
    answer = client.get("/models").json()
    assert (answer["default"], [row["name"] for row in answer["models"]]) == ("native48", list(MODELS))
    assert answer["methods"][0] == "gradcam"
    row = answer["models"][1]
    assert (row["backend"], row["parameters"], row["labels"]) == ("linear", 7, list(FER2013.labels))
    assert row["preprocess"] == UPSCALE224.to_dict()
    assert row["accuracy"] is None


def test_the_largest_face_answers_in_the_hubs_shape_and_none_gives_an_empty_list(client: httpx.Client) -> None:
    expected = MODELS["native48"].predict(photo())[0].probs
    answer = client.post("/models/native48", content=photo()).json()
    assert_same_probs({row["label"]: row["score"] for row in answer}, expected)
    assert client.post("/models/blind", content=photo()).json() == []
    refused(client.post("/", content=b"text"), 400, "is a text file")


def test_the_answer_of_explain_has_null_where_a_score_is_no_number() -> None:
    from emotion_hub.serve.responses import plain_numbers

    values = {
        "a": float("nan"),
        "b": [1.0, float("inf")],
        "c": {"d": (2, None, "x")},
        "e": LinearBackend().weights[0, 0],
    }
    plain = plain_numbers(values)
    assert plain | {"e": 0} == {"a": None, "b": [1.0, None], "c": {"d": [2, None, "x"]}, "e": 0}
    assert json.dumps(plain, allow_nan=False)


def test_no_answer_names_a_model_otherwise_than_clients_do() -> None:
    mine = predictor(name="/home/me/secret")
    with running(create_app({"mine": mine, "blind": predictor(name="/home/me/secret", detector=Boxes(()))})) as client:
        answers = [
            client.post("/predict", files={"image": photo()}),
            client.post("/predict", files={"image": photo()}, data={"model": "blind"}),
            client.post("/compare", files={"image": photo()}, data={"native48": "mine", "upscale224": "mine"}),
            client.post(
                "/explain", files={"image": photo()}, data={"method": "lime", "samples": "100", "metrics": "none"}
            ),
        ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert "secret" not in "".join(answer.text for answer in answers)
    seen, blind, compared, explained = (answer.json() for answer in answers)
    assert (seen["model"], seen["faces"][0]["model"], blind["model"], explained["model"]) == (
        "mine",
        "mine",
        "blind",
        "mine",
    )
    assert {face[side]["model"] for face in compared["faces"] for side in ("native48", "upscale224")} == {"mine"}
    assert mine.name == "/home/me/secret", "what was handed in is not changed"


def test_the_body_goes_before_the_query() -> None:
    body = json.dumps({"image": base64_of(b"data"), "whole": False}).encode()
    asked = read(PredictRequest, body, "application/json", [("whole", "true"), ("model", "m")])
    assert (asked.image, asked.whole, asked.model) == (b"data", False, "m")
    assert "data" not in repr(asked), "a picture does not belong into a message"


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
def test_a_wrong_setting_is_refused_by_name_and_value(wrong: dict) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ConfigError) as caught:
        ServeConfig(**wrong)
    assert ("API key" if name == "api_key" else name) in str(caught.value)
    assert name != "api_key" or value not in str(caught.value), "a key is not shown"


def test_settings_do_not_show_the_key() -> None:
    assert "secret-key" not in repr(ServeConfig(api_key="secret-key"))


def test_a_default_must_be_served_and_a_single_model_is_the_default(tmp_path) -> None:
    with pytest.raises(InputError, match="default='x' is none of the models tiny"):
        create_app({"tiny": predictor()}, default="x")
    with pytest.raises(InputError, match="default='y' is none of the models native48"):
        create_app(config=ServeConfig(models=("native48",), default="y"))
    assert create_app({"tiny": predictor()}).state.service.models.default == "tiny"
    for folder in ("a/me", "b/me"):
        (tmp_path / folder).mkdir(parents=True)
    assert create_app(config=ServeConfig(models=(str(tmp_path / "a" / "me"),))).state.service.models.names == ("me",), (
        "no path of this machine is shown"
    )
    with pytest.raises(ConfigError, match="two models are called 'me'"):
        create_app(config=ServeConfig(models=(str(tmp_path / "a" / "me"), str(tmp_path / "b" / "me"))))
