"""The Compare tab without a browser: answer on arrival, JSON, API, requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.detectors import Detection, Framing
from emotion_hub.examples import EXAMPLES
from emotion_hub.ui import compare
from emotion_hub.ui.compare import _compare, _filter_of, _first_answer, _trained_filter, compare_html, compare_json
from emotion_hub.ui.html.comparison import MAX_FACES
from emotion_hub.ui.photo import FIRST, WAITING
from tests.fakes.html_page import Page
from tests.fakes.photos import save
from tests.tolerances import assert_same_probs


@pytest.fixture(autouse=True)
def one_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run per network, except where a test counts them."""
    monkeypatch.setattr(compare, "REPEATS", 1)


def test_the_compare_page_shows_inputs_and_costs_of_both_networks(face_image: Image.Image, tmp_path: Path) -> None:
    html, faces = compare_html(save(tmp_path, face_image), "bicubic", True)
    assert set(faces[0]) >= {"native48", "upscale224", "agree", "distance", "ratios"}
    for side in ("native48", "upscale224"):
        assert faces[0][side]["parameters"] == checkpoint_summary(side)["parameters"]
    assert "224×224 pixels, gray in three channels, enlarged from 48 (bicubic)" in html
    assert "48×48 pixels, gray<" in html
    assert 'data-ratio="preprocessing"' in html


def test_without_a_photo_the_page_asks_for_one_and_the_api_refuses() -> None:
    assert compare_html(None, "lanczos", False) == (WAITING, [])
    with pytest.raises(gr.Error, match="the photo is missing"):
        compare_json(None, "lanczos", False)


def test_the_answer_has_the_measured_accuracies_of_both_models() -> None:
    html, _ = compare_html(str(FIRST.path), "lanczos", False)
    for side in ("native48", "upscale224"):
        assert f"{checkpoint_summary(side)['accuracy']:.1%} of them right from" in html


def without_times(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sides = ("native48", "upscale224")
    return [
        {
            "agree": face["agree"],
            "bbox": face["bbox"],
            **{
                side: {k: v for k, v in face[side].items() if k not in ("timings", "probs", "confidence")}
                for side in sides
            },
        }
        for face in faces
    ]


def test_the_answer_on_arrival_is_computed_once_and_is_that_of_the_first_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[Any, ...]] = []
    real = compare.compare_html
    monkeypatch.setattr(compare, "compare_html", lambda *args: (calls.append(args), real(*args))[1])
    _first_answer.cache_clear()
    answer = _first_answer()
    assert _first_answer() is answer
    assert calls == [(str(FIRST.path), _trained_filter(), False, "native48", "upscale224")]
    assert answer["photo"] == 0
    html, faces = real(*calls[0])
    assert without_times(answer["json"]) == without_times(faces)
    for side in ("native48", "upscale224"):
        assert_same_probs(answer["json"][0][side]["probs"], faces[0][side]["probs"])
    first, again = (Page(text) for text in (answer["html"], html))
    assert [tag for tag, _ in first.tags] == [tag for tag, _ in again.tags]
    assert [image["src"] for image in first.all("img")] == [image["src"] for image in again.all("img")]


def test_request_0_is_answered_by_the_page_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "compare_html", lambda *_: pytest.fail("it was computed again"))
    for number in (0, -1):
        assert _compare(number, str(FIRST.path), "lanczos", False, None, None) == (gr.skip(), gr.skip())


def test_an_answer_carries_the_number_of_its_request_and_the_number_of_faces() -> None:
    photo = str(EXAMPLES["group"].path)
    answer, choice = _compare(7, photo, "lanczos", False, None, None)
    html, faces = compare_html(photo, "lanczos", False)
    assert answer["photo"] == 7
    assert re.findall(r'data-label="\w+"', answer["html"]) == re.findall(r'data-label="\w+"', html)
    assert [set(face) for face in answer["json"]] == [set(face) for face in faces]
    assert choice["choices"] == [str(number) for number in range(1, 9)]
    assert choice["visible"] is True


def test_an_old_request_leaves_answer_and_faces_as_they_are() -> None:
    request = gr.Request(session_hash="compares")
    assert _compare(5, None, "lanczos", False, None, None, request)[0]["photo"] == 5
    assert _compare(4, None, "lanczos", False, None, None, request) == (gr.skip(), gr.skip())


class Many:
    """A detector of more faces than are compared."""

    name, framing = "many", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        return [Detection((4.0 * i, 4.0, 4.0 * i + 20, 24.0), 1.0) for i in range(MAX_FACES + 2)]


def test_faces_left_out_of_a_comparison_are_counted(
    face_image: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotion_hub.faces.default_detector", Many)
    path = save(tmp_path, face_image)
    html, faces = compare_html(path, "lanczos", False)
    assert len(faces) == MAX_FACES
    assert "2 smaller faces are left out" in html
    assert len(compare_json(path, "lanczos", False)) == MAX_FACES + 2


def test_only_a_single_face_is_run_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats: list[int] = []
    real = compare.compare_detected

    def counted(*args: Any, **options: Any) -> Any:
        repeats.append(options["repeats"])
        return real(*args, **options | {"repeats": 1})

    monkeypatch.setattr(compare, "compare_detected", counted)
    monkeypatch.setattr(compare, "REPEATS", 5)
    compare_html(str(FIRST.path), "lanczos", False)
    compare_html(str(EXAMPLES["group"].path), "lanczos", False)
    assert repeats == [5, 1]


def test_the_filter_follows_the_network_on_224_pixels() -> None:
    update = _filter_of("upscale224")
    assert update["value"] == _trained_filter() == checkpoint_summary("upscale224")["preprocess"]["upsample"]
    assert f"trained on {update['value']}" in update["info"]
