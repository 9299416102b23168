"""Metrics of maps against values computed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from emotion_hub.backends import TorchBackend
from emotion_hub.explainers import explain_face, metrics
from emotion_hub.explainers.base import GRID, Explanation, Relevance, Subject, on_grid
from emotion_hub.explainers.regions import shares
from emotion_hub.labels import LabelSet
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import PREPROCESSING, Preprocessor

CELLS = GRID * GRID
STEP = CELLS // metrics.STEPS
#: The cells that KnownCellsBackend looks at: 144, two steps of the curves.
KNOWN_CELLS = np.s_[12:24, 20:32]


class KnownCellsBackend:
    """A backend whose probability of the first class is the share of known cells that show the pixels of one face."""

    num_parameters = 0

    def __init__(self, face: np.ndarray, known: np.ndarray) -> None:
        self.face, self.known, self.batches = face, known, []

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixel_values))
        same = (pixel_values == self.face).all(axis=1)
        p = np.clip(same[:, self.known].mean(axis=1), 1e-9, 1 - 1e-9)
        return np.stack([np.log(p), np.log1p(-p)], axis=1)


def noise_image(side: int = GRID, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def known_mask(size: int = GRID) -> np.ndarray:
    """bool, (size, size): the known cells."""
    cells = np.zeros((GRID, GRID), dtype=bool)
    cells[KNOWN_CELLS] = True
    index = np.arange(size) * GRID // size
    return cells[index[:, None], index[None, :]]


def known_cells_subject(preprocessing: str = "native48", versus: str | None = None) -> Subject:
    """A subject whose target has probability 1 for the whole face and 0 for the blurred face."""
    prepare = Preprocessor(preprocessing)
    size = prepare.config.size
    # black and white, so that every pixel differs from its blur
    face = noise_image(size).point(lambda level: 255 * (level > 127))
    prepared = face if prepare.config.channels == 1 else face.convert("RGB")
    pixels = prepare.to_array(prepared)
    predictor = EmotionPredictor(
        KnownCellsBackend(pixels, known_mask(size)), LabelSet("two", ("happy", "sad")), prepare
    )
    return Subject(predictor, prepared, pixels, 0, None if versus is None else 1)


def perfect_map(size: int = GRID) -> np.ndarray:
    """float32: 1 on the known cells, 0 elsewhere."""
    return known_mask(size).astype(np.float32)


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    torch.manual_seed(0)
    classifier = EmotionClassifier("emotion_cnn")
    return EmotionPredictor(
        TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name="emotion_cnn"
    )


@pytest.fixture
def subject(predictor: EmotionPredictor) -> Subject:
    return Subject.of(noise_image(), predictor)


# blurring cells


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_cells_that_are_off_show_the_blurred_face(preprocessing):
    subject = known_cells_subject(preprocessing)
    size = subject.size
    blurred = subject.predictor.preprocessor.to_array(subject.prepared.filter(ImageFilter.GaussianBlur(size / 12)))
    assert np.array_equal(subject.blurred, blurred)
    cells = np.ones((3, GRID, GRID), dtype=bool)
    cells[1] = False
    cells[2, 5, 7] = False
    kept = subject.masked(cells)
    assert (kept.shape, kept.dtype) == ((3, *subject.pixel_values.shape), np.float32)
    assert np.array_equal(kept[0], subject.pixel_values)
    assert np.array_equal(kept[1], blurred)
    rows, columns = (np.flatnonzero(np.arange(size) * GRID // size == cell) for cell in (5, 7))
    expected = subject.pixel_values.copy()
    expected[:, rows[:, None], columns] = blurred[:, rows[:, None], columns]
    assert np.array_equal(kept[2], expected)


def test_probs_and_logits_are_the_targets_or_the_difference_to_versus():
    whole = known_cells_subject().pixel_values[None]
    half = known_cells_subject().masked(np.arange(CELLS).reshape(1, GRID, GRID) // GRID >= 18)
    for versus, expected in ((None, (1.0, 0.5)), ("sad", (1.0, 0.0))):
        subject = known_cells_subject(versus=versus)
        assert subject.probs(np.concatenate([whole, half])) == pytest.approx(expected, abs=1e-6)
        assert subject.logits(half) == pytest.approx([np.log(0.5) if versus is None else 0.0], abs=1e-6)


# deletion and insertion


@pytest.mark.parametrize("preprocessing", ["native48", "upscale224"])
def test_curves_of_the_perfect_map(preprocessing):
    subject = known_cells_subject(preprocessing)
    deletion, insertion = metrics.curves(subject, perfect_map(subject.size))
    rest = metrics.STEPS - 2
    half = pytest.approx(
        0.5, abs=1e-6 if subject.size == GRID else 0.03
    )  # a cell is 4 or 5 pixels wide in the upscaled face
    assert deletion[1] == half
    assert insertion[1] == pytest.approx(1 - deletion[1], abs=1e-6)
    assert np.delete(deletion, 1) == pytest.approx([1, 0] + [0] * rest, abs=1e-6)
    assert np.delete(insertion, 1) == pytest.approx([0, 1] + [1] * rest, abs=1e-6)


def test_areas_of_the_perfect_map_and_of_its_inverse():
    area = metrics.deletion_insertion(known_cells_subject(), perfect_map())
    assert area == {"deletion": pytest.approx(1 / 32, abs=1e-6), "insertion": pytest.approx(31 / 32, abs=1e-6)}
    area = metrics.deletion_insertion(known_cells_subject(), 1 - perfect_map())
    assert area == {"deletion": pytest.approx(31 / 32, abs=1e-6), "insertion": pytest.approx(1 / 32, abs=1e-6)}


def test_areas_of_a_difference_can_be_negative():
    area = metrics.deletion_insertion(known_cells_subject(versus="sad"), perfect_map())
    assert area == {"deletion": pytest.approx(2 / 32 - 1, abs=1e-6), "insertion": pytest.approx(1 - 2 / 32, abs=1e-6)}


def test_fewer_steps_give_the_same_curves():
    deletion, insertion = metrics.curves(known_cells_subject(), perfect_map(), steps=16)
    assert len(deletion) == len(insertion) == 17
    assert metrics.deletion_insertion(known_cells_subject(), perfect_map(), steps=16) == {
        "deletion": pytest.approx(0.5 / 16, abs=1e-6),
        "insertion": pytest.approx(15.5 / 16, abs=1e-6),
    }


def test_metrics_rank_the_perfect_map_then_random_maps_then_the_inverse_map():
    subject = known_cells_subject()
    perfect, inverse = (metrics.deletion_insertion(subject, values) for values in (perfect_map(), 1 - perfect_map()))
    for seed in range(4):
        random = metrics.deletion_insertion(subject, metrics.random_map(subject, seed))
        assert perfect["deletion"] < random["deletion"] - 0.1
        assert random["deletion"] < inverse["deletion"] - 0.02
        assert perfect["insertion"] > random["insertion"] + 0.1
        assert random["insertion"] > inverse["insertion"] + 0.02


def test_cells_of_equal_relevance_are_taken_in_a_fixed_random_order():
    """In row order a constant map would act as a map of the upper half."""
    deletion, insertion = metrics.curves(known_cells_subject(), np.zeros((GRID, GRID), np.float32))
    even = np.linspace(1, 0, metrics.STEPS + 1)
    assert np.abs(deletion - even).max() < 0.12
    assert np.abs(insertion - even[::-1]).max() < 0.12
    assert np.array_equal(deletion, metrics.curves(known_cells_subject(), np.ones((GRID, GRID), np.float32))[0])


def test_batches_of_upscaled_faces_are_small():
    for preprocessing, limit in (("native48", 32), ("upscale224", 2)):
        subject = known_cells_subject(preprocessing)
        metrics.curves(subject, perfect_map(subject.size))
        assert max(subject.predictor.backend.batches) <= limit
        assert sum(subject.predictor.backend.batches) == 2 * (metrics.STEPS + 1) - 2


def test_random_maps_are_smooth_and_seeded(subject):
    values = metrics.random_map(subject)
    assert (values.shape, values.dtype) == ((48, 48), np.float32)
    assert (values.min(), values.max()) == (0, 1)
    assert np.array_equal(values, metrics.random_map(subject))
    assert not np.array_equal(values, metrics.random_map(subject, 1))
    assert np.abs(np.diff(values)).mean() < 0.1
    assert metrics.random_map(known_cells_subject("upscale224")).shape == (224, 224)


# metrics of one map


def one_cell_map() -> np.ndarray:
    values = np.zeros((GRID, GRID), np.float32)
    values[7, 9] = 0.3
    return values


@pytest.mark.parametrize(
    ("heatmap", "expected"),
    [
        (one_cell_map(), 1 - 1 / CELLS),
        (np.full((GRID, GRID), 0.4, np.float32), 0),
        (np.zeros((GRID, GRID), np.float32), 0),
        (np.repeat(np.float32([0, 1]), CELLS // 2).reshape(GRID, GRID), 1 / 2),
        (np.repeat(np.float32([0, 0, 0, 1]), CELLS // 4).reshape(GRID, GRID), 3 / 4),
        (np.repeat(np.float32([1, 3]), CELLS // 2).reshape(GRID, GRID), 1 / 4),
    ],
    ids=["one cell", "even", "empty", "half", "quarter", "one to three"],
)
def test_sparseness_equals_the_gini_index_computed_by_hand(heatmap, expected):
    assert metrics.sparseness(heatmap) == pytest.approx(expected, abs=1e-6)
    assert metrics.sparseness(heatmap * 7) == pytest.approx(expected, abs=1e-6)


def test_maps_of_the_upscaled_face_are_averaged_over_the_grid():
    small = np.random.default_rng(0).random((GRID, GRID), dtype=np.float32)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    np.testing.assert_allclose(on_grid(large), small, atol=1e-6)
    assert on_grid(small).dtype == on_grid(large).dtype == np.float32
    assert metrics.sparseness(large) == pytest.approx(metrics.sparseness(small), abs=1e-5)
    uneven = np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC))
    assert on_grid(uneven).shape == (GRID, GRID)
    assert on_grid(uneven).mean() == pytest.approx(uneven.mean(), abs=1e-3)
    assert metrics.rank_correlation(uneven, small) > 0.95


# metrics of two maps


def test_rank_correlation_of_known_maps():
    values = np.arange(CELLS, dtype=np.float32).reshape(GRID, GRID)
    assert metrics.rank_correlation(values, values) == pytest.approx(1)
    assert metrics.rank_correlation(values, np.exp(values / 500)) == pytest.approx(1)
    assert metrics.rank_correlation(values, -values) == pytest.approx(-1)
    assert metrics.rank_correlation(values, np.roll(values, CELLS // 2)) == pytest.approx(-0.5, abs=1e-3)
    for flat in (np.zeros((GRID, GRID)), np.ones((GRID, GRID))):
        assert metrics.rank_correlation(values, flat) is None
        assert metrics.rank_correlation(flat, values) is None


def test_agreement_is_a_square_table_of_correlations():
    ramp = np.linspace(0, 1, CELLS, dtype=np.float32).reshape(GRID, GRID)
    signed = ramp - 0.5

    def explanation_of(heatmap: np.ndarray, signed: np.ndarray | None = None) -> Explanation:
        return Explanation(heatmap, signed, "lime", "m", "happy", None, 0.5, {}, {}, 1.0, noise_image())

    table = metrics.agreement(
        [
            explanation_of(ramp),
            explanation_of(ramp[::-1, ::-1]),
            explanation_of(np.zeros_like(ramp)),
            explanation_of(np.maximum(signed, 0), signed),
        ]
    )
    assert [row[i] for i, row in enumerate(table)] == [pytest.approx(1), pytest.approx(1), None, pytest.approx(1)]
    assert table[0][1] == table[1][0] == pytest.approx(-1)
    assert table[0][2] is None
    assert 0.9 < table[0][3] < 1, "the positive part of a signed map is compared"
    json.dumps(table, allow_nan=False)


# metrics that run the method again


def image_method(subject: Subject) -> Relevance:
    """A method that returns the image itself, whatever the network and the class."""
    return Relevance(positive=np.asarray(subject.prepared, dtype=np.float32))


def weights_method(subject: Subject) -> Relevance:
    """A method that returns the network's weights, whatever the image."""
    weight = subject.predictor.backend.classifier.network.classifier[1].weight.detach().numpy()
    return Relevance(signed=np.resize(weight, (GRID, GRID)))


