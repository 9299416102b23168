"""Tolerances for comparing outputs of separately loaded networks.

Kernels depend on the CPU, the number of threads, the batch size and the memory alignment of the weights, so that such
outputs differ in the last digits. Pixels, preprocessed arrays, weights, files and labels are compared bit for bit, and
so are two calls of one network with the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

__all__ = [
    "LOGITS",
    "MAPS",
    "PROBS",
    "assert_same_logits",
    "assert_same_maps",
    "assert_same_probs",
    "assert_same_rows",
    "assert_same_weights",
]

#: Absolute tolerance for probabilities and for distances between sets of them.
PROBS = 1e-5
#: Relative tolerance for logits, and absolute tolerance for logits near 0.
LOGITS = {"rtol": 1e-4, "atol": 1e-5}
#: Tolerance for maps of explainers, as a fraction of the largest value of the expected map. It is larger because a map
#: is a difference of outputs that are close to each other.
MAPS = 1e-3


def assert_same_probs(actual: Any, expected: Any, why: str = "") -> None:
    """Compare numbers, arrays or mappings from label to probability.

    Shapes and labels must be equal; the order of the labels is not compared.
    """
    _assert_close(*_arrays(actual, expected), why, rtol=0, atol=PROBS)


def assert_same_logits(actual: Any, expected: Any, why: str = "") -> None:
    """Compare arrays, tensors or mappings from label to logit."""
    _assert_close(*_arrays(actual, expected), why, **LOGITS)


def assert_same_maps(actual: Any, expected: Any, why: str = "") -> None:
    """Compare two heatmaps or two signed maps."""
    actual, expected = _arrays(actual, expected)
    _assert_close(actual, expected, why, rtol=0, atol=MAPS * np.abs(expected).max())


def assert_same_weights(actual: nn.Module, expected: nn.Module) -> None:
    """Compare the tensors of two networks bit for bit."""
    actual, expected = actual.state_dict(), expected.state_dict()
    assert list(actual) == list(expected)
    different = [
        name
        for name, tensor in expected.items()
        if tensor.dtype != actual[name].dtype or not tensor.equal(actual[name])
    ]
    assert not different, f"{different[:3]} of {len(expected)} tensors differ"


def assert_same_rows(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare the rows of two result tables: `prob_*` as probabilities, all other columns exactly."""
    assert len(actual) == len(expected)
    for row, wanted in zip(actual, expected, strict=True):
        probs = [name for name, value in wanted.items() if name.startswith("prob_") and value is not None]
        assert row | dict.fromkeys(probs) == wanted | dict.fromkeys(probs)
        assert_same_probs(
            [row[name] for name in probs], [wanted[name] for name in probs], f"picture {wanted.get('picture')}"
        )


def _arrays(actual: Any, expected: Any) -> tuple[np.ndarray, np.ndarray]:
    """float64, of equal shape."""
    if isinstance(expected, Mapping):
        assert set(actual) == set(expected)
        actual, expected = [actual[label] for label in expected], list(expected.values())
    actual, expected = (np.asarray(values, dtype=np.float64) for values in (actual, expected))
    assert actual.shape == expected.shape
    return actual, expected


def _assert_close(actual: np.ndarray, expected: np.ndarray, why: str, **tolerance: float) -> None:
    np.testing.assert_allclose(actual, expected, err_msg=why, equal_nan=False, **tolerance)
