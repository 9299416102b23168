"""Maps of networks whose deciding pixels are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import nn

from emotion_hub.backends import TorchBackend
from emotion_hub.explainers import explain_face
from emotion_hub.explainers.pool import shuffled_predictor
from emotion_hub.explainers.shap_torch import background_faces
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import Preprocessor
from tests.explainers.cases import (
    CASES,
    BlockBrightnessBackend,
    explained,
    new_predictor,
    noise_face,
    predictor_without_torch,
)

# a trained network: the stripes in one of four positions decide the class; the other three show checkerboards
# of the same contrast

PATCH_SIDE = 16
POSITIONS = ((4, 4), (4, 28), (28, 4), (28, 28))
CLASSES = ("happy", "sad")  # vertical stripes, horizontal stripes

#: Margin around the patch, in pixels, in which relevance counts as on it: half a cell of the CAMs' 6 by 6 maps, half
#: of the distance by which a superpixel extends over an edge.
MARGIN = {"gradcam": 4, "gradcam++": 4, "lime": 2, "deep": 0, "gradient": 0, "partition": 0}
OPTIONS = {"lime": {"samples": 300}, "gradient": {"samples": 100}, "partition": {"samples": 300}}


def striped_face(stripe_class: int, position: int, rng: np.random.Generator) -> Image.Image:
    """Mode L, 48x48: stripes of the class in one position, checkerboards in the others, noise everywhere."""
    gray = 128 + rng.normal(0, 8, (48, 48))
    for i, (y, x) in enumerate(POSITIONS):
        phase = (np.arange(PATCH_SIDE) + rng.integers(4)) // 2
        rows, columns = np.meshgrid(phase, phase, indexing="ij")
        pattern = (columns, rows)[stripe_class] if i == position else rows + columns
        gray[y : y + PATCH_SIDE, x : x + PATCH_SIDE] += np.where(pattern % 2, 60, -60)
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def stripe_predictor() -> EmotionPredictor:
    """EmotionCNN trained to tell vertical from horizontal stripes in any position."""
    predictor = new_predictor(labels=CLASSES)
    classifier = predictor.backend.classifier.train()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        stripe_classes = rng.integers(2, size=16)
        faces = predictor.preprocessor.batch(
            [striped_face(stripe_class, rng.integers(4), rng) for stripe_class in stripe_classes]
        )
        loss = nn.functional.cross_entropy(classifier(torch.from_numpy(faces)), torch.from_numpy(stripe_classes))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    classifier.eval()
    return predictor


def share_at(heatmap: np.ndarray, position: int, margin: int) -> float:
    """The share of the map's relevance in a position's patch and `margin` pixels around it."""
    y, x = POSITIONS[position]
    inside = heatmap[max(0, y - margin) : y + PATCH_SIDE + margin, max(0, x - margin) : x + PATCH_SIDE + margin]
    return float(inside.sum() / heatmap.sum()) if heatmap.any() else 0.0


def maps_by_position(
    case: str, predictor: EmotionPredictor, positions: Sequence[int] = range(4), *, other: bool = False
) -> dict[int, np.ndarray]:
    """{position of the stripes: the map of a face with them}, for their class, or with `other` for the other class."""
    rng = np.random.default_rng(5)
    faces = [striped_face(position % 2, position, rng) for position in range(4)]
    return {
        position: explained(
            case, faces[position], predictor, CLASSES[(position + other) % 2], **OPTIONS.get(case, {})
        ).heatmap
        for position in positions
    }


def mean_share_on_patch(case: str, maps: dict[int, np.ndarray]) -> float:
    return float(np.mean([share_at(heatmap, position, MARGIN[case]) for position, heatmap in maps.items()]))


def test_the_stripe_network_classifies_new_faces(stripe_predictor):
    rng = np.random.default_rng(9)
    stripe_classes = rng.integers(2, size=64)
    faces = stripe_predictor.preprocessor.batch(
        [striped_face(stripe_class, rng.integers(4), rng) for stripe_class in stripe_classes]
    )
    assert (stripe_predictor.backend.logits(faces).argmax(axis=1) == stripe_classes).mean() >= 0.95


@pytest.mark.parametrize("case", CASES)
def test_half_of_the_relevance_is_on_the_deciding_patch(case, stripe_predictor):
    maps = maps_by_position(case, stripe_predictor)
    assert mean_share_on_patch(case, maps) >= 0.5
    for position, heatmap in maps.items():
        shares = [share_at(heatmap, other, MARGIN[case]) for other in range(4)]
        assert int(np.argmax(shares)) == position, shares


@pytest.mark.parametrize("case", CASES)
def test_with_shuffled_weights_the_relevance_is_not_on_the_patch(case, stripe_predictor):
    """The image alone must not satisfy the test above."""
    maps = maps_by_position(case, shuffled_predictor(stripe_predictor), (1, 2))
    assert any(heatmap.any() for heatmap in maps.values())
    assert mean_share_on_patch(case, maps) < 0.5


@pytest.mark.parametrize("case", CASES)
def test_the_patch_has_no_relevance_for_the_other_class(case, stripe_predictor):
    assert mean_share_on_patch(case, maps_by_position(case, stripe_predictor, (1, 2), other=True)) < 0.5


# networks whose contributions can be computed by hand


class LinearClassifier(nn.Module):
    """A classifier whose logits are weighted sums of the pixels."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, classes))
        self.num_parameters = sum(p.numel() for p in self.parameters())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.network(pixel_values)