def test_randomisation_of_a_method_that_ignores_the_network_is_1_with_a_warning(subject):
    correlation = metrics.randomisation(subject, image_method, image_method(subject))
    assert correlation == pytest.approx(1)
    rows = metrics.describe({"randomisation": correlation})
    assert [row[0] for row in rows] == ["randomisation", "warning"]
    assert rows[0][1] == "1.00"
    assert rows[1][1:] == ("unchanged by shuffled weights", "this map shows the picture, not what the network learnt")


def test_randomisation_of_a_method_that_uses_the_weights_is_near_0(subject):
    correlation = metrics.randomisation(subject, weights_method, weights_method(subject))
    assert abs(correlation) < 0.1
    assert [row[0] for row in metrics.describe({"randomisation": correlation})] == ["randomisation"]


@pytest.mark.parametrize(
    ("value", "warned"), [(metrics.UNCHANGED, True), (metrics.UNCHANGED - 0.01, False), (-1.0, False), (None, False)]
)
def test_the_warning_appears_from_the_limit_upwards(value, warned):
    assert ("warning" in [row[0] for row in metrics.describe({"randomisation": value})]) == warned


def test_stability_of_a_constant_and_of_an_inverting_method(subject):
    assert metrics.stability(subject, image_method, image_method(subject)) == pytest.approx(1)

    def inverted(noisy: Subject) -> Relevance:
        return Relevance(positive=255 - image_method(noisy).positive)

    assert metrics.stability(subject, inverted, image_method(subject)) == pytest.approx(-1)
    assert (
        metrics.stability(subject, lambda noisy: Relevance(positive=np.zeros((GRID, GRID))), image_method(subject))
        is None
    )


