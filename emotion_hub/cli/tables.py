"""Output of `predict` and `compare`: table, JSON, CSV or JSON lines."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from emotion_hub.cli.options import named_file
from emotion_hub.quality import NOT_A_FACE, FaceWarning

__all__ = ["Layout", "Writer", "output"]

#: Maximum width of the column of picture names; of a longer name the end is shown.
NAME_WIDTH = 44


class Layout(Protocol):
    """The columns of a command's faces."""

    @property
    def columns(self) -> Sequence[tuple[str, int]]:
        """(title, width) of a table's columns after the picture's name and the face's number."""
        ...

    def cells(self, face: Any) -> Sequence[str]:
        """The texts in those columns."""
        ...

    def details(self, face: Any) -> Sequence[Sequence[str]]:
        """Further rows of a table below the face's: a name, then the texts in the first columns."""
        ...

    def fields(self, face: Any) -> Mapping[str, Any]:
        """The values of a row of a CSV file, by column name."""
        ...

    def field_names(self) -> Sequence[str]:
        """The column names of a CSV file, also when there is no face."""
        ...

    def warnings(self, face: Any) -> Sequence[FaceWarning]:
        """Reasons to doubt the prediction for this face."""
        ...

    def note(self, face: Any) -> str:
        """A remark on this face that is printed once, below the table."""
        ...


@contextlib.contextmanager
def output(path: str | None) -> Iterator[IO[str]]:
    """Standard output, or a file that replaces `path` when the context ends without an error.

    Raises InputError for a folder that does not exist.
    """
    if path is None:
        yield sys.stdout
        return
    target = named_file("--out", path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        part = Path(folder) / target.name
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, target)


def _by_code(faces: Sequence[Sequence[FaceWarning]]) -> dict[str, list[tuple[int, FaceWarning]]]:
    """{code: [(number of the face from 1, warning)]}, in the order of the faces."""
    rows: dict[str, list[tuple[int, FaceWarning]]] = {}
    for number, warnings in enumerate(faces, 1):
        for warning in warnings:
            rows.setdefault(warning.code, []).append((number, warning))
    return rows


class Writer:
    """Writes one record per picture as soon as it is processed; `close` ends the document."""

    def __init__(self, file: IO[str], kind: str, layout: Layout, names: Sequence[str]) -> None:
        """`names` are those of all pictures: they set the width of the first column."""
        self.file, self.kind, self.layout = file, kind, layout
        self._count, self._has_header, self._note = 0, False, ""
        self._width = min(NAME_WIDTH, max([5, *map(len, names)]))
        self._colour = kind == "table" and file.isatty() and "NO_COLOR" not in os.environ
        if kind == "csv":
            self._csv = csv.DictWriter(
                file, ["image", "face", *layout.field_names(), "error"], restval="", lineterminator="\n"
            )
            self._csv.writeheader()
        elif kind == "json":
            file.write("[")

    def add(self, name: str, faces: Sequence[Any], error: str | None = None) -> None:
        """Write one picture with its faces, largest first, or the error for which it could not be read."""
        if self.kind == "table":
            self._rows(name, faces, error)
        elif self.kind == "csv":
            rows = [{"face": i, **self.layout.fields(face)} for i, face in enumerate(faces, 1)] or [{}]
            self._csv.writerows({"image": name, **row, "error": error or ""} for row in rows)
        else:
            record = {"image": name, "faces": [face.to_dict() for face in faces], **({"error": error} if error else {})}
            text = json.dumps(record, indent=2 if self.kind == "json" else None, ensure_ascii=False)
            if self.kind == "json":
                text = ("," if self._count else "") + "\n" + text
            self.file.write(text if self.kind == "json" else text + "\n")
        self._count += 1
        self.file.flush()

    def close(self) -> None:
        """Write the end of the document."""
        if self.kind == "json":
            self.file.write("\n]\n")
        elif self._note:
            self.file.write(f"{self._note}\n")

    def _rows(self, name: str, faces: Sequence[Any], error: str | None) -> None:
        if error:
            return  # it is on standard error
        if not self._has_header:
            self._has_header = True
            titles = [("IMAGE", self._width), ("FACE", 4), *self.layout.columns]
            self._line([title.ljust(width) for title, width in titles], bold=True)
        shown = name if len(name) <= self._width else "…" + name[1 - self._width :]
        if not faces:
            self._line([shown.ljust(self._width), "-".ljust(4), "no face found"])
        warnings = _by_code([self.layout.warnings(face) for face in faces])
        self._warn(shown, {code: rows for code, rows in warnings.items() if code == NOT_A_FACE})
        for i, face in enumerate(faces, 1):
            self._line([shown.ljust(self._width), str(i).ljust(4), *self._padded(self.layout.cells(face))])
            for name_of_row, *cells in self.layout.details(face):
                self._line([name_of_row.ljust(self._width), "".ljust(4), *self._padded(cells)])
            self._note = self._note or self.layout.note(face)
        self._warn(shown, {code: rows for code, rows in warnings.items() if code != NOT_A_FACE})

    def _padded(self, cells: Sequence[str]) -> list[str]:
        return [cell.ljust(width) for cell, (_, width) in zip(cells, self.layout.columns, strict=False)]

    def _warn(self, name: str, warnings: Mapping[str, Sequence[tuple[int, FaceWarning]]]) -> None:
        """Write one line per code, with the message for the first of its faces."""
        for code, rows in warnings.items():
            number, warning = rows[0]
            others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            text = f"warning {code} (face {number}{others}): {warning.message}"
            self._line([name.ljust(self._width), "".ljust(4), text])

    def _line(self, cells: Sequence[str], *, bold: bool = False) -> None:
        text = "  ".join(cells).rstrip()
        self.file.write(f"\033[1m{text}\033[0m\n" if bold and self._colour else f"{text}\n")
