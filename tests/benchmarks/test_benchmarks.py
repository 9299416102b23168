"""The benchmark scripts run and report what they measured."""

from __future__ import annotations

import json
import tomllib
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.explain
import benchmarks.feeding
import benchmarks.run
import benchmarks.sizes
from benchmarks import claims as seeds
from benchmarks import commands as commands_module
from benchmarks import limit, stages, table, timing
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from training.data.batches import PlaneDataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_feeding_compares_augmented_batches_with_random_tensors(tmp_path, monkeypatch):
    fed: list[int] = []
    make = PlaneDataset.__getitems__

    def watch(self: PlaneDataset, indices: list[int]) -> dict[str, torch.Tensor]:
        fed.append(len(indices))
        return make(self, indices)

    monkeypatch.setattr(PlaneDataset, "__getitems__", watch)
    command = [
        "--recipe",
        str(ROOT / "training" / "runs" / "native48.toml"),
        "--steps",
        "2",
        "--rounds",
        "2",
        "--json",
        str(tmp_path / "feeding.json"),
    ]
    [row] = benchmarks.feeding.main(command)["rows"]
    assert fed == [128] * 6, "one round to warm up and two measured ones of two steps"
    assert json.loads((tmp_path / "feeding.json").read_text()) == [row]
    assert (row["network"], row["batch_size"], row["threads"]) == ("emotion_cnn", 128, torch.get_num_threads())
    assert len(row["shares"]) == 2
    assert row["share"] == pytest.approx(sum(row["shares"]) / 2, abs=1e-3)
    assert row["fed_images_per_second"] > 0


@pytest.mark.slow
@pytest.mark.timing
def test_a_cam_costs_at_most_four_forward_passes_and_threads_change_no_map(tmp_path):
    result = benchmarks.explain.main(["--repeats", "2", "--json", str(tmp_path / "costs.json")])
    assert json.loads((tmp_path / "costs.json").read_text()) == result
    for name, row in result["checkpoints"].items():
        assert set(row["methods"]) == {"gradcam", "gradcam++", "lime", "shap"}
        assert row["methods"]["gradcam"]["forward_passes"] <= 4, name
    assert result["sheet_seconds"] * 1000 < 4000 * result["checkpoints"]["upscale224"]["forward_ms"], (
        "a slow phase in which a pass takes 15 ms"
    )
    assert all(all(agreed.values()) for agreed in result["threads"].values())


# all speed figures in one run


def test_rounds_alternate_between_the_runs():
    order: list[str] = []
    times = timing.in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, repeats=3)
    assert "".join(order) == "ab" + "aaabbb" * 2, "one run each to warm up, then in turn"
    assert set(times) == {"a", "b"}
    assert 0 < times["a"] < 50


def test_the_machine_record_has_load_and_versions():
    record = timing.machine("numpy")
    assert record["cores"] >= 1
    assert record["processor"]
    assert set(record["versions"]) == {"numpy"}
    assert record["load"] >= 0


def test_flops_are_counted_from_the_layers():
    # 3x3 convolutions of padding 1 after each of three pools, then 6*6*256... as in the source report: 67.4 MFLOP
    assert limit.flops(EmotionClassifier("emotion_cnn").eval()) / 1e6 == pytest.approx(67.4, abs=0.1)


def _seed_figures() -> dict[str, Any]:
    row = {
        "parameters": 8_424_775,
        "weights_without_unused": 8_424_775,
        "input_bytes": 27_648,
        "training_images_per_second": 100.0,
    }
    small = row | {"training_memory_mb": 100.0, "answer_ms": 13.0}
    large = row | {
        "parameters": 121_938_759,
        "weights_without_unused": 121_938_759,
        "input_bytes": 602_112,
        "training_images_per_second": 10.0,
    }
    enhanced = row | {
        "parameters": 6_670_759,
        "input_bytes": 9_216,
        "training_images_per_second": 200.0,
        "training_memory_mb": 200.0,
        "answer_ms": 5.0,
    }
    networks = {
        "vgg16_48": small,
        "vgg16_224": large | {"training_memory_mb": 3000.0, "answer_ms": 130.0},
        "enhanced_cnn48": enhanced,
        "emotion_cnn": small,
    }
    return {"networks": networks, "prepare_ms": {"native48": 0.02, "rgb48": 0.03, "upscale224": 1.0}}


