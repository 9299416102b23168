"""The confusion matrix: shares, sentence, and contrast of its cells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emotion_hub.ui.charts
from emotion_hub.ui.charts import network_records
from emotion_hub.ui.charts.confusion import MAX_SHADE, confusion_section, confusions
from emotion_hub.ui.theme import COLOURS
from tests.fakes.contrast import contrast
from tests.fakes.html_page import text_of

COLOURS_FILE = Path(emotion_hub.ui.charts.__file__).parents[1] / "styles" / "colours.css"


def test_the_matrix_has_the_shares_of_each_row() -> None:
    report = network_records()[0].report
    [body] = re.findall(r"<tbody>(.*?)</tbody>", confusion_section(report), re.DOTALL)
    rows = [re.findall(r"<td[^>]*>(\d+)%</td>", row) for row in body.split("</tr>") if row]
    assert [[int(cell) for cell in row] for row in rows] == [
        [round(100 * count / sum(counts)) for count in counts] for counts in report["confusion_matrix"]
    ]


def test_the_sentence_names_the_largest_number_and_the_highest_rate_of_confusions() -> None:
    report = {"labels": ["a", "b", "<c>"], "confusion_matrix": [[90, 10, 0], [3, 3, 0], [0, 0, 4]]}
    assert text_of(confusions(report)) == (
        "The most frequent confusion: of 100 faces labelled a , 10 (10%) were called b . The highest rate: of 6 faces"
        " labelled b , 3 (50%) were called a ."
    )
    report["confusion_matrix"] = [[90, 0, 0], [0, 3, 0], [0, 2, 2]]
    assert confusions(report).count("of 4 faces labelled <em>&lt;c&gt;</em>") == 1
    report["confusion_matrix"] = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert confusions(report) == "No face was called by a wrong label."


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_on_the_darkest_cell_of_the_matrix_keeps_a_contrast_of_4_5(dark: bool) -> None:
    styles = COLOURS_FILE.read_text()
    block = styles[styles.index(".dark {") :] if dark else styles[: styles.index(".dark {")]
    text, back = COLOURS["body_text_color"][dark], COLOURS["block_background_fill"][dark]
    for side in ("48", "224"):
        match = re.search(rf"--eh-{side}: (#[0-9a-f]{{6}});", block)
        assert match is not None
        mixed = [
            round(MAX_SHADE / 100 * int(match[1][i : i + 2], 16) + (1 - MAX_SHADE / 100) * int(back[i : i + 2], 16))
            for i in (1, 3, 5)
        ]
        assert contrast(text, "#{:02x}{:02x}{:02x}".format(*mixed)) >= 4.5
