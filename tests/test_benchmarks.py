"""The benchmarks run and say what they measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import benchmarks.explain
import benchmarks.feeding
from training.dataset import PlaneDataset

ROOT = Path(__file__).resolve().parents[1]


def test_feeding_compares_real_batches_with_ready_ones(tmp_path, monkeypatch):
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
def test_a_cam_costs_at_most_four_forward_passes_and_threads_change_no_map(tmp_path):
    result = benchmarks.explain.main(["--repeats", "2", "--json", str(tmp_path / "costs.json")])
    assert json.loads((tmp_path / "costs.json").read_text()) == result
    for name, row in result["checkpoints"].items():
        assert set(row["methods"]) == {"gradcam", "gradcam++", "lime", "shap"}
        assert row["methods"]["gradcam"]["forward_passes"] <= 4, name
    assert result["sheet_seconds"] < 60
    assert all(all(agreed.values()) for agreed in result["threads"].values())
