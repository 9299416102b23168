"""Figures by group: intervals and permutation tests computed by hand, Holm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test

from emotion_hub.errors import InputError
from training.evaluation.group_tests import gap_tests, holm, wilson
from training.evaluation.groups import MISSING, MOST_VALUES, group_columns, group_values

#: Four images of label 0, of which A's two are right and B's two are wrong, and two images of label 1, both right.
LABELS = np.array([0, 0, 0, 0, 1, 1])
PREDICTIONS = np.array([0, 0, 1, 1, 1, 1])
GROUPS = np.array([0, 0, 1, 1, 0, 1])


# computed by hand


def test_wilsons_interval_of_8_of_10() -> None:
    z = 1.959964  # (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    middle, half = 0.8 + z**2 / 20, z * (0.8 * 0.2 / 10 + z**2 / 400) ** 0.5
    assert wilson(8, 10) == pytest.approx([(middle - half) / (1 + z**2 / 10), (middle + half) / (1 + z**2 / 10)])
    assert wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=5e-5)
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_holm_multiplies_the_smallest_p_value_most() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


def test_the_gap_of_six_images() -> None:
    tests = gap_tests(LABELS, PREDICTIONS, GROUPS)
    # A: 3 of 3; B: 1 of 3
    assert tests["accuracy"].value == pytest.approx(2 / 3)
    # A: 1; B: F1 of label 0 is 0, of label 1 it is 2 / (2 + 2 false positives) = 1/2
    assert tests["macro_f1"].value == pytest.approx(1 - 0.25)
    assert (tests["accuracy"].highest, tests["accuracy"].lowest) == (0, 1)
    # six ways to give two images of label 0 to A: in two of them one group has both right ones, in four there is no gap
    assert tests["accuracy"].p == pytest.approx(1 / 3, abs=0.02)
    assert tests["macro_f1"].p == pytest.approx(1 / 3, abs=0.02)


def test_a_gap_that_comes_from_the_labels_alone_is_expected_by_chance() -> None:
    labels = np.repeat([0, 1, 0, 1], [30, 2, 2, 30])
    groups = np.repeat([0, 1], 32)
    gap = gap_tests(labels, np.zeros(64, dtype=np.int64), groups)["accuracy"]  # label 1 is always mistaken for 0
    assert gap.value == pytest.approx(28 / 32)
    assert gap.p == 1


# against other ways of computing


def test_p_values_are_those_of_all_arrangements() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], [5, 4])
    predictions, groups = rng.integers(0, 3, 9), np.array([0, 0, 1, 1, 2, 0, 1, 2, 2])

    def gap(arranged: np.ndarray) -> float:
        return float(np.ptp([(predictions == labels)[arranged == g].mean() for g in range(3)]))

    arrangements = [
        gap(np.concatenate([first, second]))
        for first in itertools.permutations(groups[:5])
        for second in itertools.permutations(groups[5:])
    ]
    exact = np.mean(np.asarray(arrangements) >= gap(groups) - 1e-12)
    assert 0.05 < exact < 0.95
    test = gap_tests(labels, predictions, groups)["accuracy"]
    assert (test.value, test.p) == (pytest.approx(gap(groups)), pytest.approx(exact, abs=0.02))


def test_p_values_of_one_label_and_two_groups_are_scipys() -> None:
    right = np.random.default_rng(1).random(60) < np.repeat([0.9, 0.6], 30)
    test = gap_tests(np.zeros(60, dtype=np.int64), np.where(right, 0, 1), np.repeat([0, 1], 30))["accuracy"]
    other = permutation_test(
        (right[:30], right[30:]),
        lambda a, b, axis: np.abs(a.mean(axis=axis) - b.mean(axis=axis)),
        vectorized=True,
        n_resamples=20_000,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    assert test.p < 0.05
    assert test.p == pytest.approx(other.pvalue, abs=0.005)


def test_a_test_of_unequal_groups_finds_the_gap_and_one_of_equal_groups_does_not() -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 4, 600), np.repeat([0, 1, 2], 200)
    wrong = (labels + 1) % 4
    equal = np.where(rng.random(600) < 0.7, labels, wrong)
    unequal = np.where(rng.random(600) < np.array([0.8, 0.7, 0.5])[groups], labels, wrong)
    assert all(test.p > 0.05 for test in gap_tests(labels, equal, groups).values())
    assert all(test.p < 0.001 for test in gap_tests(labels, unequal, groups).values())
    assert gap_tests(labels, unequal, groups)["accuracy"].lowest == 2


def test_without_a_difference_five_in_a_hundred_p_values_are_below_5_per_cent() -> None:
    rng, below = np.random.default_rng(0), {"accuracy": 0, "macro_f1": 0}
    for seed in range(200):  # groups have other labels, which are harder or easier for all groups alike
        labels = rng.choice(4, 150, p=[0.4, 0.3, 0.2, 0.1])
        groups = np.where(rng.random(150) < 0.2 + 0.15 * labels, 0, rng.integers(1, 3, 150))
        predictions = np.where(rng.random(150) < 0.4 + 0.1 * labels, labels, rng.integers(0, 4, 150))
        for name, test in gap_tests(labels, predictions, groups, 199, seed).items():
            below[name] += test.p <= 0.05
    assert all(2 <= count <= 20 for count in below.values()), below  # 10 expected, standard deviation 3


# columns


def test_small_groups_and_images_without_a_value_are_in_no_test() -> None:
    labels = np.zeros(130, dtype=np.int64)
    probs = np.eye(2)[np.repeat([0, 1, 0, 1], [50, 10, 55, 15])]
    ages = np.repeat(["old", "young", "child", MISSING], [60, 30, 5, 35])
    columns, settings = group_columns(labels, probs, {"age": ages}, {"age": ["child", "teen"]}, minimum=30)
    values = columns["age"]["values"]
    assert values["child"] == {"n": 5, "no_face": 1}
    assert values["teen"] == {"n": 0, "no_face": 1}
    assert values["old"]["accuracy"] == pytest.approx(50 / 60)
    assert values["old"]["interval"]["accuracy"] == wilson(50, 60)
    assert "accuracy" in values[MISSING]
    gap = columns["age"]["gaps"]["accuracy"]
    assert (gap["highest"], gap["lowest"], gap["value"]) == ("young", "old", pytest.approx(1 / 6))
    assert settings == {"permutations": 10_000, "minimum": 30, "comparisons": 2, "correction": "Holm"}


def test_one_large_group_is_compared_with_nothing() -> None:
    columns, settings = group_columns(
        np.zeros(40, dtype=np.int64), np.eye(2)[[0] * 40], {"age": np.repeat(["old", "young"], [35, 5])}
    )
    assert columns["age"]["gaps"] == {}
    assert settings["comparisons"] == 0


def test_the_p_values_of_all_columns_are_corrected_together() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 200)
    sexes, ages = np.repeat(["f", "m"], 100), rng.choice(["a", "b"], 200)
    probs = np.eye(2)[np.where(rng.random(200) < np.where(sexes == "f", 0.95, 0.6), labels, 1 - labels)]
    columns, settings = group_columns(labels, probs, {"sex": sexes, "age": ages}, permutations=999)
    gaps = [gap for column in columns.values() for gap in column["gaps"].values()]
    assert settings["comparisons"] == len(gaps) == 4
    assert [gap["p_holm"] for gap in gaps] == holm([gap["p"] for gap in gaps])
    assert columns["sex"]["gaps"]["accuracy"]["p"] == pytest.approx(1 / 1000)
    assert columns["sex"]["gaps"]["accuracy"]["p_holm"] < 0.05 < columns["age"]["gaps"]["accuracy"]["p_holm"]


def test_values_of_groups() -> None:
    columns = {"age": [20, 20, None, float("nan")], "box": [[1, 2]] * 4, "row": list(range(MOST_VALUES + 1))}
    assert group_values(columns, "age").tolist() == ["20", "20", MISSING, MISSING]
    for column, message in (("sex", "no column 'sex'; it has age, box, row"), ("box", "several"), ("row", "51 values")):
        with pytest.raises(InputError, match=message):
            group_values(columns, column)


@pytest.mark.parametrize("options", [{"minimum": 1}, {"permutations": 0}])
def test_impossible_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"at least 2 images and 1 permutation"):
        group_columns(np.zeros(2, dtype=np.int64), np.eye(2), {}, **options)