def test_claims_hold_only_when_measured():
    found = {row["claim"]: row for row in seeds.claims(_seed_figures())}
    assert found["parameters, VGG16 at 48 against 224"] == {
        "claim": "parameters, VGG16 at 48 against 224",
        "claimed": "29×",
        "measured": "14.5×",
        "holds": False,
    }
    assert found["memory per input, 48 against 224, three channels each"]["measured"] == "21.8×"
    assert found["memory per input, 48 against 224, three channels each"]["holds"], "22 is 21.8, rounded"
    assert (
        found["inference, VGG16 at 48 against 224"]["measured"],
        found["inference, VGG16 at 48 against 224"]["holds"],
    ) == ("10.0×", False)
    assert found["preprocessing, native48 against upscale224"]["holds"]
    savings = [row for row in found.values() if row["claimed"].endswith("%")]
    assert [(row["measured"], row["holds"]) for row in savings] == [("94.5%", False), ("93.3%", True), ("95.0%", True)]


def test_every_parameter_of_the_compared_networks_is_used():
    classifier = EmotionClassifier("emotion_cnn").eval()
    assert seeds._used_parameters(classifier) == classifier.num_parameters


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Two runs of each stage instead of two hundred."""
    monkeypatch.setattr(stages, "ready_face", partial(stages.ready_face, rounds=1, repeats=2))


@pytest.fixture
def report(hasty, tmp_path) -> Path:
    """A report with one measured part and made-up figures of the others."""
    path = tmp_path / "run.json"
    benchmarks.run.main(["--json", str(path), "--only", "faces"])
    measured = json.loads(path.read_text())
    assert set(measured) == {"machine", "faces"}
    speeds = {"bare": 4300.0, "predict_batch": 3900.0, "predict_batch, torch": 1500.0}
    batch = {
        "faces_per_second": speeds,
        "share_of_bare": 0.907,
        "limit": {"mflop_a_face": 67.4, "gflops": 290.0, "share": 0.95},
    }
    more = {
        "photo": {
            "pixels": [512, 512],
            "milliseconds": {"decode": 4.0, "detect, YuNet": 10.0, "crop": 0.01, "model, native48": 0.4},
        },
        "batches": {"matmul_gflops": {"numpy": 300.0, "torch": 305.0}, "native48": batch},
        "storages": {"native48": {"int8": {"bytes": 2**20, "milliseconds": 0.25, "faces_per_second": 5000.0}}},
        "startup": {
            "prediction": {"native48": {"import_to_answer": 0.18, "process": 0.4, "torch_loaded": False}},
            "app": {"empty": 2.0, "app": 3.0, "ratio": 1.5},
        },
        "commands": {
            "python -c pass": {"seconds": 0.02, "megabytes": 10.0},
            "emotion-hub --help": {"seconds": 0.06, "megabytes": 15.0, "over": "python -c pass", "ratio": 3.0},
        },
        "page": {"empty": 190_000, "without_examples": 460_000, "demo": 550_000},
        "seeds": {**_seed_figures(), "claims": seeds.claims(_seed_figures())},
    }
    path.write_text(json.dumps({**measured, **more}))
    return path


def test_a_photo_is_measured_stage_by_stage():
    found = stages.photo_stages(["emotion_cnn", "native48"], repeats=1)
    assert found["pixels"] == [512, 512]
    networks = [f"{stage}, {name}" for name in ("emotion_cnn", "native48") for stage in ("preprocess", "model")]
    assert list(found["milliseconds"]) == ["decode", "detect, YuNet", "crop", *networks]
    assert all(ms > 0 for ms in found["milliseconds"].values())


def test_files_of_one_network_are_measured_one_at_a_time(monkeypatch):
    alive = weakref.WeakSet()
    opened = EmotionPredictor.from_onnx

    def watched(path):
        assert not alive, "the earlier figure is kept"
        predictor = opened(path)
        alive.add(predictor)
        return predictor

    monkeypatch.setattr(EmotionPredictor, "from_onnx", watched)
    folder = embedded_checkpoints()["emotion_cnn"]
    paths = {"float16": folder / "model.onnx", "int8": folder / "model_int8.onnx"}
    found = stages.storages(paths, rounds=2)
    assert list(found) == list(paths)
    assert all(row["milliseconds"] > 0 and row["faces_per_second"] > 0 for row in found.values())
    assert found["int8"]["bytes"] < 0.55 * found["float16"]["bytes"]


@pytest.mark.slow
def test_measuring_one_part_keeps_the_others(report, tmp_path):
    before = json.loads(report.read_text())
    after = benchmarks.run.main(["--json", str(report), "--only", "faces"])
    assert {name: part for name, part in after.items() if name not in ("faces", "machine")} == {
        k: v for k, v in before.items() if k not in ("faces", "machine")
    }
    assert after["faces"] != before["faces"]
    assert report.with_name("stages.png").stat().st_size > 5000
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**before, "machine": {**before["machine"], "processor": "another"}}))
    with pytest.raises(InputError, match="was measured on another"):
        benchmarks.run.main(["--json", str(other), "--only", "faces"])


def test_readme_tables_are_written_between_their_marks(report, tmp_path):
    figures = json.loads(report.read_text())
    page = tmp_path / "README.md"
    page.write_text(f"before\n{table.BEGIN}\nearlier figures\n{table.END}\nafter\n")
    table.write_readme(figures, page)
    text = page.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\n")
    assert text.endswith(f"{table.END}\nafter\n")
    assert "earlier" not in text
    total = figures["faces"]["native48"]["onnx"]["total"]
    for words in (
        f"**{total:.2f}**",
        "| `native48` | 3,900 | 91% | 1,500 | 95% of 305 GFLOP/s |",
        "| 29× | 14.5× | no |",
        "`native48` 0.18 s",
        "1.50 times",
    ):
        assert words in text, words
    page.write_text("nothing")
    with pytest.raises(InputError, match="lacks the lines"):
        table.write_readme(figures, page)


def test_readme_agrees_with_the_benchmarks_file():
    committed = ROOT / "benchmarks" / "results" / "run.json"
    text = (ROOT / "README.md").read_text()
    shown = text.split(table.BEGIN)[1].split(table.END)[0].strip()
    assert shown == table.markdown(json.loads(committed.read_text()))


def test_a_command_is_measured_relative_to_its_bare_process(monkeypatch):
    taken = []
    figures = {
        "pass": (0.1, 10.0),
        "import onnxruntime, PIL.Image, numpy": (0.5, 50.0),
        "--help": (0.3, 15.0),
        "models": (0.4, 20.0),
        "predict": (1.0, 160.0),
    }
    monkeypatch.setattr(
        commands_module,
        "run_once",
        lambda arguments: taken.append(arguments) or next(v for k, v in figures.items() if k in arguments),
    )
    rows = commands_module.commands(rounds=3)
    assert len(taken) == 4 * len(rows), "one round to warm up"
    assert rows["emotion-hub --help"] == {
        "seconds": 0.3,
        "megabytes": 15.0,
        "over": "python -c pass",
        "ratio": pytest.approx(3),
    }
    assert rows["emotion-hub predict photo.jpg"]["ratio"] == pytest.approx(2)


def test_run_once_measures_memory_and_raises_on_failure():
    seconds, megabytes = commands_module.run_once(["-c", "x = bytearray(60_000_000)"])
    assert 0 < seconds < 30
    assert 60 < megabytes < 200
    with pytest.raises(RuntimeError, match="ended with status 3"):
        commands_module.run_once(["-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_sizes_count_what_an_extra_adds_to_the_base():
    found = benchmarks.sizes.sizes()
    assert set(found) == {"package", "base", *benchmarks.sizes.PURPOSES}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(benchmarks.sizes.PURPOSES) == set(extras) - {"dev", "yunet", "score"}, (
        "README names every extra but old names"
    )
    assert 10e6 < found["package"] <= 110e6
    assert 50e6 < found["base"] <= 220e6
    assert 0 < found["serve"] <= 300e6 - found["base"]
    assert found["cam"] > found["torch"] > found["explain"] > 0


def test_readmes_sizes_name_every_extra():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = readme.partition("<!-- sizes: written by python -m benchmarks.sizes -->\n")[2].partition(
        "<!-- end of sizes -->"
    )[0]
    for name in benchmarks.sizes.PURPOSES:
        assert f"| extra `{name}` | + " in written
