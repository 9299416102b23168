"""Two visitors at once in Chromium: neither sees the other's faces."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.demo_browser import chromium_marks
from tests.fakes.demo_page import Visitor

pytestmark = chromium_marks
pytest.importorskip("playwright.sync_api")

#: Pictures of faces; the colour scale of the explanations has an empty alternative text.
FACES = '#photo img, #answers img:not([alt=""])'


def test_two_visitors_at_once_never_see_each_others_faces(open_visitor: Callable[..., Visitor]) -> None:
    mine, other = open_visitor(), open_visitor()
    common = mine.pictures(FACES) | other.pictures(FACES)  # both arrive with the same example
    for visitor in (mine, other):
        visitor.record(FACES)
    for photo, others_photo in (("astronaut", "grace_hopper"), ("einstein", "profile")):
        with mine.new_answer(), other.new_answer(), mine.new_answer("ladder"), other.new_answer("ladder"):
            mine.example(photo)
            other.example(others_photo)
    for unit in ("predict", "explain"):
        for visitor in (mine, other):
            visitor.tab(unit)
        for visitor in (mine, other):
            visitor.wait_for_answer(unit)
    seen = [visitor.recorded() - common for visitor in (mine, other)]
    # per photo two inputs and eight steps of the ladder; of the last one also the photo with boxes and four maps
    assert all(len(pictures) > 20 for pictures in seen)
    assert not seen[0] & seen[1]
