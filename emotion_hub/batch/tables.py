"""Parquet files as sources of pictures, and the pictures in table cells."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from emotion_hub.batch.hub_files import hub_file_reader
from emotion_hub.batch.parquet import arrow
from emotion_hub.batch.pictures import Picture, file_stamp, read_file, shown_name, unreadable_picture
from emotion_hub.errors import InputError, first_line

__all__ = ["ParquetSource", "picture_column", "picture_of_cell"]

#: Names of the columns that are taken for pictures, in this order.
_COLUMNS = ("image", "img", "picture", "photo")
_SPLIT = re.compile(
    r"(?:^|[/_.-])(train|training|validation|valid|val|dev|test|testing|publictest|privatetest)(?=[/_.-]|$)",
    re.IGNORECASE,
)

#: Rows of a parquet file that are in memory at once.
_ROWS = 64


class ParquetSource:
    """The pictures in a column of parquet files, read in small batches; row groups before `start` are skipped."""

    def __init__(self, folder: Path, names: list[str], split: str | None = None, column: str | None = None) -> None:
        """`split` selects the files whose path contains its name.

        Raises InputError for a missing split or column, for a table without rows and for a file that is not parquet.
        """
        self.folder, self.names = folder, names
        if split is not None:
            self.names = [name for name in names if split.lower() in _splits(name)]
            if not self.names:
                present = sorted({word for name in names for word in _splits(name)})
                raise InputError(f"split={split!r} is in no file's name; the names have {', '.join(present) or 'none'}")
        self.rows = [self._open(name).metadata.num_rows for name in self.names]
        schemas = {name: self._open(name).schema_arrow for name in self.names}
        self.column = picture_column(schemas[self.names[0]].names, column, shown_name(self.names[0]))
        for name, schema in schemas.items():
            if self.column not in schema.names:
                raise InputError(
                    f"{name!r} has no column {self.column!r}, only {', '.join(schema.names)}; name the picture's column"
                )
        if not sum(self.rows):
            raise InputError(f"{', '.join(self.names[:3])!r} has no row; give tables that hold pictures")
        stamps = [[shown_name(name), *file_stamp(folder / name)] for name in self.names]
        digest = hashlib.sha256(repr(stamps).encode()).hexdigest()
        self.identity = {
            "kind": "parquet",
            "path": shown_name(folder.resolve()),
            "files": digest,
            "column": self.column,
        }

    def count(self) -> int:
        return sum(self.rows)

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for name, rows in zip(self.names, self.rows, strict=True):
            if start < rows:
                yield from self._of_file(name, start)
            start = max(0, start - rows)

    def _of_file(self, name: str, start: int) -> Iterator[Picture]:
        file, row = self._open(name), 0
        groups: list[int] = []
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if not groups and row + size <= start:
                row += size
            else:
                groups.append(group)
        for batch in file.iter_batches(batch_size=_ROWS, row_groups=groups, columns=[self.column]):
            for value in batch.column(0):
                if row >= start:
                    yield picture_of_cell(f"{shown_name(name)} row {row}", value.as_py(), self.folder)
                row += 1

    def _open(self, name: str) -> Any:
        pa = arrow("reading parquet files")
        try:
            return pa.parquet.ParquetFile(self.folder / name, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{name!r} cannot be read as a parquet file ({first_line(error)}); download or write it again"
            ) from error


def picture_of_cell(name: str, value: Any, folder: Path | None) -> Picture:
    """The picture of a cell: bytes, a path, or datasets' struct of both.

    A path names a file below `folder`, or, where `folder` is None, a file on the Hub. Other paths are not opened.
    """
    data: Any = None
    path: Any = None
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
    elif isinstance(value, str):
        path = value
    else:
        data = value
    if isinstance(data, bytes):
        return Picture(name, data)
    if not isinstance(path, str) or not path:
        kind = type(value).__name__
        return unreadable_picture(
            name, f"{name} holds no picture ({kind}); a picture is bytes, or datasets' bytes and path"
        )
    if folder is None and (read := hub_file_reader(path)):
        return Picture(name, read)
    if folder is not None and "://" not in path:
        return Picture(name, partial(read_file, os.path.join(folder, path)))
    where = "on this machine" if folder is not None else "on the Hub"
    reason = f"{name} names {path[:200]!r}, which is no file {where} and is not opened"
    return unreadable_picture(name, f"{reason}; store the picture's bytes in the table")


def _splits(name: str) -> set[str]:
    """The names of splits in a file's path, in lower case."""
    return {word.lower() for word in _SPLIT.findall(name.lower().removesuffix(".parquet"))}


def picture_column(names: list[str], column: str | None, what: str) -> str:
    """The column that is named, or the first of `_COLUMNS`. Raises InputError where the table `what` has none."""
    if column is not None and column not in names:
        raise InputError(f"column={column!r}: {what} has {', '.join(names)}")
    chosen = column or next((name for name in _COLUMNS if name in names), None)
    if chosen is None:
        present = ", ".join(names) or "of an unknown kind"
        raise InputError(f"{what} has the columns {present}; name the column of the picture with --column")
    return chosen
