"""Read labelled images of one's own as one source, with their columns.

| data | form |
|---|---|
| folder with labels.csv or metadata.csv, or such a file | a file name per row, a label, and columns such as age |
| anything that training.data.sources reads | all splits, joined |

A list without a label column takes the name of the folder that holds the file as its label.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from emotion_hub.errors import InputError, ManifestError
from training.data.own_folder import class_folders
from training.data.sources import open_splits
from training.data.splits import Source, canonical_split

__all__ = ["LISTS", "find_list", "is_own", "open_labelled"]

#: Names of a list in a folder of images.
LISTS = ("labels.csv", "metadata.csv")

#: Names of the columns of a list, the first that occurs.
_FILES = ("file_name", "path", "filename", "file", "image")
_LABELS = ("label", "labels", "emotion", "expression")


def find_list(data: str | Path) -> Path | None:
    """The list of a folder, or `data` itself when it is one; None for data without a list.

    Raises ManifestError for a folder with two lists.
    """
    path = Path(data)
    if path.is_file():
        return path if path.name.lower() in LISTS else None
    found = [path / name for name in LISTS if (path / name).is_file()]
    if len(found) > 1:
        raise ManifestError(f"{found[0]} and {found[1]} are both lists of the images in {path}; keep one")
    return found[0] if found else None


def is_own(data: str | Path) -> bool:
    """Whether `data` has images without fixed splits: a list, or class folders alone."""
    return find_list(data) is not None or bool(class_folders(data))


def open_labelled(data: str | Path, split: str | None = None) -> Source:
    """All images of `data` as one source, or those of one split.

    Raises InputError for a split that does not exist and for data without images, and ManifestError, naming the row,
    for a faulty list.
    """
    path = find_list(data)
    sources = {"all": _read_list(path)} if path else open_splits(data)
    if split is None:
        return _join(list(sources.values()))
    name = canonical_split(split)
    if name not in sources:
        raise InputError(f"no split {split!r} in {data}; it has {', '.join(sources)}. Leave --split out for all images")
    return sources[name]


def _read_list(path: Path) -> Source:
    with path.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text)
        header = [name.strip() for name in next(reader, [])]
        file_column = next((name for name in _FILES if name in header), None)
        label_column = next((name for name in _LABELS if name in header), None)
        if file_column is None:
            raise ManifestError(
                f"{path} row 1: no column of file names among {header}; call it {_FILES[0]!r}, and that of "
                f"labels {_LABELS[0]!r}"
            )
        columns: dict[str, list[str]] = {name: [] for name in header}
        lines: list[int] = []
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                raise ManifestError(
                    f"{path} row {reader.line_num} has {len(values)} values for {len(header)} columns; give one for "
                    f"each of {', '.join(header)}"
                )
            lines.append(reader.line_num)
            for name, value in zip(header, values, strict=True):
                columns[name].append(value.strip())
    if not lines:
        raise ManifestError(f"{path} lists no image; give one row per image below the header")
    files = [path.parent / name.replace("\\", "/") for name in columns.pop(file_column)]
    for line, file in zip(lines, files, strict=True):
        if not file.is_file():
            raise ManifestError(
                f"{path} row {line}: there is no file {file}; correct the name, which is relative to the list's folder"
            )
    labels = columns.pop(label_column) if label_column else [file.parent.name for file in files]
    for line, label in zip(lines, labels, strict=True):
        if not label:
            raise ManifestError(f"{path} row {line} has no label; fill it in or delete the row")

    def read(i: int) -> bytes:
        return files[i].read_bytes()

    return Source("all", labels, read, lambda i: f"{path} row {lines[i]} ({files[i].name})", columns)


def _join(sources: Sequence[Source]) -> Source:
    """The rows of several sources as one, with the columns that all of them have."""
    if len(sources) == 1:
        return sources[0]
    rows = [(source, i) for source in sources for i in range(len(source))]
    shared = [name for name in sources[0].columns if all(name in source.columns for source in sources)]
    columns = {name: [value for source in sources for value in source.columns[name]] for name in shared}

    def read(i: int) -> bytes | Image.Image:
        source, k = rows[i]
        return source.read(k)

    def where(i: int) -> str:
        source, k = rows[i]
        return source.where(k)

    return Source("all", [label for source in sources for label in source.labels], read, where, columns)
