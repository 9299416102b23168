"""Levels of metrics, metrics on request, and the backends that compute them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from emotion_hub.backends import OnnxBackend, TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.explainers import METRICS, explain_face, score_explanation
from emotion_hub.explainers.base import GRID, Subject, part_of
from emotion_hub.explainers.regions import shares
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from tests.explainers.cases import explained, new_predictor, noise_face, predictor_without_torch
from tests.tolerances import MAPS

#: The names of each level's metrics.
OF_MAP = {"sparseness", "regions"}
FAST = OF_MAP | {"deletion", "insertion"}
FULL = FAST | {"stability", "discrimination", "randomisation"}

#: Difference of a probability between torch and ONNX Runtime.
PROBABILITY = 1e-3


class StopError(Exception):
    """Raised by a progress callback to stop."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, list[int]]]:
    """A function that gives the batch sizes per backend since its last call."""
    seen: dict[str, list[int]] = {"onnx": [], "torch": []}

    def spy(backend: type, name: str) -> None:
        original = backend.logits

        def logits(self: object, pixel_values: np.ndarray) -> np.ndarray:
            seen[name].append(len(pixel_values))
            return original(self, pixel_values)

        monkeypatch.setattr(backend, "logits", logits)

    spy(OnnxBackend, "onnx")
    spy(TorchBackend, "torch")

    def taken() -> dict[str, list[int]]:
        taken = {name: list(sizes) for name, sizes in seen.items()}
        for sizes in seen.values():
            sizes.clear()
        return taken

    return taken


@pytest.fixture(scope="module")
def native48() -> EmotionPredictor:
    return embedded_predictor("native48", "onnx")


# levels


def test_the_levels_have_their_metrics():
    predictor = new_predictor()
    expected = {"none": set(), "map": OF_MAP, "fast": FAST, "full": FULL}
    assert tuple(expected) == METRICS
    for metrics, names in expected.items():
        assert set(explained("gradcam", noise_face(), predictor, metrics=metrics).scores) == names, metrics


@pytest.mark.parametrize("name", ["native48", "upscale224"])
def test_the_metrics_of_the_map_alone_run_no_network(name, batches):
    predictor = embedded_predictor(name, "onnx")
    explained("gradcam", noise_face(), predictor)  # loads the network on torch
    batches()
    explanation = explained("gradcam", noise_face(), predictor, metrics="map")
    assert batches() == {"onnx": [1], "torch": []}, "the face is predicted once; Grad-CAM runs a private copy"
    assert explanation.scores["regions"] == shares(explanation.heatmap)


# metrics on request


@pytest.mark.parametrize("case", ["gradcam", "lime", "deep"])
def test_metrics_on_request_are_those_computed_with_the_map(case):
    predictor, face = new_predictor(), noise_face()
    at_once = explained(case, face, predictor, "happy", versus="sad", metrics="fast")
    plain = explained(case, face, predictor, "happy", versus="sad")
    later = score_explanation(plain, predictor)
    assert later.scores == at_once.scores
    assert later.heatmap is plain.heatmap
    assert (later.milliseconds, later.confidence) == (plain.milliseconds, plain.confidence)
    assert set(plain.scores) == {"gradcam": set(), "lime": {"fit"}, "deep": {"additivity"}}[case], "it is unchanged"


@pytest.mark.parametrize("case", ["gradcam", pytest.param("lime", marks=pytest.mark.slow)])
def test_full_metrics_on_request_repeat_the_method_with_its_options(case):
    predictor, face = new_predictor(), noise_face()
    more = {"segments": 8, "samples": 40, "seed": 3} if case == "lime" else {"layer": "features.9"}
    at_once = explained(case, face, predictor, metrics="full", **more)
    later = score_explanation(explained(case, face, predictor, **more), predictor, "full")
    assert later.scores == at_once.scores
    assert set(later.scores) - {"fit"} == FULL


def test_a_level_replaces_the_metrics_and_keeps_the_methods_own():
    predictor = new_predictor()
    explanation = explained("lime", noise_face(), predictor, metrics="fast")
    assert set(score_explanation(explanation, predictor, "map").scores) == OF_MAP | {"fit"}
    assert set(score_explanation(explanation, predictor, "none").scores) == {"fit"}


def test_another_predictor_and_an_unknown_level_are_refused():
    predictor = new_predictor()
    explanation = explained("gradcam", noise_face(), predictor)
    with pytest.raises(InputError, match="this explanation is of emotion_cnn and the predictor is other; pass"):
        score_explanation(explanation, predictor.with_name("other"))
    with pytest.raises(InputError, match="metrics='all'; choose from none, map, fast, full"):
        score_explanation(explanation, predictor, "all")
    with pytest.raises(InputError, match="224x224"):
        score_explanation(explanation, new_predictor("mobilenetv2_224").with_name("emotion_cnn"))


