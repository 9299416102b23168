"""The comparison of models: rows, pairs with and without pretraining, page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import training.compare_models
import training.evaluation.latency
import training.studies.comparison
from emotion_hub.checkpoints import TRAINING_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.models import create_model, list_models
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import NATIVE48
from training.data.faces import FaceSplit
from training.evaluation.latency import latency, machine, one_thread
from training.fit.recipe import Recipe
from training.studies.comparison import checkpoint_row, epochs_to, pretraining_pairs, registry_rows, run_row
from training.studies.comparison_text import page

SCRATCH = (0.30, 0.41, 0.50, 0.55, 0.58, 0.60)
PRETRAINED = (0.45, 0.61, 0.66)


def _history(accuracies: tuple[float, ...], seconds: float = 10.0, kept: int = 1000, **recipe: Any) -> dict[str, Any]:
    settings = Recipe(
        **{
            "name": "tiny",
            "model": "emotion_cnn",
            "preprocess": NATIVE48,
            "epochs": len(accuracies),
            "lr": 0.1,
            **recipe,
        }
    )
    epochs = [
        {"epoch": i, "loss": 1.0, "val_accuracy": a, "val_macro_f1": 1 - a, "seconds": seconds}
        for i, a in enumerate(accuracies, 1)
    ]
    return {
        "recipe": settings.to_dict(),
        "data": {"kept": kept, "validation": 50, "fingerprint": "f"},
        "environment": {"device": "cpu"},
        "epochs": epochs,
    }


def _run(folder: Path, history: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_file(create_model("emotion_cnn").state_dict(), folder / "best.safetensors")
    (folder / "history.json").write_text(json.dumps(history))
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Constant speed figures, so that nothing is timed."""
    monkeypatch.setattr(
        training.studies.comparison, "speed", lambda model: {"latency_ms": 1.5, "images_per_second": 2000.0}
    )


@pytest.fixture
def runs(tmp_path) -> tuple[Path, Path]:
    """The same network from scratch and pretrained."""
    return _run(tmp_path / "slow", _history(SCRATCH)), _run(tmp_path / "fast", _history(PRETRAINED, init="pretrained"))


# rows


def test_a_runs_row_agrees_with_its_history(runs):
    row = run_row(runs[0], 0.5)
    assert (row["name"], row["kind"], row["model"], row["start"]) == ("slow", "run", "emotion_cnn", "scratch")
    assert row["parameters"] == 1_572_551
    assert row["validation"] == {"accuracy": 0.60, "epoch": 6, "n": 50}
    assert (row["epochs"], row["epochs_to_target"]) == (6, 3)
    assert row["training"] == {
        "hours": pytest.approx(60 / 3600),
        "images_per_second": pytest.approx(100),
        "device": "cpu",
    }
    model = EmotionClassifier("emotion_cnn").half()
    assert row["file_bytes"] == sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert "report" not in row
    assert "measured" not in row


def test_the_best_epoch_is_the_one_that_was_saved(tmp_path):
    row = run_row(_run(tmp_path / "f1", _history((0.5, 0.4, 0.6), select="macro_f1")), 0.5)
    assert row["validation"] == {"accuracy": 0.4, "epoch": 2, "n": 50}


def test_a_run_without_a_finished_epoch_has_no_row(tmp_path):
    with pytest.raises(CheckpointError, match="no finished epoch"):
        run_row(tmp_path, 0.5)


def test_a_checkpoints_row_has_its_report_and_stages(tmp_path):
    EmotionClassifier("emotion_cnn").save_pretrained(tmp_path)
    bare = checkpoint_row(str(tmp_path), 0.5)
    assert (bare["start"], bare["validation"], bare["training"], bare["epochs"]) == ("unknown", None, None, 0)
    stages = [_history(PRETRAINED, init="pretrained"), _history((0.64, 0.65), init="checkpoint", seconds=20)]
    (tmp_path / TRAINING_FILE).write_text(json.dumps({"stages": stages}))
    report = {"split": "test", "n": 99, "accuracy": 0.7, "macro_f1": 0.6, "without_copies": {}, "confusion_matrix": []}
    (tmp_path / "report.json").write_text(json.dumps(report))
    row = checkpoint_row(str(tmp_path), 0.5)
    assert (row["start"], row["epochs"], row["epochs_to_target"]) == ("pretrained", 5, 2)
    assert row["validation"]["accuracy"] == 0.65, "the best epoch of the last stage was saved"
    assert row["training"]["images_per_second"] == pytest.approx(5000 / 70)
    assert row["report"]["accuracy"] == 0.7
    assert "confusion_matrix" not in row["report"]
    assert row["file_bytes"] == (tmp_path / WEIGHTS_FILE).stat().st_size


