"""Figures by group of images, and the gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion_hub.errors import InputError
from training.evaluation.group_tests import PERMUTATIONS, gap_tests, holm, wilson
from training.evaluation.metrics import brief
from training.evaluation.own_types import Gap, GroupColumn, GroupFigures, GroupSettings

__all__ = ["MINIMUM", "MISSING", "MOST_VALUES", "group_columns", "group_values"]

#: Smallest group for which figures are given: of 30 images with an accuracy of 0.7, Wilson's 95% interval is 0.52 to
#: 0.83 already.
MINIMUM = 30

#: A column with more distinct values than this is refused as a column of groups.
MOST_VALUES = 50

#: The group of images without a value; it is in no test.
MISSING = "not given"


def group_values(columns: Mapping[str, Any], column: str) -> np.ndarray:
    """The group of each image, text (N,), MISSING for empty values.

    Raises InputError for a column that does not exist, has several values per image, or too many distinct ones.
    """
    if column not in columns:
        raise InputError(
            f"the data has no column {column!r}; it has {', '.join(columns) or 'none'}. Columns beside the label come "
            "from labels.csv or metadata.csv, from manifests or from parquet files"
        )
    values = list(columns[column])
    if any(isinstance(value, list | np.ndarray) for value in values):
        raise InputError(f"column {column!r} holds several values per image; groups need one")
    texts = [str(value).strip() for value in values]
    names = np.asarray([MISSING if text in ("", "None", "nan") else text for text in texts])
    if (count := len(set(names.tolist()))) > MOST_VALUES:
        raise InputError(
            f"column {column!r} has {count} values in {len(names)} rows; at most {MOST_VALUES} can be groups. Add a "
            "column of coarser groups, such as an age of 18-29"
        )
    return names


def group_columns(
    labels: np.ndarray,
    probs: np.ndarray,
    columns: Mapping[str, np.ndarray],
    no_face: Mapping[str, Sequence[str]] | None = None,
    *,
    minimum: int = MINIMUM,
    permutations: int = PERMUTATIONS,
) -> tuple[dict[str, GroupColumn], GroupSettings]:
    """{column: figures by value, gaps}, and the settings of the tests.

    `columns` are the groups of the measured images, {name: text (N,)}, and `no_face` those of photos in which no face
    was found. Groups of fewer than `minimum` images get counts alone and are in no test. The p values of all columns
    and metrics are corrected together. Raises InputError for a `minimum` below 2 and for no permutations.
    """
    if minimum < 2 or permutations < 1:
        raise InputError(f"minimum {minimum}, permutations {permutations}: give at least 2 images and 1 permutation")
    result: dict[str, GroupColumn] = {}
    for column, groups in columns.items():
        missed = list((no_face or {}).get(column, ()))
        values = {
            name: _figures(labels, probs, np.flatnonzero(groups == name), missed.count(name), minimum)
            for name in sorted({*groups.tolist(), *missed})
        }
        result[column] = {"values": values, "gaps": _gaps(labels, probs, groups, values, permutations)}
    gaps = [gap for column in result.values() for gap in column["gaps"].values()]
    for gap, corrected in zip(gaps, holm([gap["p"] for gap in gaps]), strict=True):
        gap["p_holm"] = corrected
    settings: GroupSettings = {
        "permutations": permutations,
        "minimum": minimum,
        "comparisons": len(gaps),
        "correction": "Holm",
    }
    return result, settings


def _figures(labels: np.ndarray, probs: np.ndarray, rows: np.ndarray, no_face: int, minimum: int) -> GroupFigures:
    counts: GroupFigures = {"n": len(rows), "no_face": no_face}
    if len(rows) < minimum:
        return counts
    figures = brief(labels[rows], probs[rows], present_only=True)
    correct = int((probs[rows].argmax(1) == labels[rows]).sum())
    return {
        **counts,
        "accuracy": figures["accuracy"],
        "macro_f1": figures["macro_f1"],
        "interval": {"accuracy": wilson(correct, len(rows)), "macro_f1": figures["interval"]["macro_f1"]},
    }


def _gaps(
    labels: np.ndarray,
    probs: np.ndarray,
    groups: np.ndarray,
    values: Mapping[str, GroupFigures],
    permutations: int,
) -> dict[str, Gap]:
    compared = [name for name, figures in values.items() if "accuracy" in figures and name != MISSING]
    if len(compared) < 2:
        return {}
    rows = np.flatnonzero(np.isin(groups, compared))
    positions = np.asarray([compared.index(name) for name in groups[rows].tolist()])
    tests = gap_tests(labels[rows], probs[rows].argmax(1), positions, permutations)
    return {
        metric: {
            "value": test.value,
            "highest": compared[test.highest],
            "lowest": compared[test.lowest],
            "p": test.p,
            "p_holm": test.p,
        }
        for metric, test in tests.items()
    }
