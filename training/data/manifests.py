"""Manifests (train.csv, val.csv, test.csv) and files of a prepared data set.

FOLDER/train.csv val.csv test.csv   path (relative to FOLDER, or to `root`), label, and any other columns
FOLDER/<split>/<label>/*.png        the faces, lossless
FOLDER/label_map.json               {label: label_id}
FOLDER/status.csv status.json       images of every split and label before and after balancing
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import LabelError, ManifestError
from emotion_hub.labels import LabelSet, canonical

__all__ = [
    "MANIFESTS",
    "Manifest",
    "check_apart",
    "check_classes",
    "class_statistics",
    "find_manifests",
    "read_manifest",
    "write_faces",
    "write_manifest",
    "write_status",
]

#: File names of written manifests; when reading, every alias of a split's name is accepted.
MANIFESTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}

#: CSV files of a prepared data set that are no manifests.
_OTHER_FILES = ("status.csv",)


@dataclass(frozen=True)
class Manifest:
    """The rows of one manifest; `lines` are their line numbers in the file, `columns` all other columns, as text."""

    path: Path
    lines: list[int]
    files: list[Path]
    labels: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def where(self, i: int) -> str:
        """The name of row `i` in messages: manifest, line and file."""
        return f"{self.path} row {self.lines[i]} ({self.files[i].name})"


def find_manifests(folder: Path, aliases: Mapping[str, str]) -> dict[str, Path]:
    """{split: manifest} of a folder, by file name and `aliases` {name: split}.

    Raises ManifestError for two files of one split.
    """
    by_split: dict[str, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        split = aliases.get(path.stem.lower())
        if split is None or path.name in _OTHER_FILES:
            continue
        if split in by_split:
            raise ManifestError(f"{by_split[split]} and {path} are both manifests of {split}; keep one")
        by_split[split] = path
    return by_split


def read_manifest(path: Path, root: Path | None = None, missing: bool = False) -> Manifest:
    """The rows of a manifest; paths are relative to `root`, by default the manifest's folder.

    Raises ManifestError, naming file, row and next step, for missing columns, blank or short rows and, unless
    `missing` is true, for files that do not exist.
    """
    base = path.parent if root is None else root
    with path.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text)
        header = [name.strip() for name in next(reader, [])]
        if absent := [name for name in ("path", "label") if name not in header]:
            raise ManifestError(
                f"{path} row 1: no column {' and '.join(absent)} among {header}; the first row must name the columns, "
                "among them path and label"
            )
        rows: dict[str, list[str]] = {name: [] for name in header}
        lines = []
        for values in reader:
            row = f"{path} row {reader.line_num}"
            if not any(value.strip() for value in values):
                raise ManifestError(f"{row} is blank; delete the line")
            if len(values) != len(header):
                raise ManifestError(
                    f"{row} has {len(values)} values for {len(header)} columns; give one for each of "
                    f"{', '.join(header)}"
                )
            for name, value in zip(header, values, strict=True):
                if name in ("path", "label") and not value.strip():
                    raise ManifestError(f"{row} has no {name}; fill it in or delete the row")
                rows[name].append(value.strip())
            lines.append(reader.line_num)
    if not lines:
        raise ManifestError(f"{path} row 2: there is no row below the header; list one image per row")
    files = [base / name.replace("\\", "/") for name in rows.pop("path")]
    manifest = Manifest(path, lines, files, rows.pop("label"), rows)
    if not missing:
        for i, file in enumerate(files):
            if not file.is_file():
                raise ManifestError(
                    f"{manifest.where(i)}: there is no file {file}; correct the path, or give the folder that "
                    "paths are "
                    "relative to with root"
                )
    return manifest


def check_apart(manifests: Mapping[str, Manifest], marks: Mapping[str, Sequence[str]], what: str) -> None:
    """Raises ManifestError when two manifests share a mark, a string per row such as a path or a hash.

    `what` names the marks in the message: "path" or "pixels".
    """
    first: dict[str, tuple[str, int]] = {}
    for split, manifest in manifests.items():
        for i, mark in enumerate(marks[split]):
            other, j = first.setdefault(mark, (split, i))
            if other != split:
                raise ManifestError(
                    f"{manifest.where(i)} and {manifests[other].where(j)} have the same {what}: an image belongs "
                    "to one split. "
                    "Delete one of the rows, or make new splits with python -m training.prepare"
                )


def check_classes(manifests: Mapping[str, Manifest]) -> None:
    """Raises ManifestError for a manifest without images of a class that another manifest or label_map.json has."""
    classes = {split: _expressions(manifest.labels) for split, manifest in manifests.items()}
    reasons = dict.fromkeys((label for split in classes for label in classes[split]), "another manifest has some")
    for folder in {manifest.path.parent for manifest in manifests.values()}:
        if (label_map := folder / "label_map.json").is_file():
            names = json.loads(label_map.read_text(encoding="utf-8"))
            reasons |= dict.fromkeys(_expressions(names), f"{label_map} names it")
    for split, manifest in manifests.items():
        if empty := [label for label in reasons if label not in classes[split]]:
            raise ManifestError(
                f"{manifest.path} rows 2 to {manifest.lines[-1]}: class {empty[0]!r} is empty ({reasons[empty[0]]}); "
                "add images of it or leave it out everywhere"
            )


def _expressions(labels: Iterable[str]) -> dict[str, None]:
    """The known expressions among these labels, in order; unknown labels are reported when they are looked up."""
    expressions: dict[str, None] = {}
    for label in dict.fromkeys(labels):
        try:
            expressions[canonical(label)] = None
        except LabelError:
            continue
    return expressions


def class_statistics(counts: Sequence[int] | np.ndarray) -> dict[str, float | None]:
    """Smallest, largest and mean class size, sample standard deviation, and imbalance ratio.

    The ratio is largest to smallest, None with an empty class.
    """
    values = np.asarray(counts, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "min": low,
        "max": high,
        "mean": float(values.mean()),
        "sd": spread,
        "imbalance_ratio": high / low if low else None,
    }


def write_faces(folder: Path, split: str, faces: Sequence[Image.Image], labels: Sequence[str]) -> list[str]:
    """PNG files split/label/number.png, lossless; returns their paths relative to `folder`, with forward slashes."""
    paths = []
    for number, (face, label) in enumerate(
        tqdm(zip(faces, labels, strict=True), desc=f"write {split}", total=len(labels), disable=None)
    ):
        path = folder / split / label / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        face.save(path, "PNG")
        paths.append(path.relative_to(folder).as_posix())
    return paths


def write_manifest(
    path: Path, files: Sequence[str], labels: Sequence[str], columns: Mapping[str, Sequence[Any]] | None = None
) -> None:
    """Write a manifest that `read_manifest` can read: path, label and the other columns."""
    columns = columns or {}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", *columns])
        writer.writerows(zip(files, labels, *columns.values(), strict=True))


def write_status(
    folder: Path,
    label_set: LabelSet,
    before: Mapping[str, Sequence[int] | np.ndarray],
    after: Mapping[str, Sequence[int] | np.ndarray],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of status.json; also writes label_map.json and status.csv.

    `before` and `after` hold the number of images per label of every split.
    """
    (folder / "label_map.json").write_text(json.dumps(label_set.label2id, indent=2) + "\n", encoding="utf-8")
    with (folder / "status.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "label", "before", "after", "added"])
        for split in before:
            for label, old, new in zip(label_set.labels, before[split], after[split], strict=True):
                writer.writerow([split, label, old, new, new - old])
    splits = {
        split: {
            "before": dict(zip(label_set.labels, map(int, before[split]), strict=True)),
            "after": dict(zip(label_set.labels, map(int, after[split]), strict=True)),
            "statistics_before": class_statistics(before[split]),
            "statistics_after": class_statistics(after[split]),
        }
        for split in before
    }
    status = {**facts, "label_set": label_set.name, "splits": splits}
    (folder / "status.json").write_text(json.dumps(status, indent=2) + "\n", encoding="utf-8")
    return status
