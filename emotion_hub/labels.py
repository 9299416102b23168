"""Label sets, their order, the names other projects use, and the way from one set to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emotion_hub.errors import LabelError, shown

__all__ = [
    "ALIASES",
    "FER2013",
    "FERPLUS_VOTES",
    "FOREIGN",
    "LABEL_SETS",
    "SIX_CLASS",
    "LabelSet",
    "canonical",
    "label_set",
]

#: Spellings found in FER2013 forks, FER+, RAF-DB, AffectNet and the technical report, to ours.
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
        """The `label_id` of a name or one of its aliases; raises LabelError for any other."""
        if name in self.labels:
            return self.labels.index(name)
        label = canonical(name)
        if label not in (own := [_canonical_or_same(each) for each in self.labels]):
            raise LabelError(f"label {shown(name)} is not in {self.name}; it has {', '.join(self.labels)}")
        return own.index(label)

    def has(self, name: str) -> bool:
        """Whether `name`, or another spelling of it, is one of the labels."""
        return name in self.labels or _canonical_or_same(name) in map(_canonical_or_same, self.labels)

    def project(self, probs: Mapping[str, float], *, missing: float | None = None) -> dict[str, float]:
        """Probabilities over this set from probabilities over another one, in this set's order.

        Mass on labels that this set lacks is dropped and the rest renormalised to 1: the answer is the
        source's distribution given that one of the shared labels is true. A label of this set that the source
        does not know raises LabelError, unless `missing` gives its weight before renormalising; so do two
        spellings of one label.
        """
        known: dict[str, float] = {}
        for name, p in probs.items():
            if (label := canonical(name)) in known:
                raise LabelError(
                    f"{shown(name)} is a second spelling of {label!r} in the same answer; add the two up first"
                )
            known[label] = float(p)
        values = []
        for label in self.labels:
            value = known.get(canonical(label), missing)
            if value is None:
                raise LabelError(
                    f"{label!r} of {self.name} is not among {sorted(known)}; pass missing=0.0 to leave it empty"
                )
            values.append(value)
        total = sum(values)
        if total <= 0:
            raise LabelError(
                f"no probability is left on {self.name} after dropping {sorted(set(known) - set(self.labels))}"
            )
        return {label: value / total for label, value in zip(self.labels, values, strict=True)}

    def left_out(self, probs: Mapping[str, float]) -> dict[str, float]:
        """The probabilities of the labels that `project` drops, under the names they came with."""
        kept = {_canonical_or_same(label) for label in self.labels}
        return {name: float(p) for name, p in probs.items() if _canonical_or_same(name) not in kept}

    @classmethod
    def of(cls, labels: Sequence[str]) -> LabelSet:
        """The known set with exactly these labels in this order, or a custom one."""
        for known in LABEL_SETS.values():
            if known.labels == tuple(labels):
                return known
        return cls("custom", tuple(labels))


#: FER2013's seven, in the order of its csv (Goodfellow et al. 2013, arXiv:1307.0414).
FER2013 = LabelSet("fer2013", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))

#: The technical report's six, in its order and spelling: FER2013's without disgust.
SIX_CLASS = LabelSet("six_class", ("angry", "fearful", "happy", "neutral", "sad", "surprised"))

LABEL_SETS: dict[str, LabelSet] = {s.name: s for s in (FER2013, SIX_CLASS)}


#: What FER+'s ten voters could choose, in the order of its csv (Barsoum et al. 2016, arXiv:1608.01041).
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")

#: Classes of other schemes that no set of ours has, FER+'s and AffectNet's, in lower case.
FOREIGN = ("contempt", "contemptuous", "unknown", "uncertain", "nf", "non-face", "none")


def label_set(labels: str | Sequence[str] | LabelSet) -> LabelSet:
    """A label set from its name ("six_class"), from names separated by commas, or from a list of names, which answers then use as they are spelled.

    Raises LabelError for an unknown expression and for one named twice.
    """
    if isinstance(labels, LabelSet):
        return labels
    if isinstance(labels, str) and labels in LABEL_SETS:
        return LABEL_SETS[labels]
    names = [name.strip() for name in labels.split(",")] if isinstance(labels, str) else list(labels)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelError(f"labels={shown(labels)}: give {' or '.join(LABEL_SETS)}, or expressions separated by commas")
    if len({canonical(name) for name in names}) != len(names):
        raise LabelError(f"labels={shown(labels)} names an expression twice")
    return LabelSet.of(names)


def _canonical_or_same(name: str) -> str:
    """Our spelling of a name; a name that is no known expression as it is."""
    try:
        return canonical(name)
    except LabelError:
        return name


def canonical(name: str) -> str:
    """Our spelling of an expression's name ("Fearful" -> "fear"); raises LabelError for unknown ones."""
    if not isinstance(name, str):
        raise LabelError(f"a label is a string, not {type(name).__name__}: {shown(name)}")
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in FER2013.labels:
        raise LabelError(
            f"unknown expression {shown(name)}; known are {', '.join(FER2013.labels)} and the aliases {', '.join(sorted(ALIASES))}"
        )
    return key