def test_models_are_measured_on_validation_without_images_of_test(runs, monkeypatch):
    rng = np.random.default_rng(0)
    faces = [Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(20)]
    hashes, labels = [str(i) for i in range(20)], np.arange(20) % 7
    splits = {
        "validation": FaceSplit("validation", faces, labels, hashes),
        "test": FaceSplit("test", faces[:5], labels[:5], hashes[:5]),
    }
    monkeypatch.setattr(training.studies.comparison, "load_split", lambda data, name, labels: splits[name])
    seen: list[int] = []
    real = training.studies.comparison.face_probs

    def spy(predictor: EmotionPredictor, chosen: list[Image.Image], **more: Any) -> np.ndarray:
        seen.extend(faces.index(face) for face in chosen)
        return real(predictor, chosen, **more)

    monkeypatch.setattr(training.studies.comparison, "face_probs", spy)
    row = run_row(runs[0], 0.5, "DATA")
    assert seen == list(range(5, 20))
    assert row["measured"]["n"] == 15
    assert set(row["measured"]["interval"]) == {"accuracy", "macro_f1"}


def test_untrained_networks_are_listed_with_their_parameters():
    rows = registry_rows({"vgg16_48"})
    assert [row["model"] for row in rows] == [name for name in list_models() if name != "vgg16_48"]
    by_name = {row["model"]: row["parameters"] for row in rows}
    assert by_name["emotion_cnn"] == 1_572_551
    assert by_name["enhanced_cnn48"] == 6_670_759


# pairs


def test_epochs_are_counted_until_the_accuracy_is_reached():
    curve = [{"val_accuracy": a} for a in SCRATCH]
    assert [epochs_to(curve, a) for a in (0.1, 0.5, 0.6, 0.61)] == [1, 3, 6, None]


def test_a_pair_has_the_gain_of_pretraining(runs):
    [pair] = pretraining_pairs([run_row(folder, 0.55) for folder in runs])
    assert (pair["pretrained"], pair["scratch"]) == ("fast", "slow")
    assert pair["gain"] == pytest.approx(0.06)
    assert pair["speedup_to_target"] == pytest.approx(4 / 2)
    assert pair["shared_accuracy"] == 0.60
    assert pair["speedup_to_shared"] == pytest.approx(6 / 2)
    assert pair["differs"] == ["epochs"]


def test_a_target_that_is_never_reached_gives_no_speedup(runs):
    [pair] = pretraining_pairs([run_row(folder, 0.65) for folder in runs])
    assert pair["speedup_to_target"] is None
    assert pair["speedup_to_shared"] == pytest.approx(3)


def test_different_networks_data_and_unknown_starts_form_no_pair(runs, tmp_path):
    scratch, pretrained = (run_row(folder, 0.5) for folder in runs)
    assert pretraining_pairs([scratch, pretrained | {"model": "enhanced_cnn48"}]) == []
    assert pretraining_pairs([scratch, pretrained | {"fingerprint": "g"}]) == []
    assert len(pretraining_pairs([scratch, pretrained | {"fingerprint": None}])) == 1
    later = run_row(_run(tmp_path / "later", _history(PRETRAINED, init="checkpoint")), 0.5)
    assert later["start"] == "checkpoint"
    assert pretraining_pairs([scratch, later]) == []
    assert pretraining_pairs([scratch, scratch]) == []


# the script


def test_the_page_and_the_figures_are_written(runs, tmp_path, capsys):
    out = tmp_path / "new" / "models.md"
    arguments = ["--runs", *map(str, runs), "--target", "0.55", "--all", "--out", str(out)]
    result = training.compare_models.main(arguments)
    assert json.loads(out.with_suffix(".json").read_text()) == result
    text = out.read_text()
    assert text in capsys.readouterr().out
    assert [row["name"] for row in result["models"]][-2:] == ["slow", "fast"]
    assert {"native48", "upscale224"} <= {row["name"] for row in result["models"]}
    assert "| `fast` | `emotion_cnn` | – | 66.00% (epoch 3, n=50) | 1,572,551 | 3.0 MB | 1.50 ms | 2,000 |" in text
    assert "| `slow` | scratch | 6 | 4 | 0.0 | 100 | cpu |" in text
    pair = "| `emotion_cnn` | `fast` | `slow` | +6.0 | 2.0x | 3.0x (60.0%) | gain yes, speed yes | epochs |"
    assert pair in text
    assert "`vgg16_48` | rgb48 | 8,424,775" in text
    assert str(tmp_path) not in text + out.with_suffix(".json").read_text()


