"""Paired comparison: McNemar's test by hand, intervals, invalid input."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_hub.errors import InputError
from training.evaluation.paired import paired


def outcomes(both: int, only_first: int, only_second: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    first = [True] * both + [True] * only_first + [False] * only_second + [False] * none
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * none
    return np.array(first), np.array(second)


def test_mcnemars_test_equals_the_binomial_sum_by_hand():
    figures = paired(*outcomes(50, 1, 7, 42))
    assert (figures["n"], figures["only_first"], figures["only_second"]) == (100, 1, 7)
    assert figures["difference"] == pytest.approx(0.06)
    # two-sided: 2 * (C(8,0) + C(8,1)) / 2**8
    assert figures["p_value"] == pytest.approx(2 * (1 + 8) / 256)
    low, high = figures["interval"]
    assert 0 < low < 0.06 < high < 0.14


def test_the_interval_is_narrower_than_for_independent_faces():
    """Faces on which both agree add nothing to the variance of the difference."""
    low, high = paired(*outcomes(2300, 150, 190, 949))["interval"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(340 / 3589**2 - (40 / 3589) ** 2 / 3589), rel=0.05)


def test_equal_outcomes_have_no_difference():
    figures = paired(*outcomes(5, 0, 0, 5))
    assert (figures["difference"], figures["interval"], figures["p_value"]) == (0, [0, 0], 1)


def test_swapped_predictors_change_the_sign_alone():
    first, second = outcomes(20, 3, 9, 10)
    there, back = paired(first, second), paired(second, first)
    assert there["difference"] == -back["difference"]
    assert there["p_value"] == back["p_value"]


@pytest.mark.parametrize("second", [np.ones(3, bool), np.ones((2, 1), bool)])
def test_other_faces_are_refused(second):
    with pytest.raises(InputError, match="needs the same faces"):
        paired(np.ones(2, bool), second)
    with pytest.raises(InputError, match="at least one"):
        paired(np.ones(0, bool), np.ones(0, bool))
