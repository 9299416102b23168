"""Configuration of a classifier: `config.json`, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emotion_hub.errors import ConfigError, LabelError
from emotion_hub.labels import FER2013, LabelSet
from emotion_hub.models.registry import get_entry
from emotion_hub.prediction_sets import PredictionSets, sets_of_config
from emotion_hub.preprocess import PREPROCESSING, PreprocessConfig

__all__ = ["ClassifierConfig"]

#: Keys that transformers may need in the same file; they are allowed, compared with ours where they repeat them, and
#: not used.
_TRANSFORMERS_KEYS = frozenset(
    [
        "architectures",
        "auto_map",
        "dtype",
        "id2label",
        "label2id",
        "model_type",
        "num_labels",
        "problem_type",
        "torch_dtype",
        "transformers_version",
    ]
) | {"use_cache"}  # transformers.Trainer writes it into every model's configuration

#: Keys of timm's own `config.json`; allowed beside ours when timm reads the same file.
_TIMM_KEYS = frozenset(["architecture", "label_names", "num_classes", "num_features", "pretrained_cfg"])
_OWN_KEYS = ("model", "labels", "preprocess", "options", "prediction_sets")

#: More labels than any set of expressions has, and few enough for a message to list them.
_MOST_LABELS = 1000


@dataclass(frozen=True)
class ClassifierConfig:
    """The content of `config.json`: the network's name and options, its labels in the order of the logits, its input.

    Without `preprocess`, the preprocessing is that of the network. Without `prediction_sets`, as in checkpoints of
    earlier versions, predictions have no prediction set. Raises UnknownModelError for a network that is not registered
    and ConfigError for any other value that breaks a rule.
    """

    model: str
    labels: tuple[str, ...] = FER2013.labels
    preprocess: PreprocessConfig = None  # type: ignore[assignment]  # __post_init__ replaces None by the network's own
    options: Mapping[str, Any] = field(default_factory=dict)
    prediction_sets: PredictionSets | None = None

    def __post_init__(self) -> None:
        entry = get_entry(self.model)
        if not isinstance(self.labels, list | tuple):
            raise ConfigError(f"labels={self.labels!r}: give a list of names in the order of the logits")
        if len(self.labels) < 2:
            raise ConfigError(f"labels={self.labels!r}: a classifier needs at least two")
        if len(self.labels) > _MOST_LABELS:
            raise ConfigError(f"{len(self.labels):,} labels; a classifier has at most {_MOST_LABELS:,}")
        try:
            object.__setattr__(self, "labels", LabelSet("custom", tuple(self.labels)).labels)
        except LabelError as error:
            raise ConfigError(f"labels={self.labels!r}: {error}") from error
        if not isinstance(self.options, Mapping):
            raise ConfigError(f"options={self.options!r}: give an object of options of {self.model}")
        if reserved := sorted({"name", "num_classes", "pretrained"} & set(self.options)):
            raise ConfigError(
                f"{', '.join(map(repr, reserved))} is not an option; 'model' names the network and 'labels' gives the "
                "number of classes"
            )
        object.__setattr__(self, "options", dict(self.options))
        if self.preprocess is None:
            object.__setattr__(self, "preprocess", PREPROCESSING[entry.preprocessing])
        if not isinstance(self.preprocess, PreprocessConfig):
            raise ConfigError(
                f"preprocess is a {type(self.preprocess).__name__}; give a PreprocessConfig, "
                "or use ClassifierConfig.from_dict for plain JSON"
            )
        channels = PREPROCESSING[entry.preprocessing].channels
        if self.preprocess.channels != channels:
            raise ConfigError(
                f"{self.model} takes {channels} channel(s), its preprocessing gives {self.preprocess.channels}"
            )
        if self.prediction_sets is not None:
            if not isinstance(self.prediction_sets, PredictionSets):
                raise ConfigError(
                    f"prediction_sets is a {type(self.prediction_sets).__name__}; give PredictionSets, "
                    "or use ClassifierConfig.from_dict for plain JSON"
                )
            object.__setattr__(self, "prediction_sets", self.prediction_sets.ordered(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`: our keys, and the labels as `id2label` and `label2id` for other libraries."""
        sets = {} if self.prediction_sets is None else {"prediction_sets": self.prediction_sets.to_dict()}
        return {
            "model_type": "emotion_hub",
            "model": self.model,
            "labels": list(self.labels),
            "preprocess": self.preprocess.to_dict(),
            "options": dict(self.options),
            **sets,
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassifierConfig:
        """The configuration that a dict describes; raises ConfigError for unknown, missing or contradictory keys."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"a configuration is a JSON object, not {type(values).__name__}")
        other_keys = _TRANSFORMERS_KEYS | (_TIMM_KEYS if "architecture" in values else frozenset())
        if unknown := sorted(set(values) - set(_OWN_KEYS) - other_keys):
            raise ConfigError(
                f"unknown configuration key {', '.join(map(repr, unknown))}; known are {', '.join(_OWN_KEYS)}"
            )
        if missing := [k for k in _OWN_KEYS[:3] if k not in values]:
            raise ConfigError(
                f"the configuration lacks {', '.join(map(repr, missing))}; "
                "it is not an emotion_hub checkpoint, or it was edited"
            )
        if not isinstance(values["preprocess"], Mapping):
            raise ConfigError(f"preprocess={values['preprocess']!r}: the preprocessing is a JSON object")
        config = cls(
            values["model"],
            values["labels"],
            PreprocessConfig.from_dict(values["preprocess"]),
            values.get("options", {}),
        )
        config._check_other_keys(values)
        return replace(config, prediction_sets=sets_of_config(values, config.labels))

    def _check_other_keys(self, values: Mapping[str, Any]) -> None:
        """Raises ConfigError when a key of transformers or timm contradicts `labels`."""
        own = self.to_dict()
        expected = {
            "id2label": own["id2label"],
            "label2id": own["label2id"],
            "label_names": own["labels"],
            "num_labels": len(self.labels),
            "num_classes": len(self.labels),
        }
        for key, value in expected.items():
            given = values.get(key)
            if isinstance(given, Mapping):  # JSON turns the numbers of id2label into strings
                given = {str(k): v for k, v in given.items()}
            if given is not None and given != value:
                raise ConfigError(f"{key} {given} contradicts labels {own['labels']}; one of them was edited")
