"""Building blocks of the answers: notes, folds, lists, pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from emotion_hub.ui.html.basics import data_url, definitions, face_url, fold, message
from tests.fakes.html_page import Page, picture, text_of


def test_texts_on_the_page_are_escaped() -> None:
    html = message("<script>alert(1)</script>", kind="error", title="<b>")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<b>" not in definitions({"<b>": "<b>"})
    assert '"x"' not in fold("summary", "body", name='"x"')


def test_only_an_error_interrupts_a_screen_reader() -> None:
    assert 'role="alert"' in message("refused", kind="error")
    assert "role=" not in message("waiting")


def test_a_fold_is_closed_unless_told_otherwise() -> None:
    closed, opened = (Page(fold("Costs", "<p>9 ms</p>", is_open=is_open, name="costs")) for is_open in (False, True))
    assert "open" not in closed.all("details")[0]
    assert "open" in opened.all("details")[0]
    assert closed.all("details")[0]["data-fold"] == "costs"
    assert text_of(fold("Costs", "<p>9 ms</p>")) == "Costs 9 ms"


def test_a_small_face_is_embedded_without_loss_and_a_large_one_in_fewer_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8)
    small, large = Image.fromarray(noise[:48, :48]), Image.fromarray(noise)
    assert np.array_equal(np.asarray(picture(face_url(small))), noise[:48, :48])
    assert picture(face_url(large)).size == (224, 224)
    assert len(face_url(large)) < len(data_url(large))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_faces_of_every_mode_are_embedded(mode: str) -> None:
    for side in (48, 224):
        assert picture(face_url(Image.new(mode, (side, side)))).size == (side, side)
