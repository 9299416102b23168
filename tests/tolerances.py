"""How close results of a network must be when they come from separate loads, processes, thread counts, batch sizes or backends.

Kernels depend on the CPU, on the number of threads, on the size of the batch and on where the weights lie in memory, so such results differ in the last
digits. Pixels, prepared arrays, weights, files and labels are compared bit for bit, and so are two calls of one network with the same batch.
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

#: Absolute, for probabilities and for the distance between two sets of them.
PROBS = 1e-5
#: Relative, and the absolute floor for logits near 0.
LOGITS = {"rtol": 1e-4, "atol": 1e-5}
#: For maps of explainers, as a share of the largest value of the expected map: each map is a difference of answers that are close to each other.
MAPS = 1e-3


def assert_same_probs(found: Any, expected: Any, why: str = "") -> None:
    """Compare numbers, arrays or mappings from label to probability; labels and shapes must be equal, in any order of the labels."""
    _assert_close(*_arrays(found, expected), why, rtol=0, atol=PROBS)


def assert_same_logits(found: Any, expected: Any, why: str = "") -> None:
    """Compare arrays, tensors or mappings from label to logit."""
    _assert_close(*_arrays(found, expected), why, **LOGITS)


def assert_same_maps(found: Any, expected: Any, why: str = "") -> None:
    """Compare two heatmaps or two signed maps."""
    found, expected = _arrays(found, expected)
    _assert_close(found, expected, why, rtol=0, atol=MAPS * np.abs(expected).max())


def assert_same_weights(found: nn.Module, expected: nn.Module) -> None:
    """Compare the tensors of two networks bit for bit."""
    found, expected = found.state_dict(), expected.state_dict()
    assert list(found) == list(expected)
    different = [
        name for name, tensor in expected.items() if tensor.dtype != found[name].dtype or not tensor.equal(found[name])
    ]
    assert not different, f"{different[:3]} of {len(expected)} tensors differ"


def assert_same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare the rows of two result tables: `prob_*` as probabilities, all other columns exactly."""
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        probs = [name for name, value in wanted.items() if name.startswith("prob_") and value is not None]
        assert row | dict.fromkeys(probs) == wanted | dict.fromkeys(probs)
        assert_same_probs(
            [row[name] for name in probs], [wanted[name] for name in probs], f"picture {wanted.get('picture')}"
        )


def _arrays(found: Any, expected: Any) -> tuple[np.ndarray, np.ndarray]:
    """float64, of equal shape."""
    if isinstance(expected, Mapping):
        assert set(found) == set(expected)
        found, expected = [found[label] for label in expected], list(expected.values())
    found, expected = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    assert found.shape == expected.shape
    return found, expected


def _assert_close(found: np.ndarray, expected: np.ndarray, why: str, **tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, err_msg=why, equal_nan=False, **tolerance)
