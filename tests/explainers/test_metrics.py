"""Scores of explanations against values worked out by hand, and the regions of a face."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from emotion_hub.backends import TorchBackend
from emotion_hub.explainers import explain_face, metrics
from emotion_hub.explainers.base import GRID, Explanation, Relevance, Subject, on_grid
from emotion_hub.explainers.regions import LANDMARKS_FILE, REGIONS, areas, region_masks, shares
from emotion_hub.labels import LabelSet
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import PREPROCESSING, Preprocessor

CELLS = GRID * GRID
STEP = CELLS // metrics.STEPS
#: 144 cells, two steps of the curves.
KNOWN = np.s_[12:24, 20:32]


class Remembers:
    """A network whose probability of the first class is the share of the known cells that still show the face it knows."""

    num_parameters = 0

    def __init__(self, face: np.ndarray, known: np.ndarray) -> None:
        self.face, self.known, self.batches = face, known, []

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixel_values))
        same = (pixel_values == self.face).all(axis=1)
        p = np.clip(same[:, self.known].mean(axis=1), 1e-9, 1 - 1e-9)
        return np.stack([np.log(p), np.log1p(-p)], axis=1)


def noise(side: int = GRID, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def mask(size: int = GRID) -> np.ndarray:
    cells = np.zeros((GRID, GRID), dtype=bool)
    cells[KNOWN] = True
    index = np.arange(size) * GRID // size
    return cells[index[:, None], index[None, :]]


def remembering(preprocessing: str = "native48", versus: str | None = None) -> Subject:
    """A subject whose probability is 1 for the whole face and 0 for the blurred one."""
    prepare = Preprocessor(preprocessing)
    size = prepare.config.size
    face = noise(size).point(lambda level: 255 * (level > 127))  # black and white: no pixel is what its blur is
    prepared = face if prepare.config.channels == 1 else face.convert("RGB")
    pixels = prepare.to_array(prepared)
    predictor = EmotionPredictor(Remembers(pixels, mask(size)), LabelSet("two", ("happy", "sad")), prepare)
    return Subject(predictor, prepared, pixels, 0, None if versus is None else 1)


def perfect(size: int = GRID) -> np.ndarray:
    return mask(size).astype(np.float32)


@pytest.fixture(scope="module")
def predictor() -> EmotionPredictor:
    torch.manual_seed(0)
    classifier = EmotionClassifier("emotion_cnn")
    return EmotionPredictor(
        TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name="emotion_cnn"
    )


@pytest.fixture
def subject(predictor: EmotionPredictor) -> Subject:
    return Subject.of(noise(), predictor)


# taking pixels away


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_cells_that_are_off_show_the_blurred_face(preprocessing):
    subject = remembering(preprocessing)
    size = subject.size
    blurred = subject.predictor.preprocessor.to_array(subject.prepared.filter(ImageFilter.GaussianBlur(size / 12)))
    assert np.array_equal(subject.blurred, blurred)
    cells = np.ones((3, GRID, GRID), dtype=bool)
    cells[1] = False
    cells[2, 5, 7] = False
    kept = subject.keep(cells)
    assert (kept.shape, kept.dtype) == ((3, *subject.pixel_values.shape), np.float32)
    assert np.array_equal(kept[0], subject.pixel_values)
    assert np.array_equal(kept[1], blurred)
    rows, columns = (np.flatnonzero(np.arange(size) * GRID // size == cell) for cell in (5, 7))
    expected = subject.pixel_values.copy()
    expected[:, rows[:, None], columns] = blurred[:, rows[:, None], columns]
    assert np.array_equal(kept[2], expected)


def test_the_quantity_is_the_targets_or_the_difference():
    whole = remembering().pixel_values[None]
    half = remembering().keep(np.arange(CELLS).reshape(1, GRID, GRID) // GRID >= 18)
    for versus, expected in ((None, (1.0, 0.5)), ("sad", (1.0, 0.0))):
        subject = remembering(versus=versus)
        assert subject.probs(np.concatenate([whole, half])) == pytest.approx(expected, abs=1e-6)
        assert subject.logits(half) == pytest.approx([np.log(0.5) if versus is None else 0.0], abs=1e-6)


# deletion and insertion


@pytest.mark.parametrize("preprocessing", ["native48", "upscale224"])
def test_curves_of_the_perfect_map(preprocessing):
    subject = remembering(preprocessing)
    deletion, insertion = metrics.curves(subject, perfect(subject.size))
    rest = metrics.STEPS - 2
    half = pytest.approx(
        0.5, abs=1e-6 if subject.size == GRID else 0.03
    )  # a native cell is 4 or 5 of the upscale's pixels a side
    assert deletion[1] == half
    assert insertion[1] == pytest.approx(1 - deletion[1], abs=1e-6)
    assert np.delete(deletion, 1) == pytest.approx([1, 0] + [0] * rest, abs=1e-6)
    assert np.delete(insertion, 1) == pytest.approx([0, 1] + [1] * rest, abs=1e-6)


def test_areas_of_the_perfect_map_and_of_its_opposite():
    area = metrics.deletion_insertion(remembering(), perfect())
    assert area == {"deletion": pytest.approx(1 / 32, abs=1e-6), "insertion": pytest.approx(31 / 32, abs=1e-6)}
    area = metrics.deletion_insertion(remembering(), 1 - perfect())
    assert area == {"deletion": pytest.approx(31 / 32, abs=1e-6), "insertion": pytest.approx(1 / 32, abs=1e-6)}


def test_areas_of_a_difference_reach_below_zero():
    area = metrics.deletion_insertion(remembering(versus="sad"), perfect())
    assert area == {"deletion": pytest.approx(2 / 32 - 1, abs=1e-6), "insertion": pytest.approx(1 - 2 / 32, abs=1e-6)}


def test_other_steps_measure_the_same():
    deletion, insertion = metrics.curves(remembering(), perfect(), steps=16)
    assert len(deletion) == len(insertion) == 17
    assert metrics.deletion_insertion(remembering(), perfect(), steps=16) == {
        "deletion": pytest.approx(0.5 / 16, abs=1e-6),
        "insertion": pytest.approx(15.5 / 16, abs=1e-6),
    }


def test_the_perfect_map_beats_noise_and_noise_its_opposite():
    subject = remembering()
    best, worst = (metrics.deletion_insertion(subject, values) for values in (perfect(), 1 - perfect()))
    for seed in range(4):
        chance = metrics.deletion_insertion(subject, metrics.random_map(subject, seed))
        assert best["deletion"] < chance["deletion"] - 0.1
        assert chance["deletion"] < worst["deletion"] - 0.02
        assert best["insertion"] > chance["insertion"] + 0.1
        assert chance["insertion"] > worst["insertion"] + 0.02


def test_cells_of_equal_relevance_are_taken_evenly_and_always_the_same():
    """Row by row a flat map would be a map of the upper half."""
    deletion, insertion = metrics.curves(remembering(), np.zeros((GRID, GRID), np.float32))
    even = np.linspace(1, 0, metrics.STEPS + 1)
    assert np.abs(deletion - even).max() < 0.12
    assert np.abs(insertion - even[::-1]).max() < 0.12
    assert np.array_equal(deletion, metrics.curves(remembering(), np.ones((GRID, GRID), np.float32))[0])


def test_few_pictures_of_the_upscale_go_through_the_network_at_once():
    for preprocessing, most in (("native48", 64), ("upscale224", 2)):
        subject = remembering(preprocessing)
        metrics.curves(subject, perfect(subject.size))
        assert max(subject.predictor.backend.batches) <= most
        assert sum(subject.predictor.backend.batches) == 2 * (metrics.STEPS + 1) - 2


def test_noise_for_comparison_is_smooth_and_seeded(subject):
    values = metrics.random_map(subject)
    assert (values.shape, values.dtype) == ((48, 48), np.float32)
    assert (values.min(), values.max()) == (0, 1)
    assert np.array_equal(values, metrics.random_map(subject))
    assert not np.array_equal(values, metrics.random_map(subject, 1))
    assert np.abs(np.diff(values)).mean() < 0.1
    assert metrics.random_map(remembering("upscale224")).shape == (224, 224)


# one map


def _one_cell() -> np.ndarray:
    values = np.zeros((GRID, GRID), np.float32)
    values[7, 9] = 0.3
    return values


@pytest.mark.parametrize(
    ("heatmap", "expected"),
    [
        (_one_cell(), 1 - 1 / CELLS),
        (np.full((GRID, GRID), 0.4, np.float32), 0),
        (np.zeros((GRID, GRID), np.float32), 0),
        (np.repeat(np.float32([0, 1]), CELLS // 2).reshape(GRID, GRID), 1 / 2),
        (np.repeat(np.float32([0, 0, 0, 1]), CELLS // 4).reshape(GRID, GRID), 3 / 4),
        (np.repeat(np.float32([1, 3]), CELLS // 2).reshape(GRID, GRID), 1 / 4),
    ],
    ids=["one cell", "even", "empty", "half", "quarter", "one to three"],
)
def test_sparseness_by_hand(heatmap, expected):
    assert metrics.sparseness(heatmap) == pytest.approx(expected, abs=1e-6)
    assert metrics.sparseness(heatmap * 7) == pytest.approx(expected, abs=1e-6)


def test_a_map_on_the_upscale_is_measured_on_the_native_cells():
    small = np.random.default_rng(0).random((GRID, GRID), dtype=np.float32)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    np.testing.assert_allclose(on_grid(large), small, atol=1e-6)
    assert on_grid(small).dtype == on_grid(large).dtype == np.float32
    assert metrics.sparseness(large) == pytest.approx(metrics.sparseness(small), abs=1e-5)
    uneven = np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC))
    assert on_grid(uneven).shape == (GRID, GRID)
    assert on_grid(uneven).mean() == pytest.approx(uneven.mean(), abs=1e-3)
    assert metrics.rank_correlation(uneven, small) > 0.95


# two maps


def test_rank_correlation_by_hand():
    values = np.arange(CELLS, dtype=np.float32).reshape(GRID, GRID)
    assert metrics.rank_correlation(values, values) == pytest.approx(1)
    assert metrics.rank_correlation(values, np.exp(values / 500)) == pytest.approx(1)
    assert metrics.rank_correlation(values, -values) == pytest.approx(-1)
    assert metrics.rank_correlation(values, np.roll(values, CELLS // 2)) == pytest.approx(-0.5, abs=1e-3)
    for flat in (np.zeros((GRID, GRID)), np.ones((GRID, GRID))):
        assert metrics.rank_correlation(values, flat) is None
        assert metrics.rank_correlation(flat, values) is None


def test_agreement_is_a_square_table():
    ramp = np.linspace(0, 1, CELLS, dtype=np.float32).reshape(GRID, GRID)
    signed = ramp - 0.5

    def made(heatmap: np.ndarray, signed: np.ndarray | None = None) -> Explanation:
        return Explanation(heatmap, signed, "lime", "m", "happy", None, 0.5, {}, {}, 1.0, noise())

    table = metrics.agreement(
        [made(ramp), made(ramp[::-1, ::-1]), made(np.zeros_like(ramp)), made(np.maximum(signed, 0), signed)]
    )
    assert [row[i] for i, row in enumerate(table)] == [pytest.approx(1), pytest.approx(1), None, pytest.approx(1)]
    assert table[0][1] == table[1][0] == pytest.approx(-1)
    assert table[0][2] is None
    assert 0.9 < table[0][3] < 1, "of a signed map the part for the class is compared"
    json.dumps(table, allow_nan=False)


# a method


Method = Callable[[Subject], Relevance]


def picture(subject: Subject) -> Relevance:
    """A method that shows the picture, whatever the network is and whatever it is asked."""
    return Relevance(positive=np.asarray(subject.prepared, dtype=np.float32))


def first_weights(subject: Subject) -> Relevance:
    """A method that shows the network, whatever the picture is."""
    weight = subject.predictor.backend.classifier.network.classifier[1].weight.detach().numpy()
    return Relevance(signed=np.resize(weight, (GRID, GRID)))


def test_a_method_that_ignores_the_network_is_unchanged_by_shuffled_weights(subject):
    found = metrics.randomisation(subject, picture, picture(subject))
    assert found == pytest.approx(1)
    rows = metrics.describe({"randomisation": found})
    assert [row[0] for row in rows] == ["randomisation", "warning"]
    assert rows[0][1] == "1.00"
    assert rows[1][1:] == ("unchanged by shuffled weights", "this map shows the picture, not what the network learnt")


def test_a_method_that_reads_the_weights_is_changed_by_shuffling_them(subject):
    found = metrics.randomisation(subject, first_weights, first_weights(subject))
    assert abs(found) < 0.1
    assert [row[0] for row in metrics.describe({"randomisation": found})] == ["randomisation"]


@pytest.mark.parametrize(
    ("value", "warned"), [(metrics.UNCHANGED, True), (metrics.UNCHANGED - 0.01, False), (-1.0, False), (None, False)]
)
def test_the_warning_begins_at_its_limit(value, warned):
    assert ("warning" in [row[0] for row in metrics.describe({"randomisation": value})]) == warned


def test_a_steady_method_is_stable_and_one_that_flips_is_not(subject):
    assert metrics.stability(subject, picture, picture(subject)) == pytest.approx(1)

    def flips(noisy: Subject) -> Relevance:
        return Relevance(positive=255 - picture(noisy).positive)

    assert metrics.stability(subject, flips, picture(subject)) == pytest.approx(-1)
    assert (
        metrics.stability(subject, lambda noisy: Relevance(positive=np.zeros((GRID, GRID))), picture(subject)) is None
    )


def test_stability_asks_about_other_noise_each_time_and_gives_the_method_other_seeds(subject):
    seen: list[np.ndarray] = []
    seeds: list[int] = []

    def watch(noisy: Subject) -> Relevance:
        seen.append(noisy.pixel_values)
        return picture(noisy)

    metrics.stability(subject, watch, picture(subject))
    assert len(seen) == 3
    assert len({pixels.tobytes() for pixels in [*seen, subject.pixel_values]}) == 4

    def again(seed: int) -> Method:
        seeds.append(seed)
        return picture

    def never(noisy: Subject) -> Relevance:
        raise AssertionError("the run with the caller's seed")

    assert metrics.stability(subject, never, picture(subject), runs=4, again=again) == pytest.approx(1)
    assert seeds == [1, 2, 3, 4]


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_the_noise_has_its_size_in_gray_levels_and_is_one_for_all_channels(preprocessing):
    subject = remembering(preprocessing)
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


def test_noise_is_asked_of_the_network_anew(subject):
    """What the network said of the face must not stand for what it says of the noisy one."""
    assert subject.answer.shape == (7,)
    other = metrics.noisy(subject, 1)
    assert np.array_equal(other.answer, subject.predictor.backend.logits(other.pixel_values[None])[0])
    assert not np.array_equal(other.answer, subject.answer)


def test_discrimination_by_hand(subject):
    asked: list[int] = []

    def by_class(question: Subject) -> Relevance:
        asked.append(question.target)
        assert question.versus is None
        values = picture(question).positive
        return Relevance(positive=values if question.target == subject.target else 255 - values)

    assert metrics.discrimination(subject, picture, picture(subject)) == pytest.approx(0, abs=1e-9)
    assert metrics.discrimination(subject, by_class, by_class(subject)) == pytest.approx(2)
    runner_up = int(np.argsort(subject.answer)[-2])
    assert asked == [subject.target, runner_up]
    assert (
        metrics.discrimination(subject, lambda question: Relevance(positive=np.ones((GRID, GRID))), picture(subject))
        is None
    )


def test_of_a_signed_map_both_signs_are_compared(subject):
    values = np.asarray(subject.prepared, dtype=np.float32) - 128
    found = Relevance(signed=np.where(values < 0, values, 1))
    other = Relevance(signed=np.where(values < 0, -129 - values, 1))
    assert np.array_equal(found.heatmap, other.heatmap)
    assert metrics.stability(subject, lambda noisy: found, found) == pytest.approx(1)
    assert metrics.stability(subject, lambda noisy: other, found) < 0.75
    assert metrics.discrimination(subject, lambda question: other, found) > 0.25
    assert metrics.randomisation(subject, lambda question: other, found) < 0.75


def test_scores_are_described_in_order_with_their_digits():
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
def test_full_scoring_measures_everything(method, options, predictor):
    found = explain_face(noise(seed=3), predictor, method, "happy", metrics="full", **options)
    own = {"lime": {"fit"}, "gradcam": set(), "shap": set()}[method]
    assert (
        set(found.scores)
        == {"deletion", "insertion", "sparseness", "regions", "stability", "discrimination", "randomisation"} | own
    )
    assert 0 <= found.scores["deletion"] <= 1
    assert -1 <= found.scores["stability"] <= 1
    assert 0 <= found.scores["discrimination"] <= 2
    assert found.scores["sparseness"] == pytest.approx(metrics.sparseness(found.heatmap))
    assert found.scores["regions"] == shares(found.heatmap)
    assert {row[0] for row in metrics.describe(found.scores)} - {"warning"} == set(found.scores) - {"regions"}
    json.dumps(found.to_dict(), allow_nan=False)
    assert explain_face(noise(seed=3), predictor, method, "happy", metrics="none", **options).scores.keys() == own


def test_fast_scoring_is_what_the_functions_say(predictor):
    face = noise(seed=3)
    found = explain_face(face, predictor, "gradcam", "happy", versus="sad")
    subject = Subject.of(face, predictor, "happy", "sad")
    assert {name: found.scores[name] for name in ("deletion", "insertion")} == metrics.deletion_insertion(
        subject, found.heatmap
    )
    assert found.confidence == subject.confidence


# regions


def test_every_cell_is_in_exactly_one_region():
    masks = region_masks()
    assert tuple(masks) == REGIONS
    assert all(mask.shape == (GRID, GRID) and mask.dtype == bool and mask.any() for mask in masks.values())
    assert np.array_equal(sum(mask.astype(int) for mask in masks.values()), np.ones((GRID, GRID), int))


def test_areas_and_shares_sum_to_one():
    assert tuple(areas()) == REGIONS
    assert sum(areas().values()) == pytest.approx(1)
    even = shares(np.ones((GRID, GRID), np.float32))
    assert even == pytest.approx(areas())
    for size in (48, 224):
        assert sum(shares(np.random.default_rng(0).random((size, size), dtype=np.float32)).values()) == pytest.approx(1)
    assert set(shares(np.zeros((GRID, GRID), np.float32)).values()) == {0.0}


@pytest.mark.parametrize("region", REGIONS)
def test_a_map_of_one_region_is_all_its_own(region):
    own = region_masks()[region]
    found = shares(own.astype(np.float32))
    assert found[region] == pytest.approx(1)
    assert sum(found.values()) == pytest.approx(1)
    signed = np.where(own, np.float32(1), np.float32(-5))
    assert shares(signed)[region] == pytest.approx(1), "only what speaks for the class is counted"
    large = own[np.arange(224) * GRID // 224][:, np.arange(224) * GRID // 224].astype(np.float32)
    assert shares(large)[region] > 0.85


def test_the_regions_are_those_of_a_face():
    known = json.loads(LANDMARKS_FILE.read_text())
    left_eye, right_eye, nose, left_mouth, right_mouth = points = np.array(known["mean"])
    assert points.shape == np.array(known["sd"]).shape == (5, 2)
    assert ((points > 0) & (points < GRID)).all()
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    middles = [(left_eye + right_eye)[0] / 2, nose[0], (left_mouth + right_mouth)[0] / 2]
    assert all(abs(middle - GRID / 2) < 1.5 for middle in middles)
    assert abs(left_eye[1] - right_eye[1]) < 1
    assert abs(left_mouth[1] - right_mouth[1]) < 1
    masks = region_masks()
    for name, (x, y) in zip(("eyes", "eyes", "nose", "mouth", "mouth"), points, strict=True):
        assert masks[name][int(y), int(x)], name
    assert masks["brows"][int(left_eye[1]) - 5, int(left_eye[0])]
    assert masks["face"][40:, 20:28].any()
    assert masks["background"][:2, :2].all()
    assert masks["background"][-2:, -2:].all()
    for name, mask in masks.items():
        overlap = (mask & mask[:, ::-1]).sum() / mask.sum()
        assert overlap > 0.75, f"{name} is not alike on both sides"
