"""Prediction sets in the files for transformers, ONNX Runtime and the Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from emotion_hub.checkpoints import CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import ConfigError
from emotion_hub.interop.adapter import EmotionConfig, EmotionForImageClassification
from emotion_hub.interop.files import write_transformers_files
from emotion_hub.interop.standalone import standalone_source
from emotion_hub.labels import FER2013
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.external_data import copy_self_contained
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.predictor import EmotionPredictor

SETS = PredictionSets(0.8, {label: 0.1 + k / 10 for k, label in enumerate(FER2013.labels)})


@pytest.fixture
def model() -> EmotionClassifier:
    """A network with random weights and a rule."""
    torch.manual_seed(0)
    return EmotionClassifier(ClassifierConfig("emotion_cnn", prediction_sets=SETS)).eval()


@pytest.fixture
def folder(model, tmp_path) -> Path:
    """The model in a folder for transformers."""
    write_transformers_files(model, tmp_path / "written")
    return tmp_path / "written"


def _entry(folder: Path):
    return json.loads((folder / CONFIG_FILE).read_text()).get("prediction_sets")


def test_a_saved_classifier_keeps_the_rule(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert _entry(tmp_path) == SETS.to_dict()
    loaded = EmotionClassifier.from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.config.prediction_sets == SETS


def test_a_configuration_orders_the_rule_by_its_labels_and_refuses_another_type():
    config = ClassifierConfig("emotion_cnn", tuple(reversed(FER2013.labels)), prediction_sets=SETS)
    assert list(config.prediction_sets.thresholds) == list(reversed(FER2013.labels))
    with pytest.raises(ConfigError, match=r"prediction_sets is a dict.*from_dict"):
        ClassifierConfig("emotion_cnn", prediction_sets=SETS.to_dict())
    with pytest.raises(ConfigError, match="the network has the labels"):
        ClassifierConfig("emotion_cnn", ("calm", "tense"), prediction_sets=SETS)


def test_transformers_reads_the_rule_and_writes_it_again(folder, tmp_path):
    assert _entry(folder) == SETS.to_dict()
    config = EmotionConfig.from_pretrained(folder)
    assert config.prediction_sets == SETS.to_dict()
    assert config.classifier.prediction_sets == SETS
    EmotionForImageClassification.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert _entry(tmp_path / "again") == SETS.to_dict()
    assert EmotionClassifier.from_pretrained(tmp_path / "again").config.prediction_sets == SETS


def test_transformers_writes_no_entry_for_a_checkpoint_without_a_rule(tmp_path):
    write_transformers_files(EmotionClassifier("emotion_cnn"), tmp_path / "plain")
    model = EmotionForImageClassification.from_pretrained(tmp_path / "plain")
    assert model.config.prediction_sets is None
    model.save_pretrained(tmp_path / "again")
    for name in ("plain", "again"):
        assert "prediction_sets" not in json.loads((tmp_path / name / CONFIG_FILE).read_text())
    changed = EmotionConfig.from_pretrained(tmp_path / "plain", prediction_sets=SETS.to_dict())
    assert changed.classifier.prediction_sets == SETS


def test_a_new_head_with_other_labels_drops_the_rule(folder, tmp_path):
    names = {0: "calm", 1: "cross", 2: "neither"}
    options = {"num_labels": 3, "id2label": names, "label2id": {label: i for i, label in names.items()}}
    model = EmotionForImageClassification.from_pretrained(folder, ignore_mismatched_sizes=True, **options)
    model.save_pretrained(tmp_path / "three")
    assert _entry(tmp_path / "three") is None
    assert EmotionClassifier.from_pretrained(tmp_path / "three").labels.labels == tuple(names.values())


def test_transformers_refuses_an_invalid_rule(folder):
    values = json.loads((folder / CONFIG_FILE).read_text())
    values["prediction_sets"]["thresholds"]["sad"] = float("nan")
    (folder / CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="threshold nan of the label 'sad'"):
        EmotionConfig.from_pretrained(folder)


def test_the_file_for_remote_code_has_the_rules_class():
    source = standalone_source(("emotion_cnn",))
    assert "class PredictionSets:" in source
    compile(source, "modeling.py", "exec")


def test_an_ensemble_has_no_rule_because_its_members_rules_are_for_other_probabilities(model):
    ensemble = EmotionClassifier.ensemble([model, model])
    assert ensemble.config.prediction_sets is None


def test_an_exported_file_has_the_rule_in_its_metadata(model, tmp_path):
    export_onnx(model, tmp_path / "one.onnx")
    assert EmotionPredictor.from_onnx(tmp_path / "one.onnx").prediction_sets == SETS
    plain = EmotionClassifier("emotion_cnn").eval()
    export_onnx(plain, tmp_path / "two.onnx")
    assert EmotionPredictor.from_onnx(tmp_path / "two.onnx").prediction_sets is None


def test_the_configuration_beside_an_onnx_file_counts(model, tmp_path):
    model.save_pretrained(tmp_path)
    export_onnx(model, tmp_path / ONNX_FILE, weights_file=tmp_path / WEIGHTS_FILE)
    assert EmotionPredictor.from_pretrained(tmp_path, backend="onnx").prediction_sets == SETS
    values = json.loads((tmp_path / CONFIG_FILE).read_text())
    values["prediction_sets"]["coverage"] = 0.75
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values))
    for backend in ("onnx", "torch"):
        assert EmotionPredictor.from_pretrained(tmp_path, backend=backend).prediction_sets.coverage == 0.75
    del values["prediction_sets"]
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values))
    assert EmotionPredictor.from_pretrained(tmp_path, backend="onnx").prediction_sets is None


def test_a_checkpoint_from_the_hub_has_its_rule_on_both_backends(hub, tmp_path):
    from huggingface_hub import HfApi

    source = embedded_checkpoints()["emotion_cnn"]
    upload = tmp_path / "upload"
    upload.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        shutil.copyfile(source / name, upload / name)
    copy_self_contained(source / ONNX_FILE, upload / ONNX_FILE)
    api = HfApi()
    api.create_repo("tester/faces")
    api.upload_folder(repo_id="tester/faces", folder_path=upload)
    expected = EmotionPredictor.from_pretrained("emotion_cnn").prediction_sets
    for backend in ("onnx", "torch"):
        assert EmotionPredictor.from_pretrained("tester/faces", backend=backend).prediction_sets == expected