def test_stability_uses_other_noise_and_another_seed_in_every_run(subject):
    pixel_values: list[np.ndarray] = []
    seeds: list[int] = []

    def record(noisy: Subject) -> Relevance:
        pixel_values.append(noisy.pixel_values)
        return image_method(noisy)

    metrics.stability(subject, record, image_method(subject))
    assert len(pixel_values) == 3
    assert len({pixels.tobytes() for pixels in [*pixel_values, subject.pixel_values]}) == 4

    def with_seed(seed: int) -> metrics.MethodFunction:
        seeds.append(seed)
        return image_method

    def fail(noisy: Subject) -> Relevance:
        raise AssertionError("the method ran with the caller's seed")

    assert metrics.stability(subject, fail, image_method(subject), runs=4, with_seed=with_seed) == pytest.approx(1)
    assert seeds == [1, 2, 3, 4]


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_noise_is_measured_in_gray_levels_and_equal_in_all_channels(preprocessing):
    subject = known_cells_subject(preprocessing)
    config = subject.predictor.preprocessor.config
    added = (
        (metrics.noisy(subject, 3).pixel_values - subject.pixel_values) * np.float32(config.std)[:, None, None] * 255
    )
    assert added.dtype == np.float32
    assert added.std() == pytest.approx(metrics.NOISE, rel=0.06)
    assert abs(added.mean()) < 0.3
    correlation = np.corrcoef(added.reshape(config.channels, -1)) if config.channels > 1 else np.ones((1, 1))
    assert correlation.min() > 0.999
    assert np.array_equal(metrics.noisy(subject, 3).pixel_values, metrics.noisy(subject, 3).pixel_values)
    assert metrics.noisy(subject, 3).prepared is subject.prepared


