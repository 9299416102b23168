"""Comparison with Quantus: probes, tolerance, missing package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from emotion_hub.errors import InputError
from emotion_hub.explainers import metrics
from emotion_hub.predictor import EmotionPredictor
from training.studies import quantus_check

#: A module in place of Quantus: the same metrics by their definition, independent of emotion_hub.
STAND_IN = """
import numpy as np, torch
__version__ = "stand-in"
class Sparseness:
    def __init__(self, **_): pass
    def __call__(self, model, x_batch, y_batch, a_batch, device):
        a = np.sort(np.abs(a_batch[0]).ravel()); n = len(a)
        return [ERROR + sum((2 * i - n - 1) * v for i, v in enumerate(a, 1)) / (n * a.sum())]
class PixelFlipping:
    def __init__(self, features_in_step, perturb_func, **_): self.step, self.perturb = features_in_step, perturb_func
    def __call__(self, model, x_batch, y_batch, a_batch, device, softmax):
        order, face, curve = np.argsort(-a_batch[0].ravel()), x_batch.reshape(1, -1), []
        for start in range(0, len(order), self.step):
            face = self.perturb(face, order[None, start : start + self.step])
            logits = model(torch.from_numpy(face.reshape(x_batch.shape)))
            curve.append(float(torch.softmax(logits, 1)[0, y_batch[0]]))
        return [curve]
"""


@pytest.fixture
def predictor() -> EmotionPredictor:
    return EmotionPredictor.from_pretrained("emotion_cnn", backend="torch")


def test_the_maps_have_no_equal_cells(predictor: EmotionPredictor) -> None:
    found = quantus_check.probes(predictor)
    assert len(found) >= 7
    assert all(len(np.unique(heatmap)) > 0.99 * heatmap.size for _, heatmap in found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize(("error", "passes"), [("0", True), ("0.01", False)])
def test_metrics_that_agree_pass_and_others_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, passes: bool
) -> None:
    (tmp_path / "quantus.py").write_text(f"ERROR = {error}\n{STAND_IN}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arguments = ["--python", sys.executable, "--json", str(tmp_path / "result.json")]
    if passes:
        quantus_check.main(arguments)
    else:
        with pytest.raises(SystemExit, match=r"differ from Quantus's by more than 0\.001: {'sparseness'"):
            quantus_check.main(arguments)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["quantus"] == "stand-in"
    assert result["largest_difference"]["deletion"] < 1e-4
    assert result["largest_difference"]["sparseness"] == pytest.approx(float(error), abs=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_python_without_quantus_is_named(predictor: EmotionPredictor) -> None:
    with pytest.raises(
        InputError,
        match=r"could not run Quantus \(pip install quantus\): ModuleNotFoundError: No module named 'quantus'",
    ):
        quantus_check.check(Path(sys.executable), predictor)


def test_other_networks_than_those_for_48_pixels_on_torch_are_refused() -> None:
    with pytest.raises(InputError, match="needs a network for 48-pixel faces on torch"):
        quantus_check.check(Path(sys.executable), EmotionPredictor.from_pretrained("emotion_cnn", backend="onnx"))


def test_steps_are_those_of_our_curve() -> None:
    assert quantus_check.STEP * metrics.STEPS == 48 * 48
