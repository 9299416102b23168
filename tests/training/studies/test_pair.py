"""The pair study: what it compares, states and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from emotion_hub.checkpoints import pair_figures
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import EmotionClassifier
from tests.fakes.drawn_data import drawn_folder
from training.studies import pair


def _report(difference: float, p_value: float) -> dict[str, Any]:
    side = {"parameters": 3_214_151, "bytes": 6_800_000, "memory_mb": 150.0}
    figures = {
        "accuracy": 0.66,
        "macro_f1": 0.6,
        "log_loss": 0.9,
        "ece": 0.02,
        "interval": {"accuracy": [0.64, 0.68]},
    }
    compared = {
        "n": 3589,
        "difference": difference,
        "interval": [difference - 0.01, difference + 0.01],
        "only_first": 100,
        "only_second": 150,
        "p_value": p_value,
    }
    return {
        "sides": {
            "small": {**side, "input": [48, 3], "cpu_ms": 2.0},
            "large": {**side, "input": [224, 3], "cpu_ms": 10.0, "memory_mb": 180.0},
        },
        "splits": {"test": {"sides": {"small": figures, "large": figures}, "paired": compared}},
    }


@pytest.mark.parametrize(
    ("difference", "p_value", "verdict"),
    [(0.014, 0.002, "a gain"), (-0.014, 0.002, "a loss"), (0.004, 0.4, "no difference that the test can show")],
)
def test_the_conclusion_follows_from_the_test(difference: float, p_value: float, verdict: str) -> None:
    points = 100 * difference
    assert pair.conclusion(_report(difference, p_value)) == (
        f"Upscaling the 48-pixel face to 224 pixels brings {verdict}: {points:+.2f} points of accuracy (95% interval "
        f"{points - 1:+.2f} to {points + 1:+.2f}, p = {p_value:.2g}) on 3,589 faces, at 5.0 times the time per face "
        "and 1.2 times the memory (`large` against `small`, the same network, start and recipe)."
    )


def test_the_page_has_a_row_per_side_the_test_and_the_conclusion() -> None:
    report = _report(0.014, 0.002)
    page = pair.table(report)
    assert "| `small` | 48×48×3 | 3,214,151 | 6.5 MB | 66.00% (64.0 to 68.0%) | 0.6000 | 0.9000 | 0.020 | 2.0 |" in page
    assert "Only `small` is right for 100 faces, only `large` for 150 (McNemar's exact test: p = 0.002)." in page
    assert page.rstrip().endswith(pair.conclusion(report))


def test_networks_of_different_sizes_are_no_pair(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="native48 and upscale224 have other labels or numbers of weights"):
        pair.study(("native48", "upscale224"), str(drawn_folder(tmp_path)), ["validation"])


@pytest.mark.slow
def test_the_command_measures_both_sides_on_the_same_faces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    small, large = EmotionClassifier("mobilenetv1_48"), EmotionClassifier("mobilenetv1_224")
    large.network.load_state_dict(small.network.state_dict())
    for name, classifier in (("small", small), ("large", large)):
        classifier.save_pretrained(tmp_path / name)
    data, out = drawn_folder(tmp_path / "data"), tmp_path / "pair.json"
    arguments = ["--data", str(data), "--small", str(tmp_path / "small"), "--large", str(tmp_path / "large")]
    report = pair.main([*arguments, "--split", "test", "--out", str(out)])
    assert json.loads(out.read_text()) == report
    assert out.with_suffix(".md").read_text() in capsys.readouterr().out
    first, second = report["sides"].values()
    assert (first["input"], second["input"]) == ([48, 3], [224, 3])
    assert first["parameters"] == second["parameters"]
    assert second["cpu_ms"] > 2 * first["cpu_ms"]
    assert second["memory_mb"] > 50
    assert first["memory_mb"] > 50
    result = report["splits"]["test"]
    accuracies = [row["accuracy"] for row in result["sides"].values()]
    assert result["paired"]["difference"] == pytest.approx(accuracies[1] - accuracies[0])


def test_the_shown_figures_are_those_of_the_test_split() -> None:
    report = _report(0.004, 0.4)
    shown = pair.shown(report)
    assert shown["conclusion"] == pair.conclusion(report)
    assert shown["paired"] == report["splits"]["test"]["paired"]
    assert list(shown["sides"]) == ["small", "large"]
    assert shown["sides"]["large"] == {
        "input": [224, 3],
        "parameters": 3_214_151,
        "bytes": 6_800_000,
        "cpu_ms": 10.0,
        "memory_mb": 180.0,
        "accuracy": 0.66,
        "macro_f1": 0.6,
        "interval": [0.64, 0.68],
    }


def test_the_packaged_figures_are_those_of_the_study() -> None:
    study = json.loads(Path(pair.__file__).with_suffix(".json").read_text())
    assert pair_figures() == pair.shown(study)
