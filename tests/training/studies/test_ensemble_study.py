"""The study of an ensemble: figures, page, times measured again."""

from __future__ import annotations

import json

import pytest

from emotion_hub.errors import InputError
from tests.fakes.drawn_data import drawn_folder
from training.studies.ensemble import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return drawn_folder(tmp_path_factory.mktemp("data"))


def test_the_study_writes_figures_and_a_page(data, tmp_path, datasets_cache, capsys):
    out = tmp_path / "ensemble.json"
    members = ["--member", "native48", "--member", "emotion_cnn"]
    arguments = ["--data", str(data), "--split", "validation", *members, "--weight", "3", "--weight", "1"]
    report = main([*arguments, "--out", str(out)])
    assert report == json.loads(out.read_text())
    assert (report["name"], report["weights"]) == ("native48+emotion_cnn", [0.75, 0.25])
    figures = report["splits"]["validation"]
    assert figures["ensemble"]["n"] == 14
    assert set(figures["members"]) == {"native48", "emotion_cnn"} == set(report["members"])
    best = max(row["accuracy"] for row in figures["members"].values())
    assert figures["members"][figures["change"]["from"]]["accuracy"] == best
    assert figures["change"]["accuracy"] == pytest.approx(figures["ensemble"]["accuracy"] - best)
    assert figures["one_right"] >= best
    assert all(value > 0 for value in report["cpu_ms"].values())
    page = out.with_suffix(".md").read_text()
    assert page in capsys.readouterr().out
    assert "weights 0.75, 0.25" in page
    assert f"| `native48+emotion_cnn` | 14 | {figures['ensemble']['accuracy']:.2%}" in page

    again = main([*arguments, "--out", str(out), "--times-only"])
    assert (again["splits"], again["members"]) == (report["splits"], report["members"])
    assert again["cpu_ms"] != report["cpu_ms"]
    other = [
        "--data",
        str(data),
        "--member",
        "upscale224",
        "--member",
        "emotion_cnn",
        "--times-only",
        "--out",
        str(out),
    ]
    with pytest.raises(InputError, match="measured with other weights"):
        main(other)
