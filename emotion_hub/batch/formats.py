"""Result file formats by suffix: .parquet, .csv, .ndjson and .jsonl.

Every format has the same rows in the same order and the columns of `parquet.schema`, with three exceptions in CSV:
`bbox` is four columns (bbox_left, bbox_top, bbox_right and bbox_bottom), the values of `warnings` and of
`prediction_set` are joined by "|", and a missing value is an empty field (null in JSON).
Text files are UTF-8; CSV rows end with CR LF (RFC 4180). A probability has the fewest digits that give the same
float32, other floats the fewest that give the same float64.

Texts in a CSV file are not changed. A picture's name may start with = + - or @, which a spreadsheet takes for a
formula: programs that read the file need the name to find the picture. Import results of untrusted pictures into a
spreadsheet with `source` and `error` as text columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from emotion_hub.batch.parquet import ParquetFormat, arrow
from emotion_hub.batch.pictures import shown_name
from emotion_hub.batch.rows import Counts, ResultPart, label_columns
from emotion_hub.errors import InputError

__all__ = ["FORMATS", "CsvFormat", "Format", "JsonLinesFormat", "check_out", "metadata_file", "open_format"]

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
    "warnings",
    "model",
    "checkpoint",
    "label",
    "label_id",
    "prediction_set",
]
#: Columns of lists of texts, which are joined in CSV.
_LISTS = ("warnings", "prediction_set")
_BBOX = ["bbox_left", "bbox_top", "bbox_right", "bbox_bottom"]

#: Bytes of a result that are read at once when its checksum is verified.
_BLOCK = 1 << 20


class Format(Protocol):
    """Writes and reads parts and results."""

    def encode(self, part: ResultPart) -> bytes:
        """The content of a part's file."""
        ...

    def damage(self, path: Path) -> str | None:
        """Why a part's file cannot be used; None for a valid one."""
        ...

    def merge(self, parts: Iterable[Path], out: Path) -> dict[str, Any] | None:
        """Write the result from valid parts.

        Returns the content of its `metadata_file`, None for a format that stores the metadata in the result.
        """
        ...

    def record(self, out: Path) -> dict[str, Any] | None:
        """How the rows of a result were made; None for a file that was written by other software or changed since."""
        ...

    def counts(self, path: Path) -> Counts:
        """Pictures and faces of a valid part or result."""
        ...


def metadata_file(out: Path) -> Path:
    """The JSON file beside a CSV or JSON lines result, with how its rows were made and their counts."""
    return out.with_name(out.name + ".json")


class _TextFormat:
    """Rows as lines of text.

    A part ends with a line that holds its counts and the CRC-32 of the lines before it. A result holds the rows of its
    parts; its record, counts and CRC-32 are in `metadata_file`, because text formats have no place for them.
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
        metadata = _read_metadata(out)
        unchanged = metadata.get("bytes") == out.stat().st_size and metadata.get("crc32") == _checksum(out)
        return metadata.get("emotion_hub") if unchanged else None

    def counts(self, path: Path) -> Counts:
        return _counts(_read_metadata(path) or _part(path)[1])


class CsvFormat(_TextFormat):
    """Comma-separated values with a header row."""

    def header(self) -> str:
        return self._text([[name for column in self.columns for name in (_BBOX if column == "bbox" else [column])]])

    def lines(self, rows: Iterable[dict[str, Any]]) -> str:
        position = self.columns.index("bbox")
        values = (list({**row, **{name: _joined(row[name]) for name in _LISTS}}.values()) for row in rows)
        return self._text([*row[:position], *(row[position] or [None] * 4), *row[position + 1 :]] for row in values)

    def _text(self, rows: Iterable[Sequence[Any]]) -> str:
        file = io.StringIO(newline="")
        csv.writer(file).writerows(rows)  # it writes floats by repr and None as an empty field
        return file.getvalue()


class JsonLinesFormat(_TextFormat):
    """One JSON object per row, with every column."""

    def lines(self, rows: Iterable[dict[str, Any]]) -> str:
        return "".join(f"{json.dumps(_finite(row), ensure_ascii=False)}\n" for row in rows)


#: {suffix: constructor, which takes the models' label sets and the record of how the rows are made}.
FORMATS: dict[str, Callable[[Sequence[Sequence[str]], dict[str, Any]], Format]] = {
    ".parquet": ParquetFormat,
    ".csv": CsvFormat,
    ".ndjson": JsonLinesFormat,
    ".jsonl": JsonLinesFormat,
}


def check_out(out: Path) -> None:
    """Check the path of a result.

    Raises InputError for an unknown suffix, a missing folder and an existing file that is not a result's metadata, and
    MissingDependencyError for parquet without pyarrow.
    """
    if out.suffix.lower() not in FORMATS or not out.parent.is_dir() or out.is_dir():
        *first, last = FORMATS
        raise InputError(f"out={shown_name(out)!r}: name a {', '.join(first)} or {last} file in a folder that exists")
    if FORMATS[out.suffix.lower()] is ParquetFormat:
        arrow()
    elif metadata_file(out).exists() and "emotion_hub" not in _read_metadata(out):
        raise InputError(
            f"{metadata_file(out).name!r} exists already and is not the metadata of a result {out.name!r};"
            " choose another name"
        )


def open_format(suffix: str, labels: Sequence[Sequence[str]], record: dict[str, Any]) -> Format:
    """The format of a suffix, for models with these label sets; `record` says how the rows are made."""
    return FORMATS[suffix.lower()](labels, record)


def _read_metadata(out: Path) -> dict[str, Any]:
    """The content of a result's `metadata_file`; empty where it is missing or unreadable."""
    try:
        content = json.loads(metadata_file(out).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _part(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A part's rows, and the content of its last line."""
    data = path.read_bytes()
    end = data.rfind(b"\n", 0, -1) + 1
    return data[:end], json.loads(data[end:])


def _counts(values: dict[str, Any]) -> Counts:
    return Counts(**{name: values[name] for name in asdict(Counts())})


def _joined(labels: Sequence[str] | None) -> str | None:
    """The texts as one CSV field; None for none."""
    return None if labels is None else "|".join(labels)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row with None for the numbers that JSON lacks: NaN and infinities."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
