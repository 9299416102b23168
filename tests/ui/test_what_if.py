"""Resolution ladder and stress test of the Compare tab, without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from emotion_hub.examples import EXAMPLES
from emotion_hub.faces import locate
from emotion_hub.perturb import PERTURBATIONS, SIDES, StressSettings, resolution_ladder
from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui import what_if
from emotion_hub.ui.photo import FIRST, NO_FACE, WAITING
from emotion_hub.ui.what_if import UNTOUCHED, _first_ladder, _ladder, _stress, ladder_html, stress_html
from tests.fakes.html_page import Page

GROUP, CAT = (str(EXAMPLES[name].path) for name in ("group", "cat"))
MODELS = ("native48", "upscale224")
BLURRED = StressSettings({"blur": 2.0})
NEUTRAL = [kind.neutral for kind in PERTURBATIONS.values()]


def ladder(photo: str | None = GROUP, face: str = "1", *, whole: bool = False) -> str:
    return ladder_html(photo, None, whole, *MODELS, face)


def stressed(photo: str | None = GROUP, face: str = "1", settings: StressSettings = BLURRED, upsample: str = "") -> str:
    return stress_html(photo, upsample or None, False, *MODELS, face, settings)


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a model is chosen or a photo is opened."""
    for name in ("_predictors", "detected_photo"):
        monkeypatch.setattr(what_if, name, lambda *_: pytest.fail("it was computed"))


def test_without_a_photo_both_parts_ask_for_one(no_networks: None) -> None:
    assert ladder(None) == stressed(None) == WAITING


def test_a_photo_without_a_face_is_named() -> None:
    for html in (ladder(CAT), stressed(CAT)):
        assert NO_FACE in html
    assert "eh-strip-table" in ladder(CAT, whole=True)


def test_an_unreadable_photo_gets_an_error(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("no picture")
    for html in (ladder(str(path)), stressed(str(path))):
        assert "is a text file" in html
        assert 'role="alert"' in html


def labels_of(html: str, name: str) -> list[str]:
    row = re.search(rf'<tr data-model="{name}">(.*?)</tr>', html)
    assert row is not None
    return re.findall(r'class="eh-strip-label">(\w+)<', row[1])


def test_the_ladder_is_that_of_the_chosen_face() -> None:
    photo = locate(GROUP)
    small, large = (embedded_predictor(name) for name in MODELS)
    shown = {}
    for number in (1, 2):
        expected = resolution_ladder(photo.faces[number - 1], native48=small, upscale224=large)
        shown[number] = ladder(face=str(number))
        for name in MODELS:
            labels = [face.label for face in reversed(getattr(expected, name).predictions)]
            assert labels_of(shown[number], name) == labels[-len(labels_of(shown[number], name)) :]
        assert [image["alt"] for image in Page(shown[number]).all("img")][
            -1
        ] == f"The face with {SIDES[0]} × {SIDES[0]} pixels"
    pictures = [[image["src"] for image in Page(shown[number]).all("img")] for number in (1, 2)]
    assert not set(pictures[0]) & set(pictures[1]), "they are two faces"


def test_the_ladder_uses_the_chosen_filter() -> None:
    sharp, own = (ladder_html(GROUP, upsample, False, *MODELS, "1") for upsample in ("nearest", None))
    assert sharp != own


def test_the_stress_test_shows_the_chosen_face_as_it_is_changed() -> None:
    first, second, darker = stressed(), stressed(face="2"), stressed(settings=StressSettings({"brightness": 0.3}))
    pictures = [Page(html).all("img")[0]["src"] for html in (first, second, darker)]
    assert len(set(pictures)) == 3
    assert "Applied: blur 2 pixels." in first
    assert "Applied: brightness × 0.3." in darker


def test_neutral_settings_ask_no_network(no_networks: None) -> None:
    assert stressed(settings=StressSettings()) == UNTOUCHED
    neutral = StressSettings(dict(zip(PERTURBATIONS, NEUTRAL, strict=True)), "mouth")
    assert stressed(settings=neutral) == UNTOUCHED


def stress_value(*strengths: float, number: int = 1, position: str = "eyes") -> Any:
    request = gr.Request(session_hash="stresses")
    return _stress(number, request, GROUP, "lanczos", False, *MODELS, "1", position, *strengths)


def test_the_sliders_are_in_the_registrys_order() -> None:
    strengths = [kind.maximum for kind in PERTURBATIONS.values()]
    html = stress_value(*strengths)["html"]
    applied = re.search(r"Applied: ([^<]*)", html)
    assert applied is not None
    positions = [applied[1].index(kind.title.lower()) for kind in PERTURBATIONS.values()]
    assert positions == sorted(positions)
    assert "covered part at the eyes 75% of the side" in applied[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strengths": [float("nan"), *NEUTRAL[1:]]}, "rotation=nan: give a number from -45 to 45"),
        ({"strengths": [*NEUTRAL[:-1], 1e9]}, "noise="),
        ({"strengths": NEUTRAL, "position": "ears"}, "choose from eyes, mouth, centre"),
    ],
)
def test_a_strength_that_no_slider_has_gets_a_message(change: dict[str, Any], words: str, no_networks: None) -> None:
    value = stress_value(*change["strengths"], position=change.get("position", "eyes"))
    assert words in value["html"]
    assert 'role="alert"' in value["html"]


def test_the_sliders_answer_the_first_photo_too() -> None:
    request = gr.Request(session_hash="on arrival")
    value = _stress(0, request, str(FIRST.path), "lanczos", False, *MODELS, "1", "eyes", *NEUTRAL)
    assert (value["photo"], value["html"]) == (0, UNTOUCHED)


def test_the_ladder_on_arrival_is_computed_once_and_is_that_of_the_first_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[Any, ...]] = []
    real = what_if.ladder_html
    monkeypatch.setattr(what_if, "ladder_html", lambda *args: (calls.append(args), real(*args))[1])
    _first_ladder.cache_clear()
    answer = _first_ladder()
    assert _first_ladder() is answer
    assert calls == [(str(FIRST.path), None, False, *MODELS, "1")]
    assert (answer["photo"], answer["html"]) == (0, real(*calls[0]))
    assert "eh-strip-table" in answer["html"]


def test_request_0_is_answered_by_the_page_itself(no_networks: None) -> None:
    request = gr.Request(session_hash="ladders")
    for number in (0, -1):
        assert _ladder(number, request, GROUP, "lanczos", False, *MODELS, "1") == gr.skip()


def test_an_old_request_leaves_the_answer_as_it_is() -> None:
    request = gr.Request(session_hash="old ladders")
    values = (None, "lanczos", False, *MODELS, "1")
    assert _ladder(5, request, *values)["photo"] == 5
    assert _ladder(4, request, *values) == gr.skip()
    assert stress_value(*NEUTRAL, number=9)["photo"] == 9
    assert stress_value(*NEUTRAL, number=8) == gr.skip()
