"""File formats of a result, chosen by its suffix: .parquet, .csv, .ndjson and .jsonl.

Every format has the same rows in the same order and the columns of `parquet.schema`, with two exceptions in CSV: `bbox` is four columns, bbox_left,
bbox_top, bbox_right and bbox_bottom, and a missing value is an empty field (null in JSON). Text files are UTF-8, CSV rows end with CR LF (RFC 4180).
A probability has the fewest digits that give the same float32, other floats those that give the same float64.

Texts in a CSV file are written unchanged, also a picture's name that starts with = + - or @, which a spreadsheet takes for a formula: programs read
the file and need the name to find the picture. Import results from untrusted pictures into a spreadsheet with `source` and `error` as text columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from emotion_hub.batch.parquet import ParquetFormat, arrow
from emotion_hub.batch.pictures import shown_name
from emotion_hub.batch.rows import Counts, ResultPart, label_columns
from emotion_hub.errors import InputError

__all__ = ["FORMATS", "CsvFormat", "Format", "JsonLinesFormat", "about_file", "check_out", "open_format"]

_COLUMNS = [
    "source",
    "picture",
    "time",
    "width",
    "height",
    "faces",
    "face",
    "bbox",
    "score",
    "detector",
    "model",
    "checkpoint",
    "label",
    "label_id",
]
_BBOX = ["bbox_left", "bbox_top", "bbox_right", "bbox_bottom"]

#: Bytes of a result that are in memory at once while it is checked.
_BLOCK = 1 << 20


class Format(Protocol):
    """How parts and results are written and read."""

    def encode(self, part: ResultPart) -> bytes:
        """The content of a part's file."""
        ...

    def damage(self, path: Path) -> str | None:
        """Why a part's file cannot be used; None for an intact one."""
        ...

    def merge(self, parts: Iterable[Path], out: Path) -> dict[str, Any] | None:
        """Write the result of intact parts; return what its `about_file` must hold, None for a format that needs none."""
        ...

    def record(self, out: Path) -> dict[str, Any] | None:
        """How the rows of a result were made; None for a file that `score` did not write or that was changed since."""
        ...

    def counts(self, path: Path) -> Counts:
        """Pictures and faces of an intact part or result."""
        ...


def about_file(out: Path) -> Path:
    """The file beside a CSV or JSON result that says, as JSON, how its rows were made and how many there are."""
    return out.with_name(out.name + ".json")


class _TextFormat:
    """Rows as lines of text.

    A part ends with a line that holds its counts and the CRC-32 of the lines before it. A result is the rows of its parts; its record, counts and
    CRC-32 are in `about_file`, since text formats have no place for them.
    """

    def __init__(self, labels: Sequence[Sequence[str]], record: dict[str, Any]) -> None:
        self.columns, self._record = [*_COLUMNS, *label_columns(labels), "error"], record

    def header(self) -> str:
        """The lines before the first row."""
        return ""

    def lines(self, rows: Iterable[dict[str, Any]]) -> str:
        raise NotImplementedError

    def encode(self, part: ResultPart) -> bytes:
        content = self.lines(part.rows(self.columns)).encode("utf-8", "backslashreplace")
        return content + json.dumps({"crc32": zlib.crc32(content), **asdict(part.counts())}).encode() + b"\n"

    def damage(self, path: Path) -> str | None:
        try:
            content, last = _part(path)
            return None if zlib.crc32(content) == last["crc32"] else "its checksum differs"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"its last line cannot be read ({error})"

    def merge(self, parts: Iterable[Path], out: Path) -> dict[str, Any]:
        counts, content = Counts(), self.header().encode()
        with out.open("wb") as file:
            checksum, size = zlib.crc32(content), file.write(content)
            for part in parts:
                content, last = _part(part)
                counts += _counts(last)
                checksum, size = zlib.crc32(content, checksum), size + file.write(content)
        return {"emotion_hub": self._record, **asdict(counts), "bytes": size, "crc32": checksum}

    def record(self, out: Path) -> dict[str, Any] | None:
        about = _about(out)
        intact = about.get("bytes") == out.stat().st_size and about.get("crc32") == _checksum(out)
        return about.get("emotion_hub") if intact else None

    def counts(self, path: Path) -> Counts:
        return _counts(_about(path) or _part(path)[1])


class CsvFormat(_TextFormat):
    """Comma-separated values with a header row."""

    def header(self) -> str:
        return self._text([[name for column in self.columns for name in (_BBOX if column == "bbox" else [column])]])

    def lines(self, rows: Iterable[dict[str, Any]]) -> str:
        at = self.columns.index("bbox")
        values = (list(row.values()) for row in rows)
        return self._text([*row[:at], *(row[at] or [None] * 4), *row[at + 1 :]] for row in values)

    def _text(self, rows: Iterable[Sequence[Any]]) -> str:
        file = io.StringIO(newline="")
        csv.writer(file).writerows(rows)  # writes floats by repr and None as an empty field
        return file.getvalue()


class JsonLinesFormat(_TextFormat):
    """A JSON object per row, with every column."""

    def lines(self, rows: Iterable[dict[str, Any]]) -> str:
        return "".join(f"{json.dumps(_finite(row), ensure_ascii=False)}\n" for row in rows)


FORMATS: dict[str, type[Format]] = {
    ".parquet": ParquetFormat,
    ".csv": CsvFormat,
    ".ndjson": JsonLinesFormat,
    ".jsonl": JsonLinesFormat,
}


def check_out(out: Path) -> None:
    """Raises InputError for a path that no format or folder takes, and MissingDependencyError for parquet without pyarrow."""
    if out.suffix.lower() not in FORMATS or not out.parent.is_dir() or out.is_dir():
        *first, last = FORMATS
        raise InputError(f"out={shown_name(out)!r}: name a {', '.join(first)} or {last} file in a folder that exists")
    if FORMATS[out.suffix.lower()] is ParquetFormat:
        arrow()
    elif about_file(out).exists() and "emotion_hub" not in _about(out):
        raise InputError(
            f"{about_file(out).name!r}, where the record of {out.name!r} belongs, exists already and is not one; choose another name"
        )


def open_format(suffix: str, labels: Sequence[Sequence[str]], record: dict[str, Any]) -> Format:
    """The format of a suffix, for models with these label sets and rows made as `record` says."""
    return FORMATS[suffix.lower()](labels, record)


def _about(out: Path) -> dict[str, Any]:
    """The content of a result's `about_file`; empty where there is none that can be read."""
    try:
        found = json.loads(about_file(out).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A part's rows, and its last line."""
    data = path.read_bytes()
    end = data.rfind(b"\n", 0, -1) + 1
    return data[:end], json.loads(data[end:])


def _counts(found: dict[str, Any]) -> Counts:
    return Counts(**{name: found[name] for name in asdict(Counts())})


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row with null for numbers that JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