@pytest.fixture
def linear_predictor() -> EmotionPredictor:
    return EmotionPredictor(
        TorchBackend(LinearClassifier(), "cpu"), LabelSet("three", ("happy", "sad", "fear")), Preprocessor("native48")
    )


def weights_of(predictor: EmotionPredictor, target: int) -> np.ndarray:
    """float64, (48, 48)."""
    return predictor.backend.classifier.network[1].weight.detach().numpy()[target].reshape(48, 48).astype(np.float64)


def test_shap_of_a_linear_network_is_weight_times_difference_to_the_background(linear_predictor):
    face, prepare = noise_face(), linear_predictor.preprocessor
    x, faces = prepare(face)[0], prepare.batch(background_faces(4))[:, 0]
    deep = explained("deep", face, linear_predictor, "sad")
    np.testing.assert_allclose(deep.signed, weights_of(linear_predictor, 1) * (x - faces.mean(axis=0)), atol=1e-6)
    gradient = explained("gradient", face, linear_predictor, "sad", background=1)
    np.testing.assert_allclose(gradient.signed, weights_of(linear_predictor, 1) * (x - faces[0]), atol=1e-6)


def test_partition_of_a_linear_network_gives_each_half_its_contribution(linear_predictor):
    face, prepare = noise_face(), linear_predictor.preprocessor
    blurred = prepare.to_array(face.filter(ImageFilter.GaussianBlur(4)))[0]
    expected = weights_of(linear_predictor, 2) * (prepare(face)[0] - blurred)
    signed = explained("partition", face, linear_predictor, "fear").signed
    for half in (np.s_[:, :24], np.s_[:, 24:], np.s_[:24], np.s_[24:]):
        assert signed[half].sum() == pytest.approx(expected[half].sum(), abs=1e-4)
    assert abs(expected[:, :24].sum() - expected[:, 24:].sum()) > 1e-2


@pytest.mark.parametrize("case", ["lime", "partition", "auto"])
def test_a_backend_without_torch_is_explained_by_its_logits(case, bright_block_face):
    method, options = {
        "lime": CASES["lime"],
        "partition": ("shap", {"explainer": "partition", "samples": 300}),
        "auto": ("shap", {}),
    }[case]
    explanation = explain_face(bright_block_face, predictor_without_torch(), method, "happy", metrics="fast", **options)
    near = explanation.heatmap[28:44, 6:22].sum() / explanation.heatmap.sum()
    assert near >= 0.5
    if case == "auto":
        assert explanation.parameters["explainer"] == "partition"
    assert explanation.scores["deletion"] < explanation.scores["insertion"]
    other = explain_face(
        bright_block_face,
        predictor_without_torch(BlockBrightnessBackend(np.s_[8:20, 30:42])),
        method,
        "happy",
        metrics="none",
        **options,
    )
    assert other.heatmap[6:22, 28:44].sum() / other.heatmap.sum() >= 0.5


def test_the_upscaled_face_is_masked_by_the_same_cells(bright_block_face):
    side = 224
    inside = tuple(slice(part.start * side // 48, part.stop * side // 48) for part in np.s_[30:42, 8:20])
    large = predictor_without_torch(BlockBrightnessBackend(inside), "upscale224")
    for case in ("lime", "partition"):
        explanation = explained(case, bright_block_face, large, "happy", samples=300)
        assert explanation.heatmap.shape == (224, 224)
        rows, columns = (slice(part.start - 10, part.stop + 10) for part in inside)
        assert explanation.heatmap[rows, columns].sum() / explanation.heatmap.sum() >= 0.5, case
    pixels = np.stack([blurred(large, bright_block_face), large.preprocessor(bright_block_face)])
    blurred_logit, face_logit = large.backend.logits(pixels)[:, 0]
    contributions = explained("partition", bright_block_face, large, "happy").signed
    assert contributions.sum() == pytest.approx(float(face_logit - blurred_logit), abs=1e-3)


def blurred(predictor: EmotionPredictor, face: Image.Image) -> np.ndarray:
    prepared = predictor.preprocessor.prepare(face)
    return predictor.preprocessor.to_array(prepared.filter(ImageFilter.GaussianBlur(prepared.width / 12)))
