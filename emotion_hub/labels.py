"""Label sets: order, presets, spellings, projection of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emotion_hub.errors import LabelError, shown

__all__ = [
    "ALIASES",
    "FER2013",
    "FERPLUS_VOTES",
    "LABEL_SETS",
    "SIX_CLASS",
    "UNSUPPORTED_LABELS",
    "LabelSet",
    "canonical",
    "label_set",
    "spelling",
]

#: Spellings of FER2013 forks, FER+, RAF-DB, AffectNet and the technical report, mapped to FER2013's.
ALIASES: dict[str, str] = {
    "afraid": "fear",
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "neutrality": "neutral",
    "sadness": "sad",
    "scared": "fear",
    "surprised": "surprise",
}


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of expression names; the position of a name is its `label_id`."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.labels:
            raise LabelError(f"label set {self.name!r} is empty; give at least one label")
        for label in self.labels:
            if not isinstance(label, str) or not label.strip():
                kind = "blank" if isinstance(label, str) else "not a string"
                raise LabelError(f"label set {self.name!r} holds {label!r}, which is {kind}; give every label a name")
        if len(set(self.labels)) != len(self.labels):
            raise LabelError(f"label set {self.name!r} names a label twice: {list(self.labels)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def id2label(self) -> dict[int, str]:
        """{label_id: label}, in the order of the logits."""
        return dict(enumerate(self.labels))

    @property
    def label2id(self) -> dict[str, int]:
        """{label: label_id}."""
        return {label: i for i, label in enumerate(self.labels)}

    def index(self, name: str) -> int:
        """The `label_id` of a name or one of its spellings; raises LabelError for any other."""
        if name in self.labels:
            return self.labels.index(name)
        own = [_key(each) for each in self.labels]
        if (label := _key(name)) not in own:
            raise LabelError(f"label {shown(name)} is not in {self.name}; it has {', '.join(self.labels)}")
        return own.index(label)

    def has(self, name: str) -> bool:
        """Whether `name`, or another spelling of it, is one of the labels."""
        return name in self.labels or _key(name) in map(_key, self.labels)

    def project(self, probs: Mapping[str, float], *, missing: float | None = None) -> dict[str, float]:
        """Probabilities over this set from probabilities over another one, in this set's order.

        Probability of labels that this set lacks is dropped and the rest renormalised to 1: the result is the
        source's distribution given that one of the shared labels is true. Raises LabelError for a label of this set
        that the source lacks, unless `missing` gives its weight before renormalising, and for two spellings of one
        label.
        """
        known: dict[str, float] = {}
        for name, p in probs.items():
            if (label := _key(name)) in known:
                raise LabelError(
                    f"{shown(name)} is a second spelling of {label!r} in the same prediction; add the two up first"
                )
            known[label] = float(p)
        values = []
        for label in self.labels:
            value = known.get(_key(label), missing)
            if value is None:
                raise LabelError(
                    f"{label!r} of {self.name} is not among {sorted(known)}; pass missing=0.0 to leave it empty"
                )
            values.append(value)
        total = sum(values)
        if total <= 0:
            dropped = sorted(set(known) - set(self.labels))
            raise LabelError(f"no probability is left on {self.name} after dropping {dropped}")
        return {label: value / total for label, value in zip(self.labels, values, strict=True)}

    def left_out(self, probs: Mapping[str, float]) -> dict[str, float]:
        """The probabilities of the labels that `project` drops, under their own names."""
        kept = {_key(label) for label in self.labels}
        return {name: float(p) for name, p in probs.items() if _key(name) not in kept}

    @classmethod
    def of(cls, labels: Sequence[str]) -> LabelSet:
        """The preset with exactly these labels in this order, or a set named "custom"."""
        for known in LABEL_SETS.values():
            if known.labels == tuple(labels):
                return known
        return cls("custom", tuple(labels))


#: FER2013's seven, in the order of its csv (Goodfellow et al. 2013, arXiv:1307.0414).
FER2013 = LabelSet("fer2013", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))

#: The technical report's six, in its order and spelling: FER2013's without disgust.
SIX_CLASS = LabelSet("six_class", ("angry", "fearful", "happy", "neutral", "sad", "surprised"))

#: Presets by name. Any other labels are a label set, too: see `label_set`.
LABEL_SETS: dict[str, LabelSet] = {s.name: s for s in (FER2013, SIX_CLASS)}

#: What FER+'s ten voters could choose, in the order of its csv (Barsoum et al. 2016, arXiv:1608.01041).
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")

#: Classes of FER+ and AffectNet that no preset has, in lower case: data with them is read, and such rows are left
#: out.
UNSUPPORTED_LABELS = ("contempt", "contemptuous", "unknown", "uncertain", "nf", "non-face", "none")


def label_set(labels: str | Sequence[str] | LabelSet) -> LabelSet:
    """A label set from a preset's name ("six_class"), from labels separated by commas, or from a list of labels.

    Predictions use the labels as they are spelled here. Raises LabelError for a blank label and for one named twice,
    also under two spellings ("fear,fearful").
    """
    if isinstance(labels, LabelSet):
        return labels
    if isinstance(labels, str) and labels in LABEL_SETS:
        return LABEL_SETS[labels]
    names = [name.strip() for name in labels.split(",")] if isinstance(labels, str) else list(labels)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelError(f"labels={shown(labels)}: give {' or '.join(LABEL_SETS)}, or labels separated by commas")
    if len({_key(name) for name in names}) != len(names):
        raise LabelError(f"labels={shown(labels)} names a label twice")
    return LabelSet.of(names)


def spelling(name: str) -> str:
    """FER2013's spelling of an expression's name ("Fearful" -> "fear"); any other name as it is.

    Raises LabelError for what is not a string.
    """
    if not isinstance(name, str):
        raise LabelError(f"a label is a string, not {type(name).__name__}: {shown(name)}")
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    return key if key in FER2013.labels else name


def _key(name: str) -> str:
    """What two names of one label have in common: the spelling, without upper and lower case."""
    return spelling(name).strip().casefold()


def canonical(name: str) -> str:
    """FER2013's spelling of an expression's name ("Fearful" -> "fear"); raises LabelError for any other name."""
    if (label := spelling(name)) not in FER2013.labels:
        known = f"{', '.join(FER2013.labels)} and the aliases {', '.join(sorted(ALIASES))}"
        raise LabelError(f"unknown expression {shown(name)}; known are {known}")
    return label
