"""Types of the report on labelled images of one's own.

`training.evaluate` writes it for data without fixed splits. All rates lie in 0..1.
"""

from __future__ import annotations

from typing import TypedDict

from training.evaluation.report_types import Interval, Scores

__all__ = ["DetectionCounts", "Gap", "GroupColumn", "GroupFigures", "GroupSettings", "OwnData", "OwnReport"]


class OwnData(TypedDict):
    """The data: its `images`, names that were mapped to other labels, and images left out, counted by name."""

    name: str
    images: int
    mapped: dict[str, str]
    left_out: dict[str, int]


class DetectionCounts(TypedDict):
    """Photos that were searched for faces.

    Those with `no_face` are not in the figures; in `accuracy_of_all` they count as errors. For `several_faces` the
    largest face was taken.
    """

    detector: str
    photos: int
    no_face: int
    several_faces: int
    accuracy_of_all: float


class _GroupCounts(TypedDict):
    n: int
    no_face: int


class GroupFigures(_GroupCounts, total=False):
    """Figures of one group; groups below the minimum size have counts alone.

    Macro F1 is averaged over the labels that occur in the group. The interval of the accuracy is Wilson's, that of
    macro F1 the bootstrap's.
    """

    accuracy: float
    macro_f1: float
    interval: Interval


class Gap(TypedDict):
    """The largest difference between two groups, the p value of a permutation test, and Holm's correction of it."""

    value: float
    highest: str
    lowest: str
    p: float
    p_holm: float


class GroupColumn(TypedDict):
    """Figures by value of one column, and the gaps {"accuracy", "macro_f1"} between groups of the minimum size.

    `gaps` is empty for fewer than two such groups.
    """

    values: dict[str, GroupFigures]
    gaps: dict[str, Gap]


class GroupSettings(TypedDict):
    """Settings of the permutation tests; `comparisons` is the number of p values that Holm's correction covers."""

    permutations: int
    minimum: int
    comparisons: int
    correction: str


class _Optional(TypedDict, total=False):
    detection: DetectionCounts
    groups: dict[str, GroupColumn]
    tests: GroupSettings


class OwnReport(_Optional, Scores):
    """The whole report; `detection` is there for photos, `groups` and `tests` when columns were named."""

    checkpoint: str
    sha256: str
    labels: list[str]
    data: OwnData
    environment: dict[str, str]
