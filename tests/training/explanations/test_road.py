"""ROAD: agreement with pytorch-grad-cam, known maps, equal shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_grad_cam.metrics.road import ROADCombined

from emotion_hub.examples import example_path
from emotion_hub.explainers import explain_face, metrics
from emotion_hub.explainers.base import GRID, Subject
from emotion_hub.images import load_image
from emotion_hub.predictor import EmotionPredictor
from tests.explainers.cases import network_of, new_predictor, noise_face
from training.explanations import road as module
from training.explanations.road import SHARES, road


class _Brightness:
    """A backend whose first logit is the mean of the upper left quarter of the face."""

    classifier = None

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        side = pixels.shape[-1] // 2
        first = 4 * pixels[:, :, :side, :side].mean(axis=(1, 2, 3))
        return np.stack([first, *[np.zeros_like(first)] * 6], axis=1).astype(np.float32)


@pytest.fixture
def subject() -> Subject:
    """A face whose upper left quarter alone is bright, and a network that reads this quarter."""
    gray = np.full((GRID, GRID), 20, dtype=np.uint8)
    gray[4:20, 4:20] = 250
    predictor = new_predictor()
    predictor.backend = _Brightness()
    return Subject.of(Image.fromarray(gray), predictor, "angry")


def _map(rows: slice, columns: slice) -> np.ndarray:
    heatmap = np.zeros((GRID, GRID), dtype=np.float32)
    heatmap[rows, columns] = 1
    return heatmap


def test_the_map_of_what_the_network_reads_scores_higher_than_others(subject: Subject) -> None:
    right = road(subject, _map(slice(4, 20), slice(4, 20)))
    wrong = road(subject, _map(slice(28, 44), slice(28, 44)))
    random = np.mean([road(subject, metrics.random_map(subject, seed)) for seed in range(4)])
    assert right > 0.1
    assert max(random, wrong) < right / 2


def test_a_map_and_its_opposite_have_opposite_scores(subject: Subject) -> None:
    heatmap = np.random.default_rng(0).random((GRID, GRID)).astype(np.float32)
    assert road(subject, heatmap) == pytest.approx(-road(subject, -heatmap), abs=0.01)


def test_the_score_is_that_of_pytorch_grad_cam() -> None:
    predictor = EmotionPredictor.from_pretrained("emotion_cnn", backend="torch")
    face = load_image(example_path("astronaut")).crop((130, 20, 330, 220))
    subject = Subject.of(face, predictor)
    heatmap = explain_face(face, predictor, "gradcam++", metrics="none").heatmap
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = ROADCombined([10, 20, 30, 40, 50, 60, 70, 80, 90])(
            torch.from_numpy(subject.pixel_values[None]),
            heatmap[None],
            [lambda logits: logits.softmax(-1)[subject.target]],
            network_of(predictor).eval(),
        )
    assert expected[0] > 0.2, "without an effect this test could not fail"
    assert road(subject, heatmap) == pytest.approx(float(expected[0]), abs=0.03), (
        "its thresholds treat equal cells otherwise"
    )


def test_each_share_removes_its_number_of_cells_also_where_most_are_equal(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[int] = []

    class Imputer:
        def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            removed.append(int((mask == 0).sum()))
            return image

    monkeypatch.setattr(module, "NoisyLinearImputer", Imputer)
    road(subject, _map(slice(0, 1), slice(0, 1)))
    assert removed == [round(share * GRID * GRID) for share in SHARES] * 2


def test_the_same_seed_gives_the_same_score_and_the_callers_random_state_is_kept() -> None:
    subject = Subject.of(noise_face(), new_predictor("mobilenetv1_224"), "happy")
    heatmap = np.ones((224, 224), dtype=np.float32)
    state = torch.random.get_rng_state()
    first = road(subject, heatmap)
    assert torch.equal(state, torch.random.get_rng_state())
    assert road(subject, heatmap) == first