def test_rows_of_deleted_runs_are_kept(runs, tmp_path, monkeypatch):
    slow, fast = runs
    out = tmp_path / "models.md"
    before = training.compare_models.main(["--checkpoints", "--runs", str(slow), str(fast), "--out", str(out)])
    monkeypatch.setattr(training.studies.comparison, "machine", lambda: before["machine"] | {"load": 99.0})
    monkeypatch.setattr(
        training.studies.comparison, "speed", lambda model: {"latency_ms": 7.0, "images_per_second": 100.0}
    )
    for _ in range(2):  # a row that is kept again keeps the machine it was measured on
        after = training.compare_models.main(["--checkpoints", "--runs", str(fast), "--keep", "--out", str(out)])
    rows = {row["name"]: row for row in after["models"]}
    assert rows["slow"] == before["models"][0] | {"measured_on": before["machine"]}
    assert (rows["fast"]["latency_ms"], "measured_on" in rows["fast"]) == (7.0, False)
    assert after["pairs"], "kept rows form pairs"
    load = before["machine"]["load"]
    assert f"load average {load}: `slow`." in out.read_text()
    assert "load average 99.0." in out.read_text()


def test_rows_are_kept_only_from_existing_figures_with_the_same_target(runs, tmp_path):
    out = tmp_path / "models.md"
    with pytest.raises(InputError, match=r"models\.json does not exist, so there are no rows to keep"):
        training.compare_models.main(["--checkpoints", "--keep", "--out", str(out)])
    training.compare_models.main(["--checkpoints", "--runs", str(runs[0]), "--out", str(out)])
    with pytest.raises(InputError, match=r"count epochs to 0\.6, the new ones to 0\.5; give --target 0\.6"):
        training.compare_models.main(["--checkpoints", "--keep", "--target", "0.5", "--out", str(out)])


def test_a_page_states_missing_pairs_and_failed_claims(runs):
    scratch, pretrained = (run_row(folder, 0.5) for folder in runs)
    about = {"target": 0.5, "machine": machine(), "untrained": []}
    assert "the claim is not tested" in page({**about, "models": [scratch], "pairs": []})
    poor = pretraining_pairs([scratch, pretrained | {"validation": {"accuracy": 0.61, "epoch": 2, "n": 50}}])
    assert "gain below, speed yes" in page({**about, "models": [scratch], "pairs": poor})
    rich = pretraining_pairs(
        [scratch, pretrained | {"validation": {"accuracy": 0.8, "epoch": 2, "n": 50}, "curve": [{"val_accuracy": 0.8}]}]
    )
    assert "gain above, speed above" in page({**about, "models": [scratch], "pairs": rich})


# speed


def test_latency_is_the_median_of_passes_on_one_thread(monkeypatch):
    model = EmotionClassifier("emotion_cnn")
    threads, batches = [], []
    forward = EmotionClassifier.forward

    def spy(self: EmotionClassifier, pixels: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        batches.append(tuple(pixels.shape))
        return forward(self, pixels)

    monkeypatch.setattr(EmotionClassifier, "forward", spy)
    clock = iter(
        [0.0, *(0.0, 0.0, 0.010), *(0.0, 0.0, 0.030), *(0.0, 0.0, 0.020), 9.0]
    )  # the start; then one check, start and end per pass
    monkeypatch.setattr(training.evaluation.latency.time, "perf_counter", lambda: next(clock))
    assert latency(model, 4, seconds=1.0, least=0) == pytest.approx(20)
    assert set(threads) == {1}
    assert set(batches) == {(4, 1, 48, 48)}
    assert len(batches) == 5, "two to warm up"


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_machine_record_has_processor_cores_and_load():
    facts = machine()
    assert facts["processor"]
    assert facts["cores"] >= 1
    assert (facts["threads"], facts["torch"]) == (1, torch.__version__)
