"""Face warnings on the command line: table, CSV columns and JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.__main__ import main
from emotion_hub.examples import example_path


@pytest.fixture
def profile() -> str:
    """The packaged profile: its face is turned."""
    return str(example_path("profile"))


def _printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(list(argv)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["predict", "compare"])
def test_a_warning_stands_below_its_face_with_the_next_step(
    capsys: pytest.CaptureFixture[str], profile: str, command: str
) -> None:
    lines = _printed(capsys, command, profile).splitlines()
    assert lines[1].split()[1] == "1"
    assert "warning turned (face 1): The face is turned by about" in lines[2]
    assert lines[2].endswith("Take the photo from the front.")


@pytest.mark.parametrize("command", ["predict", "compare"])
def test_what_is_not_a_face_is_said_before_its_prediction(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    path = tmp_path / "cat.png"
    Image.open(example_path("cat")).resize((64, 64)).save(path)
    lines = _printed(capsys, command, str(path)).splitlines()
    assert "warning not_a_face (face 1): This is probably not a face" in lines[1]
    assert lines[2].split()[1] == "1"


def test_one_line_tells_of_all_small_faces_of_a_crowd(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line for line in _printed(capsys, "predict", str(example_path("solvay"))).splitlines() if "warning" in line
    ]
    assert len(lines) == 1
    assert "warning small (face 1 and 17 more): " in lines[0]


def test_a_good_face_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "warning" not in _printed(capsys, "predict", str(example_path("astronaut")))


def test_csv_and_json_have_the_codes(capsys: pytest.CaptureFixture[str], profile: str) -> None:
    good = str(example_path("astronaut"))
    rows = list(csv.DictReader(io.StringIO(_printed(capsys, "predict", profile, good, "--format", "csv"))))
    assert [row["warnings"] for row in rows] == ["turned", ""]
    [row] = csv.DictReader(io.StringIO(_printed(capsys, "compare", profile, "--format", "csv")))
    assert row["native48_warnings"] == row["upscale224_warnings"] == "turned"
    [photo] = json.loads(_printed(capsys, "predict", profile, "--json"))
    [warning] = photo["faces"][0]["warnings"]
    assert set(warning) == {"code", "value", "unit", "threshold", "message"}
    assert warning["code"] == "turned"
    assert warning["value"] > warning["threshold"]
