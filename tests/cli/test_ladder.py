"""Option --ladder of `emotion-hub compare`: table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from emotion_hub.__main__ import main
from emotion_hub.examples import example_path
from emotion_hub.faces import locate
from emotion_hub.perturb import SIDES, Ladder, resolution_ladder

NETWORKS = ("native48", "upscale224")


@pytest.fixture(scope="module")
def photo() -> Path:
    return example_path("disputed")


@pytest.fixture(scope="module")
def ladder(photo: Path) -> Ladder:
    """The ladder of the photo's only face, by the library."""
    return resolution_ladder(locate(photo).faces[0])


def _printed(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(["compare", *map(str, argv), "--ladder"]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_row_per_size_below_the_face(capsys, photo: Path, ladder: Ladder) -> None:
    header, face, *rows, note = _printed(capsys, photo).splitlines()
    assert re.split(r"\s{2,}", face)[1:3] == ["1", f"happy {ladder.native48.full.confidence:.1%}"]
    assert [row.split()[:2] for row in rows] == [[str(side), "px"] for side in reversed(SIDES)]
    for row, position in zip(rows, reversed(range(len(SIDES))), strict=True):
        small, large = (getattr(ladder, name).predictions[position] for name in NETWORKS)
        assert row[header.index("NATIVE48") :].startswith(f"{small.label} {small.confidence:.1%}")
        assert row[header.index("UPSCALE224") :].startswith(f"{large.label} {large.confidence:.1%}")
        assert row.endswith("agree" if small.label == large.label else "differ")
    assert note == "N px: the same face, reduced to N pixels per side before both networks."


def test_json_has_the_ladder_of_the_library(capsys, photo: Path, ladder: Ladder) -> None:
    [row] = json.loads(_printed(capsys, photo, "--json"))
    [face] = row["faces"]
    assert set(face) > {"agree", "distance", "native48", "upscale224", "ladder"}
    for name in NETWORKS:
        found, expected = face["ladder"][name], getattr(ladder, name)
        assert found["stable_from"] == expected.stable_from
        assert [step["side"] for step in found["sides"]] == list(SIDES)
        assert [step["label"] for step in found["sides"]] == [p.label for p in expected.predictions]
        assert found["label"] == face[name]["label"]


def test_csv_has_a_column_per_network_and_size(capsys, photo: Path, ladder: Ladder) -> None:
    [row] = csv.DictReader(io.StringIO(_printed(capsys, photo, "--format", "csv", "--labels", "six_class")))
    assert row["native48_label"] == ladder.native48.full.label
    for name in NETWORKS:
        assert row[f"{name}_stable_from"] == str(getattr(ladder, name).stable_from)
        assert [bool(row[f"{name}_label_{side}px"]) for side in SIDES] == [True] * len(SIDES)


def test_without_the_option_nothing_is_added(capsys, photo: Path) -> None:
    assert main(["compare", str(photo), "--json"]) == 0
    assert "ladder" not in json.loads(capsys.readouterr().out)[0]["faces"][0]


def test_a_photo_without_a_face_has_no_ladder(capsys) -> None:
    assert _printed(capsys, example_path("cat")).splitlines()[1].endswith("no face found")


def test_the_help_names_the_sizes(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"reduced to {', '.join(map(str, SIDES[:0:-1]))} and {SIDES[0]} pixels per side" in text
