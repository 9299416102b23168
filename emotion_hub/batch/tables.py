"""Pictures in tables: local parquet files by pyarrow, data sets of the Hub and of `save_to_disk` by datasets."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from emotion_hub.batch.hub_files import hub_file
from emotion_hub.batch.parquet import arrow
from emotion_hub.batch.pictures import Picture, broken, file_stamp, read_file, shown_name
from emotion_hub.errors import InputError, first_line, missing_extra

__all__ = ["DatasetSource", "ParquetSource"]

_COLUMNS = ("image", "img", "picture", "photo")
_SPLIT = re.compile(
    r"(?:^|[/_.-])(train|training|validation|valid|val|dev|test|testing|publictest|privatetest)(?=[/_.-]|$)",
    re.IGNORECASE,
)

#: Rows of a parquet file that are in memory at once.
_ROWS = 64


class ParquetSource:
    """The pictures in a column of parquet files; rows are read a few at a time, row groups before `start` not at all."""

    def __init__(self, folder: Path, names: list[str], split: str | None = None, column: str | None = None) -> None:
        """`split` takes the files whose path names it. Raises InputError for a split or column that is not there and for what is no parquet file."""
        self.folder, self.names = folder, names
        if split is not None:
            self.names = [name for name in names if split.lower() in _splits(name)]
            if not self.names:
                found = sorted({word for name in names for word in _splits(name)})
                raise InputError(f"split={split!r} is in no file's name; found are {', '.join(found) or 'none'}")
        self.rows = [self._open(name).metadata.num_rows for name in self.names]
        schemas = {name: self._open(name).schema_arrow for name in self.names}
        self.column = _column(schemas[self.names[0]].names, column, shown_name(self.names[0]))
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
        groups = []
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if not groups and row + size <= start:
                row += size
            else:
                groups.append(group)
        for batch in file.iter_batches(batch_size=_ROWS, row_groups=groups, columns=[self.column]):
            for value in batch.column(0):
                if row >= start:
                    yield _picture(f"{shown_name(name)} row {row}", value.as_py(), self.folder)
                row += 1

    def _open(self, name: str) -> Any:
        pa = arrow("reading parquet files")
        try:
            return pa.parquet.ParquetFile(self.folder / name, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{name!r} cannot be read as a parquet file ({first_line(error)}); download or write it again"
            ) from error


class DatasetSource:
    """The pictures of a data set, split after split: streamed from the Hub, or read from a folder of `save_to_disk`."""

    def __init__(
        self,
        identity: dict[str, Any],
        splits: dict[str, Callable[[int], Any]],
        counts: dict[str, int | None],
        column: str,
        folder: Path | None,
    ) -> None:
        """`splits` gives for each split a function from a first row to its rows, which hold encoded pictures; for `folder` see `_picture`."""
        self.splits, self.counts, self.column, self.folder = splits, counts, column, folder
        self.identity = {**identity, "splits": list(splits), "column": column}

    @classmethod
    def from_hub(cls, repo_id: str, split: str | None = None, column: str | None = None) -> DatasetSource:
        """The data set at its present commit, streamed. Raises InputError where the Hub gives none."""
        datasets = _datasets()
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError

        try:
            commit = HfApi().dataset_info(repo_id).sha
            builder = datasets.load_dataset_builder(repo_id, revision=commit)
            if hasattr(
                builder.config, "drop_labels"
            ):  # folders of pictures, whose labels datasets takes from the wrong path where they are zipped
                builder.config.drop_labels = True
            loaded = builder.as_streaming_dataset()
        except (HTTPError, OSError, ValueError) as error:  # the HTTP client's own errors are no OSError
            raise InputError(
                f"no data at {repo_id!r}: no such file here, and the Hub gives no such data set ({first_line(error)})"
            ) from error
        chosen = _choose(dict(loaded), split, repo_id)
        column = _column(list(next(iter(chosen.values())).features or ()), column, repo_id)
        counts = {
            name: rows.info.splits[name].num_examples if rows.info.splits and name in rows.info.splits else None
            for name, rows in chosen.items()
        }
        tables = {
            name: _encoded(rows.decode(False), column) for name, rows in chosen.items()
        }  # a cast alone comes after the decoding of streamed rows
        parts = {name: lambda start, rows=rows: _going_on(rows.skip(start), repo_id) for name, rows in tables.items()}
        return cls(
            {"kind": "hub", "id": repo_id, "commit": commit},
            parts,
            {name: count or None for name, count in counts.items()},
            column,
            None,
        )

    @classmethod
    def from_disk(cls, folder: Path, split: str | None = None, column: str | None = None) -> DatasetSource:
        """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, mapped into memory."""
        datasets = _datasets()
        try:
            loaded = datasets.load_from_disk(str(folder))
        except (OSError, ValueError) as error:
            raise InputError(f"{str(folder)!r} cannot be read as a saved data set ({error}); save it again") from error
        chosen = _choose(dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}, split, folder.name)
        column = _column(next(iter(chosen.values())).column_names, column, folder.name)
        stamps = [[shown_name(path.relative_to(folder)), *file_stamp(path)] for path in sorted(folder.rglob("*.arrow"))]
        identity = {
            "kind": "saved",
            "path": shown_name(folder.resolve()),
            "files": hashlib.sha256(repr(stamps).encode()).hexdigest(),
        }
        tables = {name: _encoded(rows, column) for name, rows in chosen.items()}
        parts = {
            name: lambda start, rows=rows: (rows[i] for i in range(start, len(rows))) for name, rows in tables.items()
        }
        return cls(identity, parts, {name: len(rows) for name, rows in tables.items()}, column, Path())

    def count(self) -> int | None:
        return None if None in self.counts.values() else sum(self.counts.values())

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for split, rows in self.splits.items():
            if self.counts[split] is not None and start >= self.counts[split]:
                start -= self.counts[split]
                continue
            first = start if self.counts[split] is not None else 0
            row = first - 1
            for row, values in enumerate(rows(first), first):
                if row >= start:
                    yield _picture(f"{split} row {row}".strip(), values[self.column], self.folder)
            start = max(0, start - row - 1)


def _going_on(rows: Any, repo_id: str) -> Iterator[Any]:
    """The rows; a connection that breaks is no picture's fault and ends the run, which can be resumed."""
    from huggingface_hub.errors import HTTPError

    try:
        yield from rows
    except (HTTPError, OSError) as error:
        raise InputError(
            f"reading {repo_id!r} broke off ({first_line(error)}); run the same command again to go on"
        ) from error
    except (
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # what datasets raises for rows that are not what the data set declares
        raise InputError(
            f"{repo_id!r} holds rows that datasets cannot read ({first_line(error)}); download its files and score those"
        ) from error


def _encoded(rows: Any, column: str) -> Any:
    """Only the picture's column, as bytes and path: our own decoder reads them."""
    from datasets import Image

    return rows.select_columns([column]).cast_column(column, Image(decode=False))


def _picture(name: str, value: Any, folder: Path | None) -> Picture:
    """A cell: bytes, a path, or datasets' struct of both. A path names a file below `folder`, or without one a file on the Hub and nothing else."""
    data, path = (
        (value.get("bytes"), value.get("path"))
        if isinstance(value, dict)
        else (None, value)
        if isinstance(value, str)
        else (value, None)
    )
    if isinstance(data, bytes):
        return Picture(name, data)
    if not isinstance(path, str) or not path:
        return broken(
            name, f"{name} holds no picture ({type(value).__name__}); pictures are bytes, or datasets' bytes and path"
        )
    if folder is None and (read := hub_file(path)):
        return Picture(name, read)
    if folder is not None and "://" not in path:
        return Picture(name, partial(read_file, os.path.join(folder, path)))
    where = "on this machine" if folder is not None else "on the Hub"
    return broken(
        name,
        f"{name} names {path[:200]!r}, which is no file {where} and is not opened; put the picture's bytes in the table",
    )


def _splits(name: str) -> set[str]:
    return {word.lower() for word in _SPLIT.findall(name.lower().removesuffix(".parquet"))}


def _choose(loaded: dict[str, Any], split: str | None, what: str) -> dict[str, Any]:
    if split is None:
        return loaded
    if split not in loaded:
        raise InputError(f"split={split!r}: {what} has {', '.join(filter(None, loaded)) or 'no splits'}")
    return {split: loaded[split]}


def _column(names: list[str], column: str | None, what: str) -> str:
    if column is not None and column not in names:
        raise InputError(f"column={column!r}: {what} has {', '.join(names)}")
    found = column or next((name for name in _COLUMNS if name in names), None)
    if found is None:
        raise InputError(
            f"{what} has the columns {', '.join(names) or 'of an unknown kind'}; name the picture's with --column"
        )
    return found


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("reading a data set of the Hub or of save_to_disk", "train", error) from error
    return datasets
