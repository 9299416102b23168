"""Notices of face warnings in the answers of the Predict and Compare tabs."""

from __future__ import annotations

import re

import pytest

from emotion_hub.examples import example_path
from emotion_hub.quality import FaceWarning
from emotion_hub.ui.compare import compare_html
from emotion_hub.ui.html.notices import is_doubtful, not_a_face_notice, quality_notice
from emotion_hub.ui.predict import predict_html

WARNINGS = (
    FaceWarning.of("not_a_face", 0.0, 0.15),
    FaceWarning.of("dark", 20, 90.0),
    FaceWarning.of("turned", 50, 35.0),
)


def _codes(html: str) -> list[str]:
    return re.findall(r'data-code="(\w+)"', html)


def test_each_warning_is_in_one_of_the_two_notices() -> None:
    assert _codes(not_a_face_notice(WARNINGS)) == ["not_a_face"]
    assert _codes(quality_notice(WARNINGS)) == ["dark", "turned"]
    assert not_a_face_notice(WARNINGS[1:]) == quality_notice(()) == ""
    assert [is_doubtful(warnings) for warnings in (WARNINGS, WARNINGS[1:], ())] == [True, False, False]


def test_messages_are_escaped() -> None:
    notice = quality_notice([FaceWarning("dark", 1.0, "", 1.0, "<b>&")])
    assert "&lt;b&gt;&amp;" in notice


@pytest.mark.parametrize("tab", ["predict", "compare"])
def test_a_tab_shows_the_notice_of_a_turned_face(tab: str) -> None:
    photo = example_path("profile").read_bytes()
    html, faces = predict_html(photo, "native48", False) if tab == "predict" else compare_html(photo, "lanczos", False)
    assert _codes(html) == ["turned"]
    face = faces[0] if tab == "predict" else faces[0]["native48"]
    assert [warning["code"] for warning in face["warnings"]] == ["turned"]


@pytest.mark.parametrize("tab", ["predict", "compare"])
def test_a_tab_says_that_it_is_no_face_before_the_prediction(tab: str) -> None:
    photo = example_path("cat").read_bytes()
    html, faces = predict_html(photo, "native48", True) if tab == "predict" else compare_html(photo, "lanczos", True)
    assert _codes(html)[0] == "not_a_face"
    assert html.index('data-code="not_a_face"') < html.index('<h3 class="eh-verdict">This is probably not a face')
    assert html.index("This is probably not a face") < html.index("eh-bars")
    if tab == "predict":
        assert faces[0]["label"]


def test_a_good_face_has_no_notice() -> None:
    html, _ = predict_html(example_path("astronaut").read_bytes(), "native48", False)
    assert "eh-quality" not in html
