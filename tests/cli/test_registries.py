"""Detectors and explanation methods of the registries on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotion_hub.__main__ import main
from emotion_hub.detectors import DETECTOR_VARIABLE
from emotion_hub.examples import example_path
from emotion_hub.explainers import METHODS
from emotion_hub.explainers.registry import public_options


@pytest.fixture(autouse=True)
def restored_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` sets the variable; it has its old value again after the test."""
    monkeypatch.setenv(DETECTOR_VARIABLE, "yunet")


def test_detector_none_takes_the_whole_image_and_yunet_finds_the_face(capsys: pytest.CaptureFixture[str]) -> None:
    boxes = {}
    for name in ("none", "yunet"):
        assert main(["predict", str(example_path("astronaut")), "--detector", name, "--json"]) == 0
        [face] = json.loads(capsys.readouterr().out)[0]["faces"]
        boxes[name] = (face["bbox"], face["detector"])
    assert boxes["none"] == ([0, 0, 512, 512], None)
    assert boxes["yunet"][1] == "YuNet"
    assert boxes["yunet"][0][2] - boxes["yunet"][0][0] < 256


@pytest.mark.parametrize("command", ["predict", "compare", "explain", "video"])
def test_an_unknown_detector_is_an_error_that_lists_the_names(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "photo.jpg", "--detector", "dlib"]) == 2
    assert "no face detector 'dlib'; choose from none, yunet" in capsys.readouterr().err


def test_list_methods_prints_every_method_and_public_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", "--list-methods"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for name, method in METHODS.items():
        assert f"{name} " in printed
        assert method.summary in printed
    for name in public_options():
        assert f"{name}=" in printed


def test_an_option_is_passed_to_the_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["explain", str(example_path("astronaut")), "--method", "lime", "--out", str(tmp_path / "sheet.png")]
    assert main([*argv, "--option", "samples=120", "--metrics", "none", "--json"]) == 0
    [explanation] = json.loads(capsys.readouterr().out)["explanations"]
    assert explanation["parameters"]["samples"] == 120


@pytest.mark.parametrize(
    ("text", "words"), [("samples", "give NAME=VALUE"), ("=3", "give NAME=VALUE"), ("width=3", "public option 'width'")]
)
def test_a_wrong_option_is_refused(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["explain", str(example_path("astronaut")), "--out", str(tmp_path / "sheet.png"), "--option", text]
    assert main(argv) == 2
    assert words in capsys.readouterr().err
