"""The Predict tab without a browser: answer, JSON, API, requests."""

from __future__ import annotations

import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from emotion_hub.examples import EXAMPLES
from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui.photo import WAITING
from emotion_hub.ui.predict import _predict, predict_html, predict_json
from tests.fakes.photos import save
from tests.tolerances import assert_same_probs


def test_page_json_and_api_give_the_probabilities_of_predict(face_image: Image.Image, tmp_path: Path) -> None:
    path = save(tmp_path, face_image)
    expected = embedded_predictor("native48").predict(path, whole=True)[0]
    html, faces = predict_html(path, "native48", True)
    assert_same_probs(faces[0]["probs"], expected.probs)
    shown = {label: float(p) for label, p in re.findall(r'data-label="(\w+)" data-prob="([\d.]+)"', html)}
    assert_same_probs(shown, expected.probs)
    assert_same_probs(predict_json(path, "native48", True)[0]["probs"], expected.probs)


def test_without_a_photo_the_page_asks_for_one_and_the_api_refuses() -> None:
    assert predict_html(None, "native48", False) == (WAITING, [])
    assert "Add a photo" in WAITING
    with pytest.raises(gr.Error, match="the photo is missing"):
        predict_json(None, "native48", False)


def test_the_page_and_its_api_have_the_prediction_set_of_the_library(face_image: Image.Image, tmp_path: Path) -> None:
    path = save(tmp_path, face_image)
    expected = embedded_predictor("native48").predict(path, whole=True)[0].prediction_set
    html, [face] = predict_html(path, "native48", True)
    [same] = predict_json(path, "native48", True)
    assert face["prediction_set"] == same["prediction_set"] == list(expected)
    assert "in 9 of 10 faces" in html


def test_the_answer_has_what_the_models_report_measured() -> None:
    html, [face] = predict_html(str(EXAMPLES["astronaut"].path), "native48", False)
    said = re.search(r"the label was right for (\d+)% of the ([\d,]+) with about (\d+)%\.", html)
    assert said is not None
    assert said[3] == f"{100 * face['confidence']:.0f}"
    assert int(said[2].replace(",", "")) >= 30


def test_the_bars_have_the_colour_of_the_models_side() -> None:
    photo = str(EXAMPLES["astronaut"].path)
    for model in ("native48", "upscale224"):
        assert f"eh-fill eh-{model}" in predict_html(photo, model, False)[0]


def test_an_answer_carries_the_number_of_its_request_and_the_number_of_faces() -> None:
    photo = str(EXAMPLES["group"].path)
    answer, choice = _predict(7, photo, "native48", False)
    html, faces = predict_html(photo, "native48", False)
    assert answer["photo"] == 7
    assert re.findall(r'data-label="\w+"', answer["html"]) == re.findall(r'data-label="\w+"', html)
    assert [set(face) for face in answer["json"]] == [set(face) for face in faces]
    assert [value for value in choice["choices"]] == [str(number) for number in range(1, 9)]


def test_nothing_is_computed_before_a_request() -> None:
    assert _predict(-1, str(EXAMPLES["group"].path), "native48", False) == (gr.skip(), gr.skip())


def test_an_old_request_leaves_answer_and_faces_as_they_are() -> None:
    request = gr.Request(session_hash="predicts")
    assert _predict(5, None, "native48", False, request)[0]["photo"] == 5
    assert _predict(4, None, "native48", False, request) == (gr.skip(), gr.skip())