def test_a_noisy_subject_has_its_own_logits(subject):
    """The cached logits of the face must not be used for the noisy face."""
    assert subject.face_logits.shape == (7,)
    other = metrics.noisy(subject, 1)
    assert np.array_equal(other.face_logits, subject.predictor.backend.logits(other.pixel_values[None])[0])
    assert not np.array_equal(other.face_logits, subject.face_logits)


def test_discrimination_of_known_methods(subject):
    targets: list[int] = []

    def by_class(asked: Subject) -> Relevance:
        targets.append(asked.target)
        assert asked.versus is None
        values = image_method(asked).positive
        return Relevance(positive=values if asked.target == subject.target else 255 - values)

    assert metrics.discrimination(subject, image_method, image_method(subject)) == pytest.approx(0, abs=1e-9)
    assert metrics.discrimination(subject, by_class, by_class(subject)) == pytest.approx(2)
    runner_up = int(np.argsort(subject.face_logits)[-2])
    assert targets == [subject.target, runner_up]
    assert (
        metrics.discrimination(
            subject, lambda other_class: Relevance(positive=np.ones((GRID, GRID))), image_method(subject)
        )
        is None
    )


def test_both_signs_of_signed_maps_are_compared(subject):
    values = np.asarray(subject.prepared, dtype=np.float32) - 128
    relevance = Relevance(signed=np.where(values < 0, values, 1))
    other = Relevance(signed=np.where(values < 0, -129 - values, 1))
    assert np.array_equal(relevance.heatmap, other.heatmap)
    assert metrics.stability(subject, lambda noisy: relevance, relevance) == pytest.approx(1)
    assert metrics.stability(subject, lambda noisy: other, relevance) < 0.75
    assert metrics.discrimination(subject, lambda other_class: other, relevance) > 0.25
    assert metrics.randomisation(subject, lambda other_class: other, relevance) < 0.75


