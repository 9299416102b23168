"""Model cards state what reports contain, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError, PublishError
from training.publishing import card_studies, card_training, cards, checkpoint_files, figures, licences

SHA256 = hashlib.sha256(b"0" * 2**20).hexdigest()
INTERVAL = {"accuracy": [0.641, 0.672], "macro_f1": [0.55, 0.61]}
FULL = {
    "temperature": 1.234,
    "ece": 0.0213,
    "top2_accuracy": 0.8295,
    "interval": INTERVAL,
    "without_near_copies": {
        "threshold": 0.92,
        "near_copies": 7,
        "n": 3000,
        "accuracy": 0.641,
        "macro_f1": 0.56,
        "interval": INTERVAL,
    },
    "ten_crop": {"share": 0.9, "n": 3589, "accuracy": 0.6712, "macro_f1": 0.6, "interval": INTERVAL},
    "ferplus": {"n": 2854, "accuracy": 0.75, "macro_f1": 0.63, "interval": INTERVAL, "left_out": {}},
}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch) -> dict[str, Path]:
    """Folders of the embedded checkpoints without real weights, for a test to change.

    Their reports lack the figures of newer versions.
    """
    found = {}
    for name, folder in embedded_checkpoints().items():
        target = found[name] = tmp_path / name
        target.mkdir()
        for file in (CONFIG_FILE, REPORT_FILE, TRAINING_FILE):
            shutil.copy(folder / file, target / file)
        (target / WEIGHTS_FILE).write_bytes(b"0" * 2**20)
        _change(
            target / REPORT_FILE, drop=(*FULL, "slices", "robustness", "detected", "prediction_sets"), sha256=SHA256
        )
        _change(target / CONFIG_FILE, drop=("prediction_sets",))
        stages = [
            stage for stage in json.loads((target / TRAINING_FILE).read_text())["stages"] if "average" not in stage
        ]
        plain = [{key: value for key, value in stage.items() if key != "teachers"} for stage in stages]
        for stage in plain:
            stage["data"].pop("near_copies_in_evaluation", None)
        _change(target / TRAINING_FILE, drop=("calibration",), stages=plain)
    for module in (cards, figures):
        monkeypatch.setattr(module, "embedded_checkpoints", lambda: found)
    monkeypatch.setattr(card_studies, "PHOTO_STUDY", tmp_path / "photos.json")
    study = {"faces": 2, "photos": 1, "detectors": {"YuNet": {"found": 2, "right": dict.fromkeys(found, 1)}}}
    (tmp_path / "photos.json").write_text(json.dumps(study))
    return found


def _change(path: Path, drop: tuple[str, ...] = (), **values: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in content.items() if k not in drop} | values))


def test_a_card_is_made_from_a_report_without_newer_figures(folders):
    text = cards.embedded_card("native48") + cards.overview()
    assert "The probabilities are not calibrated." in text
    for word in ("95%", "ECE", "emperature", "alibration error", "near copy", "FER+'s majority"):
        assert word not in text
    assert "ECE" not in figures.figures_table()
    assert "no groups were measured" in text


def test_a_card_states_all_figures_of_a_full_report(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL, slices={"age": {}})
    text = cards.embedded_card("native48")
    for words in (
        "95% intervals (bootstrap over the images): accuracy 64.1 to 67.2%, macro F1 0.550 to 0.610.",
        "Also without those that have a near copy in train (correlation 0.92 or more): 64.10% (n=3,000, 64.1 to "
        "67.2%).",
        "Expected calibration error 0.0213, with the temperature 1.234 in the weights",
        "top-2 accuracy 82.95%",
        "Average of ten crops of 0.9 of the side: 67.12%",
        "FER+'s majority labels, for images that have one: 75.00% (n=2,854",
        "groups were measured by age",
        "he logits of `native48` are divided by the temperature 1.234, which was fitted on validation (expected "
        "calibration error on PrivateTest: 0.021)",
    ):
        assert words in text
    assert "not calibrated" not in text


def test_the_ensemble_is_named_only_with_the_weights_that_were_measured(folders, tmp_path, monkeypatch):
    row = {"accuracy": 0.7, "n": 3589, "macro_f1": 0.64, "ece": 0.02, "interval": {"accuracy": [0.68, 0.72]}}
    row["without_copies"] = {"accuracy": 0.69, "n": 3000, "interval": {"accuracy": [0.67, 0.71]}}
    change = {"from": "native48", "accuracy": 0.0039, "interval": [-0.0033, 0.0114]}
    members = {name: {"sha256": json.loads((folders[name] / REPORT_FILE).read_text())["sha256"]} for name in folders}
    path = tmp_path / "ensemble.json"
    monkeypatch.setattr(figures, "ENSEMBLE_STUDY", path)
    assert figures.ensemble_text() == ""
    path.write_text(json.dumps({"members": members, "splits": {"test": {"ensemble": row, "change": change}}}))
    text = figures.ensemble_text()
    assert "70.00% (n=3,589, 68.0 to 72.0%), without copies 69.00%" in text
    assert "+0.39 points (95% interval -0.33 to +1.14) against `native48`" in text
    path.write_text(json.dumps({"members": members, "splits": {"validation": {}}}))
    assert figures.ensemble_text() == ""
    other = members | {"native48": {"sha256": "0" * 64}}
    path.write_text(json.dumps({"members": other, "splits": {"test": {"ensemble": row, "change": change}}}))
    assert figures.ensemble_text() == ""


def test_the_table_shows_known_intervals_and_calibration_errors(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    head, _, _, native, upscale = figures.figures_table().splitlines()
    assert head.endswith("| ECE |")
    assert {line.count("|") for line in figures.figures_table().splitlines()} == {10}
    assert ", 64.1 to 67.2%)" in native
    assert native.endswith("| 0.021 |")
    assert upscale.endswith("| – |")


def test_the_robustness_table_states_lost_points_and_what_is_not_measured(folders):
    levels = {"blur": [{"strength": 1.25, "accuracy": 0.512}], "noise": [{"strength": 16, "accuracy": 0.3}]}
    robust = {"clean": {"accuracy": 0.68}} | {
        name: {"unit": "u", "levels": [*rows, {"strength": 2, "accuracy": 0.1}]} for name, rows in levels.items()
    }
    _change(folders["native48"] / REPORT_FILE, robustness=robust)
    head, _, *rows = figures.robustness_table().splitlines()
    assert head == "| checkpoint | blur of 1.25 pixels | noise of 8 gray levels |"
    assert "| `native48` | 16.8 points | – |" in rows
    assert "| `upscale224` | – | – |" in rows


def test_the_overview_states_which_checkpoint_is_calibrated(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    text = cards.overview()
    assert "he logits of `native48` are divided by the temperature 1.234" in text
    assert "the logits of `upscale224` are not calibrated" in text


def test_a_calibration_error_without_temperature_counts_as_uncalibrated(folders):
    _change(folders["native48"] / REPORT_FILE, ece=0.05, top2_accuracy=0.8)
    text = cards.embedded_card("native48")
    assert "The probabilities are not calibrated." in text
    assert "Expected calibration error 0.0500, no temperature in the weights" in text


def test_the_training_record_states_near_copies_and_the_temperature(folders):
    path = folders["native48"] / TRAINING_FILE
    stages = json.loads(path.read_text())["stages"]
    assert "near copy" not in card_training.training_text(folders["native48"])
    stages[-1]["data"]["near_copies_in_evaluation"] = 1382
    figures = {"n": 3543, "nll": {"before": 0.97, "after": 0.95}, "ece": {"before": 0.06, "after": 0.01}}
    _change(path, stages=stages, calibration={"temperature": 1.2, "validation": figures})
    text = card_training.training_text(folders["native48"])
    assert "1,382 with a near copy there" in text
    assert (
        "Temperature 1.200, fitted on 3,543 validation images; there the log loss changes from 0.9700 to 0.9500, "
        "the ECE "
        "from 0.0600 to 0.0100." in text
    )


def test_the_card_names_the_selected_epoch(folders):
    path = folders["native48"] / TRAINING_FILE
    [stage] = json.loads(path.read_text())["stages"][-1:]
    stage["recipe"]["select"] = "macro_f1"
    stage["epochs"] = [
        {"epoch": e, "val_accuracy": a, "val_macro_f1": f, "seconds": 1} for e, a, f in ((1, 0.5, 0.4), (2, 0.4, 0.5))
    ]
    _change(path, stages=[stage])
    assert "Best epoch 2: 40.00%" in card_training.training_text(folders["native48"])


def test_a_new_checkpoint_gets_its_card_and_row(folders, tmp_path):
    folders["another"] = Path(shutil.copytree(folders["native48"], tmp_path / "another"))
    assert len(figures.figures_table().splitlines()) == 2 + len(folders)
    with pytest.raises(CheckpointError, match=r"does not contain another.*training\.studies\.photos"):
        cards.embedded_card("another")
    study = json.loads(card_studies.PHOTO_STUDY.read_text())
    study["detectors"]["YuNet"]["right"]["another"] = 2
    card_studies.PHOTO_STUDY.write_text(json.dumps(study))
    assert "# emotion_hub another" in cards.embedded_card("another")
    assert "## another" in cards.overview()


def test_the_training_record_names_the_teachers(folders):
    path = folders["native48"] / TRAINING_FILE
    [stage] = json.loads(path.read_text())["stages"][-1:]
    stage["recipe"]["distill"] = 0.6
    _change(path, stages=[{**stage, "teachers": [{"name": "larger", "sha256": "0123456789abcdef"}]}])
    assert "60% of its targets are the probabilities of `larger` (01234567…)." in card_training.training_text(
        folders["native48"]
    )


CORAL_V1 = {"name": "v1.pt", "sha256": "4257da9bb655247eb469b858fd650096ca1df809607874e6bd17fa96a0b34e36"}


@pytest.mark.parametrize(
    ("init", "model", "file", "source"),
    [
        ("torchvision-mobilenetv2", "mobilenetv2_224", None, "google-coral's MobileNetV2"),
        ("pretrained", "mobilenetv1_224", None, "timm's mobilenetv1_100"),
        ("pretrained", "mobilenetv1_224", CORAL_V1, "google-coral's MobileNetV1"),
        ("checkpoint", "mobilenetv2_224", None, ""),
    ],
)
def test_weights_fine_tuned_from_apache_weights_keep_licence_and_source(folders, init, model, file, source):
    folder = folders["native48"]
    stage = {"recipe": {"init": init, "model": model}} | ({"init": file} if file else {})
    _change(
        folder / TRAINING_FILE,
        stages=[stage, {**stage, "average": {}, "recipe": {"init": "pretrained", "model": "vgg16_48"}}],
    )
    assert [known.authors for known in licences.known_starts(folder)] == ([source] if source else [])
    assert f"license: {'apache-2.0' if source else 'mit'}\n" in cards.front_matter(
        "native48", folder, checkpoint_files.report_of(folder)
    )
    licences.check_start(folder, None)


@pytest.mark.parametrize(
    ("model", "file", "words"),
    [
        ("resnet50_224", None, "'pretrained' weights for resnet50_224"),
        ("mobilenetv2_224", {"name": "theirs.pt", "sha256": "0" * 64}, r"theirs\.pt \(SHA-256 00000000"),
    ],
)
def test_weights_of_unknown_licence_are_not_called_mit(folders, model, file, words):
    folder = folders["native48"]
    [stage] = json.loads((folder / TRAINING_FILE).read_text())["stages"][-1:]
    stage["recipe"] |= {"init": "pretrained", "model": model}
    _change(folder / TRAINING_FILE, stages=[{**stage, "init": file}])
    with pytest.raises(PublishError, match=rf"native48 started from {words}.*--licence.*--start-source"):
        licences.check_start(folder, None)
    start = licences.Start("cc-by-nc-4.0", "weights of a museum, for study only.")
    licences.check_start(folder, start)
    text = cards.repository_card("native48", folder, "a/b", timm=False, package="p", start=start)
    assert "license: cc-by-nc-4.0\n" in text
    assert (
        "Code: MIT. Weights: cc-by-nc-4.0. They were fine-tuned from other weights: weights of a museum, for "
        "study only.\n" in text
    )
    assert "Code and weights: MIT" not in text
    with pytest.raises(PublishError, match="--start-source is empty"):
        licences.Start("other", " ")


@pytest.mark.parametrize("name", embedded_checkpoints())
def test_embedded_reports_are_of_the_contests_private_test(name):
    folder = embedded_checkpoints()[name]
    report = checkpoint_files.report_of(folder)
    assert report["data"]["pixels_sha256"] == checkpoint_files.PRIVATE_TEST
    assert "Of FER2013's 28,709 training images" in card_training.training_text(folder, report)


def test_fer2013_is_named_only_on_its_own_reports(folders):
    folder = folders["native48"]
    _change(folder / REPORT_FILE, **FULL, data={"name": "my faces", "pixels_sha256": "0" * 64})
    text = cards.repository_card("native48", folder, "a/b", timm=False, package="p")
    for word in ("FER2013", "fer2013", "PrivateTest", "Goodfellow"):
        assert word not in text, word
    for words in (
        "The test split of my faces: **accuracy",
        "- Of the 28,709 training images",
        "as the annotators of my faces would have named it",
        "expected calibration error on the test split of my faces: 0.021",
        "name: my faces",
        "type: my-faces",
        "on 3,589 test faces of my faces",
    ):
        assert words in text, words
    _change(folder / REPORT_FILE, data={"name": "elsewhere", "pixels_sha256": checkpoint_files.PRIVATE_TEST})
    [stage] = json.loads((folder / TRAINING_FILE).read_text())["stages"][-1:]
    stage["data"]["total"] = 12_271
    _change(folder / TRAINING_FILE, stages=[stage])
    text = cards.repository_card("native48", folder, "a/b", timm=False, package="p")
    assert "PrivateTest (`test`)" in text
    assert "- Of the 12,271 training images" in text, "measured on FER2013, trained on other data"


def test_the_model_index_has_the_headline_figures_of_the_report(folders, tmp_path):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    report = checkpoint_files.report_of(folders["native48"])
    (tmp_path / "card.md").write_text(cards.embedded_card("native48"))
    found = {
        (r.dataset_name, r.metric_name): r.metric_value for r in ModelCard.load(tmp_path / "card.md").data.eval_results
    }
    assert found == {
        ("FER2013", "Accuracy"): round(report["accuracy"], 4),
        ("FER2013", "Macro F1"): round(report["macro_f1"], 4),
        ("FER2013", "Expected calibration error"): 0.0213,
    }


def test_the_metadata_are_complete_and_have_one_licence(folders):
    data = ModelCard(cards.embedded_card("native48")).data
    assert (data.library_name, data.pipeline_tag) == ("emotion_hub", "image-classification")
    assert (data.datasets, data.language, data.license) == (["fer2013"], "en", "mit")
    assert data.base_model is None, "trained from random weights"
    stage = {"recipe": {"init": "pretrained", "model": "mobilenetv2_224"}}
    _change(folders["native48"] / TRAINING_FILE, stages=[stage])
    head = cards.front_matter("native48", folders["native48"], checkpoint_files.report_of(folders["native48"]))
    assert ModelCard(head).data.base_model == ["timm/mobilenetv2_100.ra_in1k"]


def test_a_card_begins_with_a_title_and_five_facts(folders):
    _change(folders["native48"] / REPORT_FILE, **FULL)
    text = cards.embedded_card("native48").split("---\n\n", 1)[1]
    title, *facts = [line for line in text.splitlines()[:8] if line]
    assert title == "# emotion_hub native48: facial expression recognition on a 48×48 gray face"
    for line, words in zip(
        facts,
        (
            "- **Labels:** angry, disgust",
            "- **Accuracy:** 68.46% (95% interval 64.1 to 67.2%) on the 3,589 faces of FER2013's PrivateTest; macro F1",
            "- **Size:** 6,670,759 parameters, `model.safetensors` of 1.0 MB",
            "- **Licence:** MIT for weights and code",
            "- **Not intended for:** decisions about a person",
        ),
        strict=False,
    ):
        assert line.startswith(words)
    assert "on a 48×48 gray face upscaled to 224×224\n" in cards.embedded_card("upscale224")


def test_one_sentence_on_training_precedes_the_runs(folders):
    section = cards.embedded_card("upscale224").split("## Training\n", 1)[1]
    sentence, _, first_run = section.splitlines()[:3]
    assert sentence.startswith(
        "Trained on 25,661 faces of FER2013, without copies of validation and test images, from the ImageNet weights "
        "of google-coral's MobileNetV2 in 2 stages: 11 epochs and "
    )
    assert first_run.startswith("- `training/runs/")


def test_measured_robustness_and_detector_crops_are_stated(folders):
    assert "## Robustness" not in cards.embedded_card("native48")
    levels = [{"strength": 0.6, "accuracy": 0.61}, {"strength": 1.4, "accuracy": 0.605}]
    detected = {
        "detector": "YuNet",
        "faces": 3589,
        "not_found": 151,
        "found": {"n": 3438, "accuracy": 0.679},
        "same_faces": {"accuracy": 0.681},
    }
    robust = {
        "seed": 0,
        "clean": {"accuracy": 0.66},
        "brightness": {"unit": "factor on every gray level", "levels": levels},
    }
    _change(folders["native48"] / REPORT_FILE, robustness=robust, detected=detected)
    text = cards.embedded_card("native48")
    assert "| brightness (factor on every gray level) | 0.6: 61.0%, 1.4: 60.5% |" in text
    assert "with corrupted images (unchanged images: 66.0%)" in text
    assert (
        "Faces enlarged and cropped again by YuNet: 67.9% of the 3,438 faces it found of 3,589; the original crops of "
        "the same faces: 68.1%." in text
    )


def test_explanations_of_other_weights_are_stated_as_missing(folders, tmp_path, monkeypatch):
    assert (
        "The explanations of these weights were not measured yet; run `python -m training.explain_report"
        in cards.embedded_card("native48")
    )
    study = json.loads(card_studies.EXPLAIN_STUDY.read_text())
    study["checkpoints"]["native48"]["sha256"] = SHA256
    (tmp_path / "scores.json").write_text(json.dumps(study))
    monkeypatch.setattr(card_studies, "EXPLAIN_STUDY", tmp_path / "scores.json")
    text = cards.embedded_card("native48")
    line = next(line for line in study["summary"] if line.startswith("native48"))
    assert f"- {line}" in text
    assert "explanations of these weights were not" not in text


@pytest.mark.parametrize(
    ("machines", "words"),
    [
        (
            [{"device": "cpu", "threads": 2, "processes": 1}],
            "1.0 hours in total, about 0.02 kWh at an assumed 10 W per CPU core in use (an estimate, ",
        ),
        (
            [{"device": "NVIDIA H200", "threads": 16}],
            "1.0 hours in total, about 0.70 kWh at an assumed 10 W per CPU core in use, 700 W per H200",
        ),
        ([None], "1.0 hours in total; the machine was not recorded, so its energy is not estimated."),
        (
            [None, {"device": "cpu", "threads": 1}],
            "2.0 hours in total, about 0.01 kWh at an assumed 10 W per CPU core in use (an estimate, not",
        ),
    ],
)
def test_energy_is_an_estimate_that_states_its_assumptions(machines, words):
    stages = [
        {"epochs": [{"seconds": 1800}, {"seconds": 1800}], **({"environment": machine} if machine else {})}
        for machine in machines
    ]
    assert card_training.energy_text(stages).startswith(words)


def test_a_report_of_other_weights_is_rejected(folders):
    _change(folders["native48"] / REPORT_FILE, sha256="0" * 64)
    with pytest.raises(
        CheckpointError,
        match=r"measures other weights than model.safetensors beside it; make it with: python -m training\.evaluate",
    ):
        cards.embedded_card("native48")
