"""Names of splits, and `Source`: one split before its images are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from emotion_hub.errors import InputError, ManifestError

__all__ = ["ALIASES", "SPLITS", "Source", "canonical_split", "names_by_split"]

SPLITS = ("train", "validation", "test")

#: {name in a data set, lower case: split}.
ALIASES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "validation" for name in ("validation", "val", "valid", "dev", "publictest")},
    **{name: "test" for name in ("test", "testing", "privatetest")},
}


@dataclass(frozen=True)
class Source:
    """The rows of one split.

    `labels` are as written in the data. `read(i)` returns the encoded bytes of an image, or the image itself, and
    `where(i)` the name of the row for messages. `columns` holds all other columns, (N,) each.
    """

    name: str
    labels: list[str]
    read: Callable[[int], bytes | Image.Image]
    where: Callable[[int], str]
    columns: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


def canonical_split(name: str) -> str:
    """The split that a name stands for ("PublicTest" -> "validation"); raises InputError for an unknown name."""
    if str(name).strip().lower() not in ALIASES:
        raise InputError(f"no split {name!r}; choose from {', '.join(SPLITS)}")
    return ALIASES[str(name).strip().lower()]


def names_by_split(names: Iterable[str], data: str | Path) -> dict[str, str]:
    """{split: its name in `data`}, without names that are no split.

    Raises ManifestError for two names of one split.
    """
    by_split: dict[str, str] = {}
    for name in names:
        split = ALIASES.get(name.lower())
        if split in by_split:
            raise ManifestError(
                f"{data}: {by_split[split]!r} and {name!r} are both the {split} split; keep one, or join them"
            )
        if split is not None:
            by_split[split] = name
    return by_split
