"""Cards follow their reports: what was measured is stated, what was not is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError
from training import card

INTERVAL = {"accuracy": [0.641, 0.672], "macro_f1": [0.55, 0.61]}
FULL = {
    "temperature": 1.234,
    "ece": 0.0213,
    "top2_accuracy": 0.8295,
    "interval": INTERVAL,
    "without_near_copies": {"threshold": 0.92, "near_copies": 7, "n": 3000, "accuracy": 0.641, "macro_f1": 0.56, "interval": INTERVAL},
    "ten_crop": {"share": 0.9, "n": 3589, "accuracy": 0.6712, "macro_f1": 0.6, "interval": INTERVAL},
    "ferplus": {"n": 2854, "accuracy": 0.75, "macro_f1": 0.63, "interval": INTERVAL, "left_out": {}},
}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch) -> dict[str, Path]:
    """The embedded checkpoints without their weights' content, reports as before intervals were measured, for a test to change."""
    found = {}
    for name, folder in embedded_checkpoints().items():
        target = found[name] = tmp_path / name
        target.mkdir()
        for file in (CONFIG_FILE, REPORT_FILE, TRAINING_FILE):
            shutil.copy(folder / file, target / file)
        (target / WEIGHTS_FILE).write_bytes(b"0" * 2**20)
        _change(target / REPORT_FILE, drop=(*FULL, "slices"))
        _change(target / TRAINING_FILE, drop=("calibration",))
    monkeypatch.setattr(card, "embedded_checkpoints", lambda: found)
    monkeypatch.setattr(card, "PHOTO_STUDY", tmp_path / "photos.json")
    study = {"faces": 2, "photos": 1, "detectors": {"YuNet": {"found": 2, "right": dict.fromkeys(found, 1)}}}
    (tmp_path / "photos.json").write_text(json.dumps(study))
    return found


def _change(path: Path, drop: tuple[str, ...] = (), **values: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in content.items() if k not in drop} | values))


def test_a_report_without_the_newer_figures_still_makes_a_card(folders):
    text = card.card("native48") + card.overview()
    assert "the probabilities are not calibrated." in text
    for word in ("95%", "ECE", "emperature", "alibration error", "near copy", "FER+'s majority"):
        assert word not in text
    assert "ECE" not in card.figures_table()
    assert "no group slices were measured here" in text


def test_a_full_report_is_stated_in_full(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL, slices={"age": {}})
    text = card.card("native48")
    for words in (
        "95% intervals (bootstrap over the images): accuracy 64.1 to 67.2%, macro F1 0.550 to 0.610.",
        "near copy in train (correlation 0.92 or more) as well: 64.10% (n=3,000, 64.1 to 67.2%).",
        "Expected calibration error 0.0213, with the temperature 1.234 in the weights",
        "two most probable 82.95% of the time",
        "Ten crops of 0.9 of the side, averaged: 67.12%",
        "FER+'s majority labels, where there is one: 75.00% (n=2,854",
        "slices were measured by age",
        "`native48`'s logits are divided by the temperature 1.234, fitted on validation (expected calibration error on PrivateTest 0.021)",
    ):
        assert words in text
    assert "not calibrated" not in text


def test_the_table_shows_intervals_and_calibration_where_they_are_known(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    head, rule, native, upscale = card.figures_table().splitlines()
    assert head.endswith("| ECE |")
    assert {line.count("|") for line in (head, rule, native, upscale)} == {10}
    assert ", 64.1 to 67.2%)" in native
    assert native.endswith("| 0.021 |")
    assert upscale.endswith("| – |")


def test_the_common_page_says_which_checkpoint_is_calibrated(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    text = card.overview()
    assert "`native48`'s logits are divided by the temperature 1.234" in text
    assert "`upscale224`'s logits are not calibrated" in text


def test_a_calibration_error_without_a_temperature_is_no_calibration(folders):
    _change(folders["native48"] / REPORT_FILE, ece=0.05, top2_accuracy=0.8)
    text = card.card("native48")
    assert "the probabilities are not calibrated." in text
    assert "Expected calibration error 0.0500, no temperature in the weights" in text


def test_the_training_record_states_near_copies_and_the_temperature(folders):
    path = folders["native48"] / TRAINING_FILE
    stages = json.loads(path.read_text())["stages"]
    assert "near copy" not in card.training_text(folders["native48"])
    stages[-1]["data"]["near_copies_in_evaluation"] = 1382
    figures = {"n": 3543, "nll": {"before": 0.97, "after": 0.95}, "ece": {"before": 0.06, "after": 0.01}}
    _change(path, stages=stages, calibration={"temperature": 1.2, "validation": figures})
    text = card.training_text(folders["native48"])
    assert "1,382 with a near copy there" in text
    assert "Temperature 1.200, fitted on 3,543 validation images: log loss 0.9700 to 0.9500, ECE 0.0600 to 0.0100 there." in text


def test_the_epoch_named_is_the_one_that_was_chosen(folders):
    path = folders["native48"] / TRAINING_FILE
    [stage] = json.loads(path.read_text())["stages"][-1:]
    stage["recipe"]["select"] = "macro_f1"
    stage["epochs"] = [{"epoch": e, "val_accuracy": a, "val_macro_f1": f, "seconds": 1} for e, a, f in ((1, 0.5, 0.4), (2, 0.4, 0.5))]
    _change(path, stages=[stage])
    assert "Best epoch 2: 40.00%" in card.training_text(folders["native48"])


def test_another_checkpoint_gets_its_card_and_row(folders, tmp_path):
    folders["another"] = Path(shutil.copytree(folders["native48"], tmp_path / "another"))
    assert len(card.figures_table().splitlines()) == 2 + len(folders)
    with pytest.raises(CheckpointError, match=r"does not know another.*training\.photo_study"):
        card.card("another")
    study = json.loads(card.PHOTO_STUDY.read_text())
    study["detectors"]["YuNet"]["right"]["another"] = 2
    card.PHOTO_STUDY.write_text(json.dumps(study))
    assert "# emotion_hub another" in card.card("another")
    assert "## another" in card.overview()


def test_the_training_record_names_the_teachers(folders):
    path = folders["native48"] / TRAINING_FILE
    [stage] = json.loads(path.read_text())["stages"][-1:]
    stage["recipe"]["distill"] = 0.6
    _change(path, stages=[{**stage, "teachers": [{"name": "larger", "sha256": "0123456789abcdef"}]}])
    assert "60% of its targets are the answers of `larger` (01234567…)." in card.training_text(folders["native48"])


@pytest.mark.parametrize(
    ("init", "model", "licence"),
    [("torchvision-mobilenetv2", "mobilenetv2_224", "apache-2.0"), ("pretrained", "mobilenetv1_224", "apache-2.0"), ("checkpoint", "mobilenetv2_224", "mit")],
)
def test_weights_that_started_from_apache_ones_keep_their_licence(folders, init, model, licence):
    stages = [{"recipe": {"init": init, "model": model}}]
    _change(folders["native48"] / TRAINING_FILE, stages=stages)
    report = card.report_of(folders["native48"])
    assert f"license: {licence}\n" in card.front_matter("native48", folders["native48"], report)
