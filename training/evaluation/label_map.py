"""Map label names of other data to the labels of a checkpoint."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotion_hub.errors import LabelError, shown
from emotion_hub.labels import ALIASES, FER2013, UNSUPPORTED_LABELS, LabelSet, spelling

__all__ = ["MappedLabels", "map_labels", "parse_map"]

#: What a message suggests for names that are no spelling of a label. Nothing is mapped by it.
_SUGGESTIONS = {
    "amazed": "surprise",
    "astonished": "surprise",
    "calm": "neutral",
    "cheerful": "happy",
    "enjoyment": "happy",
    "frightened": "fear",
    "furious": "angry",
    "joy": "happy",
    "joyful": "happy",
    "no expression": "neutral",
    "rage": "angry",
    "smile": "happy",
    "sorrow": "sad",
    "terror": "fear",
    "unhappy": "sad",
}


@dataclass(frozen=True)
class MappedLabels:
    """`ids` are int64 (N,), -1 for images that are left out.

    `mapped` is the mapping that was used, {name in the data: label}, and `left_out` counts the others by name.
    """

    ids: np.ndarray
    mapped: dict[str, str]
    left_out: dict[str, int]


def parse_map(text: str | None) -> dict[str, str]:
    """{name in the data: label} of "joy=happy,contempt=disgust"; "bored=" leaves a name out, which is "" here.

    Raises LabelError for a part without "=" and for a name that is mapped twice.
    """
    mapping: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, separator, label = (piece.strip() for piece in part.partition("="))
        if not separator or not name:
            raise LabelError(f"--map {shown(part.strip())}: write NAME=LABEL, or NAME= to leave a name out")
        if name.casefold() in map(str.casefold, mapping):
            raise LabelError(f"--map names {shown(name)} twice; keep one")
        mapping[name] = label
    return mapping


def map_labels(names: Sequence[str], labels: LabelSet, mapping: Mapping[str, str] | None = None) -> MappedLabels:
    """The labels of images by the names in their data; `mapping` is that of `parse_map`.

    Names without a mapping are matched with the checkpoint's labels, spellings included. Labels of FER2013 that the
    checkpoint lacks, and names such as contempt, are left out. Raises LabelError, with suggestions, for any other name,
    for a mapping to a label that the checkpoint lacks, and for a mapped name that does not occur.
    """
    counts = Counter(name.strip() for name in names)
    targets = _targets(counts, labels, mapping or {})
    ids: dict[str, int] = {}
    unknown: list[str] = []
    for name in counts:
        label = spelling(name)
        if name.casefold() in targets:
            ids[name] = targets[name.casefold()]
        elif labels.has(label):
            ids[name] = labels.index(label)
        elif label in FER2013.labels or name.lower() in UNSUPPORTED_LABELS:
            ids[name] = -1
        else:
            unknown.append(name)
    if unknown:
        raise LabelError(_unknown_text(unknown, counts, labels))
    return MappedLabels(
        ids=np.asarray([ids[name.strip()] for name in names], dtype=np.int64),
        mapped={name: labels.labels[i] for name, i in ids.items() if i >= 0 and labels.labels[i] != name},
        left_out={name: counts[name] for name, i in ids.items() if i < 0},
    )


def _targets(counts: Mapping[str, int], labels: LabelSet, mapping: Mapping[str, str]) -> dict[str, int]:
    """{name in lower case: position of its label, -1 for names that are left out}."""
    targets: dict[str, int] = {}
    for name, label in mapping.items():
        if label and not labels.has(label):
            raise LabelError(
                f"--map {name}={label}: the checkpoint has no label {shown(label)}{_near(label, labels.labels)}; it "
                f"has {', '.join(labels.labels)}"
            )
        if name.casefold() not in map(str.casefold, counts):
            raise LabelError(
                f"--map {name}={label}: no image has the label {shown(name)}{_near(name, counts)}; the data has "
                f"{', '.join(sorted(counts))}"
            )
        targets[name.casefold()] = labels.index(label) if label else -1
    return targets


def _near(name: str, known: Sequence[str] | Mapping[str, int]) -> str:
    found = difflib.get_close_matches(name.lower(), list(known), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _unknown_text(unknown: Sequence[str], counts: Mapping[str, int], labels: LabelSet) -> str:
    """The message about names that no label matches, with one suggestion for each."""
    listed = ", ".join(f"{shown(name)} ({counts[name]} images)" for name in unknown)
    pairs = []
    for name in unknown:
        spellings = {label.lower(): label for label in labels.labels}
        spellings |= {alias: label for alias, label in ALIASES.items() if labels.has(label)}
        found = difflib.get_close_matches(name.lower(), list(spellings), 1)
        guess = spellings[found[0]] if found else _SUGGESTIONS.get(name.lower(), "")
        pairs.append(f"{name}={guess if guess and labels.has(guess) else ''}")
    return (
        f"unknown label{'s' if len(unknown) > 1 else ''} {listed}; the checkpoint has {', '.join(labels.labels)}. Map "
        f"each to one of them, or to nothing to leave it out, such as --map '{','.join(pairs)}'"
    )