def test_describe_gives_metrics_in_order_with_their_decimals():
    given = {
        "additivity": 0.0014,
        "fit": 0.5,
        "deletion": 0.123,
        "insertion": 1,
        "stability": None,
        "regions": {"eyes": 1.0},
        "unknown": 3,
    }
    assert [(name, value) for name, value, _ in metrics.describe(given)] == [
        ("deletion", "0.12"),
        ("insertion", "1.00"),
        ("fit", "0.50"),
        ("additivity", "0.001"),
    ]
    assert all(reading for *_, reading in metrics.describe(given))
    assert metrics.describe({}) == []


@pytest.mark.parametrize(
    ("method", "options"),
    [("gradcam", {}), ("lime", {"samples": 110}), ("shap", {"explainer": "gradient", "background": 2, "samples": 20})],
)
def test_full_metrics_are_complete(method, options, predictor):
    explanation = explain_face(noise_image(seed=3), predictor, method, "happy", metrics="full", **options)
    own = {"lime": {"fit"}, "gradcam": set(), "shap": set()}[method]
    assert (
        set(explanation.scores)
        == {"deletion", "insertion", "sparseness", "regions", "stability", "discrimination", "randomisation"} | own
    )
    assert 0 <= explanation.scores["deletion"] <= 1
    assert -1 <= explanation.scores["stability"] <= 1
    assert 0 <= explanation.scores["discrimination"] <= 2
    assert explanation.scores["sparseness"] == pytest.approx(metrics.sparseness(explanation.heatmap))
    assert explanation.scores["regions"] == shares(explanation.heatmap)
    assert {row[0] for row in metrics.describe(explanation.scores)} - {"warning"} == set(explanation.scores) - {
        "regions"
    }
    json.dumps(explanation.to_dict(), allow_nan=False)
    assert explain_face(noise_image(seed=3), predictor, method, "happy", metrics="none", **options).scores.keys() == own


def test_fast_metrics_equal_the_functions(predictor):
    face = noise_image(seed=3)
    explanation = explain_face(face, predictor, "gradcam", "happy", versus="sad")
    subject = Subject.of(face, predictor, "happy", "sad")
    assert {name: explanation.scores[name] for name in ("deletion", "insertion")} == metrics.deletion_insertion(
        subject, explanation.heatmap
    )
    assert explanation.confidence == subject.confidence