# progress


@pytest.mark.parametrize("metrics", ["fast", "full"])
@pytest.mark.parametrize("case", ["gradcam", "lime"])
def test_progress_rises_to_1_through_the_metrics(case, metrics):
    predictor, seen, later = new_predictor(), [], []
    more = {"segments": 8, "samples": 130} if case == "lime" else {}
    explanation = explained(case, noise_face(), predictor, metrics=metrics, progress=seen.append, **more)
    score_explanation(explanation, predictor, metrics, progress=later.append)
    for values in (seen, later):
        assert len(values) > 1
        assert values == sorted(values)
        assert 0 <= values[0] < 1
        assert values[-1] == pytest.approx(1)
        assert max(values) <= 1


@pytest.mark.parametrize("metrics", ["fast", "full"])
def test_an_exception_in_progress_stops_the_metrics_after_the_batch(metrics, batches, native48):
    explanation = explained("gradcam", noise_face(), native48)
    batches()

    def stop(done: float) -> None:
        raise StopError

    for run in (
        lambda: score_explanation(explanation, native48, metrics, progress=stop),
        lambda: explained("gradcam", noise_face(), native48, metrics=metrics, progress=stop),
    ):
        with pytest.raises(StopError):
            run()
        assert batches()["onnx"] in ([32], [1, 32])


def test_parts_of_the_progress_do_not_pass_their_end():
    seen: list[float] = []
    for number in range(7):
        part_of(seen.append, number / 7, (number + 1) / 7)(1.0)
        seen.append((number + 1) / 7)
    assert seen == sorted(seen)
    assert part_of(None, 0, 1) is None


# backends


def test_only_gradients_run_on_torch(batches, native48):
    """Perturbed faces run in large batches on ONNX Runtime, whose session predicts."""
    face = noise_face()
    explained("gradcam", face, native48)
    explained("deep", face, native48)
    batches()
    explained("gradcam", face, native48, metrics="fast")
    assert batches() == {"onnx": [1, 32, 32], "torch": []}
    explained("lime", face, native48, metrics="fast")
    assert batches() == {"onnx": [1, 32, 32, 32, 32, 22, 32, 32], "torch": []}
    explained("partition", face, native48)
    sizes = batches()
    assert sizes["torch"] == []
    assert 120 <= sum(sizes["onnx"]) <= 200
    explained("deep", face, native48)
    assert batches() == {"onnx": [1], "torch": [1]}
    explained("lime", face, native48, segments=8, samples=20, metrics="full")
    sizes = batches()
    assert sizes["torch"] == [20], "the network with shuffled weights exists on torch alone"
    assert sizes["onnx"].count(20) == 1 + 3 + 1


def test_a_predictor_on_torch_stays_there(batches):
    predictor = embedded_predictor("native48", "torch")
    explained("lime", noise_face(), predictor, metrics="fast")
    assert batches()["onnx"] == []


def test_batches_are_larger_on_onnx_runtime():
    sizes = {
        (name, backend): Subject.of(noise_face(), embedded_predictor(name, backend)).batch_size
        for name in ("native48", "upscale224")
        for backend in ("onnx", "torch")
    }
    assert sizes == {
        ("native48", "onnx"): 32,
        ("native48", "torch"): 32,
        ("upscale224", "onnx"): 16,
        ("upscale224", "torch"): 2,
    }
    assert Subject.of(noise_face(), predictor_without_torch()).batch_size == 32


@pytest.mark.parametrize("name", ["native48", pytest.param("upscale224", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ["gradcam", "lime", "partition"])
def test_both_backends_give_the_same_explanation(case, name, face_image: Image.Image):
    on_onnx, on_torch = (
        explained(case, face_image, embedded_predictor(name, backend), metrics="fast") for backend in ("onnx", "torch")
    )
    assert on_onnx.target == on_torch.target
    assert on_onnx.confidence == pytest.approx(on_torch.confidence, abs=PROBABILITY)
    np.testing.assert_allclose(on_onnx.heatmap, on_torch.heatmap, atol=20 * MAPS)
    assert set(on_onnx.scores) == set(on_torch.scores)
    for metric, value in on_torch.scores.items():
        assert on_onnx.scores[metric] == pytest.approx(value, abs=5 * PROBABILITY), metric


def test_the_label_and_its_probability_are_those_of_the_predictor():
    """Grad-CAM of a predictor in 8 bits runs on torch, which may give another label or probability."""
    predictor = embedded_predictor("native48", "onnx-int8")
    face = noise_face(4)
    prediction = predictor.predict_faces([face])[0]
    explanation = explain_face(face, predictor, "gradcam", metrics="none")
    assert explanation.target == prediction.label
    assert explanation.confidence == pytest.approx(prediction.confidence, abs=1e-6)
    assert explanation.heatmap.shape == (GRID, GRID)
