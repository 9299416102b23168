"""Section on the enlargement alone: sentence, table, and nothing unmeasured."""

from __future__ import annotations

from typing import Any

import pytest

from emotion_hub.checkpoints import PAIR_FILE, pair_figures
from emotion_hub.ui.compare import compare_html
from emotion_hub.ui.html.pair import pair_section
from emotion_hub.ui.photo import FIRST
from tests.fakes.html_page import Page


def study(difference: float, p_value: float) -> dict[str, Any]:
    side = {"parameters": 3_214_151, "bytes": 6_486_814, "macro_f1": 0.585, "interval": [0.636, 0.667]}
    return {
        "sides": {
            "small": {**side, "input": [48, 3], "cpu_ms": 2.5, "memory_mb": 112.4, "accuracy": 0.652},
            "large": {**side, "input": [224, 3], "cpu_ms": 10.0, "memory_mb": 131.0, "accuracy": 0.663},
        },
        "paired": {"n": 3589, "only_first": 247, "only_second": 286, "difference": difference, "p_value": p_value},
        "conclusion": "",
    }


@pytest.mark.parametrize(
    ("difference", "p_value", "words"),
    [
        (0.011, 0.1, "224 pixels bring no difference that the test can show (+1.1 points) and take 4.0 times as long."),
        (0.021, 0.01, "224 pixels bring 2.1 points more and take 4.0 times as long."),
        (-0.021, 0.01, "224 pixels bring 2.1 points less and take 4.0 times as long."),
    ],
)
def test_the_sentence_follows_from_the_paired_test(difference: float, p_value: float, words: str) -> None:
    html = pair_section(study(difference, p_value))
    assert words in html
    assert "65.2% (63.6 to 66.7)" in html
    assert "right for 247, only the larger for 286" in html
    Page(html)


def test_nothing_is_claimed_without_a_measurement() -> None:
    assert pair_section({}) == ""


def test_the_compare_tab_has_the_shipped_figures() -> None:
    assert PAIR_FILE.is_file()
    html, _ = compare_html(str(FIRST.path), "lanczos", False)
    assert pair_section(pair_figures()) in html
    assert html.count('data-fold="pair"') == 1
