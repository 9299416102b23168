"""Prediction sets: labels that together hold the true one at a set rate.

Split-conformal prediction with the score 1 - p(label) and one threshold per label: Sadinle, Lei and Wasserman 2019,
"Least Ambiguous Set-Valued Classifiers With Bounded Error Levels", JASA 114(525), whose classifier has class-specific
coverage; Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World" (there label-conditional, or
Mondrian). `training.evaluation.conformal` fits the thresholds on validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_hub.errors import ConfigError, shown
from emotion_hub.labels import LabelSet

__all__ = ["PredictionSets", "sets_of_config"]

_SET_KEYS = ("coverage", "thresholds")


@dataclass(frozen=True)
class PredictionSets:
    """The rule of a checkpoint's prediction sets: a label is in the set when 1 - p(label) is at most its threshold.

    `coverage` is the nominal coverage, above 0 and below 1; `thresholds` is {label: threshold in 0..1}. The most
    probable label is always in the set.

    What holds: among faces from the distribution of the faces that the thresholds were fitted on, the set holds the
    true label at a rate of at least `coverage`, for each true label alike and therefore also overall. It holds on
    average over faces, not for a single face, and not for pictures of another kind. The thresholds belong to the
    weights: fit them again when the weights change.

    Raises ConfigError for any other value.
    """

    coverage: float
    thresholds: Mapping[str, float]

    def __post_init__(self) -> None:
        if not _is_number(self.coverage) or not 0 < self.coverage < 1:
            raise ConfigError(
                f"coverage={shown(self.coverage)} of prediction sets: give a number above 0 and below 1, such as 0.9"
            )
        if not isinstance(self.thresholds, Mapping) or not self.thresholds:
            raise ConfigError(
                f"thresholds={shown(self.thresholds)} of the prediction sets: give an object {{label: threshold}}"
            )
        for label, value in self.thresholds.items():
            if not isinstance(label, str) or not _is_number(value) or not 0 <= value <= 1:
                raise ConfigError(
                    f"threshold {shown(value)} of the label {shown(label)}: give a number from 0 to 1, or fit it with "
                    "python -m training.conformal"
                )
        object.__setattr__(self, "coverage", float(self.coverage))
        object.__setattr__(self, "thresholds", {label: float(value) for label, value in self.thresholds.items()})

    @property
    def meaning(self) -> str:
        """What a set means, for people who see one, without a full stop."""
        tenths = round(10 * self.coverage, 9)
        rate = f"{tenths:.0f} of 10" if tenths == round(tenths) else f"{100 * self.coverage:g}% of the"
        return f"in {rate} faces of the test set, the true label is among these"

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON types; `from_dict` is the inverse."""
        return {"coverage": self.coverage, "thresholds": dict(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Any, labels: Sequence[str]) -> PredictionSets:
        """The rule that JSON describes, its thresholds in the order of `labels`, which are the network's.

        Raises ConfigError for unknown or missing keys, for labels that are not exactly these, and as the class does.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"prediction_sets={shown(values)}: give an object with {' and '.join(_SET_KEYS)}")
        if set(values) != set(_SET_KEYS):
            raise ConfigError(f"prediction_sets has the keys {shown(list(values))}; they are {' and '.join(_SET_KEYS)}")
        return cls(values["coverage"], values["thresholds"]).ordered(labels)

    def ordered(self, labels: Sequence[str]) -> PredictionSets:
        """The same rule with the thresholds in the order of `labels`; raises ConfigError for other labels."""
        if set(self.thresholds) != set(labels):
            raise ConfigError(
                f"prediction_sets has thresholds for {shown(list(self.thresholds))}, the network has the labels "
                f"{shown(list(labels))}; fit them again with python -m training.conformal"
            )
        return PredictionSets(self.coverage, {label: self.thresholds[label] for label in labels})

    def members(self, probs: np.ndarray, labels: Sequence[str], answer_labels: LabelSet | None = None) -> np.ndarray:
        """bool, (N, len(labels)): the labels in each set; `probs` are the network's, float, (N, len(labels)).

        With `answer_labels` the columns are these: the network's set without the other labels, and the most probable
        of the answer's labels. Its guarantee is then that of the faces whose true label is one of them.
        """
        inside = 1 - probs <= np.array([self.thresholds[label] for label in labels])
        if answer_labels is not None:
            network = LabelSet("network", tuple(labels))
            kept = [network.index(label) for label in answer_labels.labels]
            inside, probs = inside[:, kept], probs[:, kept]
        if len(probs):
            inside[np.arange(len(probs)), probs.argmax(axis=1)] = True
        return inside

    def labels_of(self, probs: Mapping[str, float], answer: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """The labels in the set of one face, the most probable first.

        `probs` are the network's probabilities; `answer` are those over another label set, which `LabelSet.project`
        made of them. The labels are then the answer's, as `members` defines them.
        """
        ranked = probs if answer is None else answer
        first, *others = sorted(ranked, key=ranked.__getitem__, reverse=True)
        names = {label: label for label in others}
        if answer is not None:
            network = LabelSet("network", tuple(probs))
            names = {label: network.labels[network.index(label)] for label in others}
        return (first, *(label for label in others if 1 - probs[names[label]] <= self.thresholds[names[label]]))


def sets_of_config(values: Mapping[str, Any], labels: Sequence[str]) -> PredictionSets | None:
    """The entry `prediction_sets` of a configuration or of an ONNX file's record; None where it has none.

    Raises ConfigError for an invalid entry.
    """
    entry = values.get("prediction_sets")
    return None if entry is None else PredictionSets.from_dict(entry, labels)


def _is_number(value: Any) -> bool:
    """Whether the value is a number; a bool is none. NaN and infinity are outside of every range."""
    return isinstance(value, int | float) and not isinstance(value, bool)
