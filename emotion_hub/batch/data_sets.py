"""Hugging Face data sets as sources: streamed from the Hub or saved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from emotion_hub.batch.pictures import Picture, file_stamp, shown_name
from emotion_hub.batch.tables import picture_column, picture_of_cell
from emotion_hub.errors import InputError, first_line, missing_extra

__all__ = ["DatasetSource"]


class DatasetSource:
    """The pictures of a data set, one split after another: streamed from the Hub, or read from a folder."""

    def __init__(
        self,
        identity: dict[str, Any],
        splits: Mapping[str, Callable[[int], Any]],
        counts: Mapping[str, int | None],
        column: str,
        folder: Path | None,
    ) -> None:
        """`splits` maps each split to a function from a first row to the rows from there on, with encoded pictures.

        `counts` are the rows per split, None where unknown; `folder` is as in `picture_of_cell`.
        """
        self.splits, self.counts, self.column, self.folder = splits, counts, column, folder
        self.identity = {**identity, "splits": list(splits), "column": column}

    @classmethod
    def from_hub(cls, repo_id: str, split: str | None = None, column: str | None = None) -> DatasetSource:
        """The data set at its present commit, streamed. Raises InputError where the Hub has none or fails."""
        datasets = _datasets()
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError

        try:
            commit = HfApi().dataset_info(repo_id).sha
            builder = datasets.load_dataset_builder(repo_id, revision=commit)
            # for folders of pictures, datasets takes the labels from the wrong path where they are zipped
            if hasattr(builder.config, "drop_labels"):
                builder.config.drop_labels = True
            loaded = builder.as_streaming_dataset()
        except (HTTPError, OSError, ValueError) as error:  # the HTTP client's own errors are not OSErrors
            raise InputError(
                f"no data at {repo_id!r}: there is no such file here, and the Hub returns no such data set"
                f" ({first_line(error)})"
            ) from error
        chosen = _chosen_splits(dict(loaded), split, repo_id)
        column = picture_column(list(next(iter(chosen.values())).features or ()), column, repo_id)
        counts = {
            name: rows.info.splits[name].num_examples if rows.info.splits and name in rows.info.splits else None
            for name, rows in chosen.items()
        }
        # decode(False): the cast alone would come after the decoding of streamed rows
        tables = {name: _encoded(rows.decode(False), column) for name, rows in chosen.items()}
        splits = {name: partial(_streamed_rows, rows, repo_id) for name, rows in tables.items()}
        return cls(
            {"kind": "hub", "id": repo_id, "commit": commit},
            splits,
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
        chosen = _chosen_splits(
            dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}, split, folder.name
        )
        column = picture_column(next(iter(chosen.values())).column_names, column, folder.name)
        stamps = [[shown_name(path.relative_to(folder)), *file_stamp(path)] for path in sorted(folder.rglob("*.arrow"))]
        identity = {
            "kind": "saved",
            "path": shown_name(folder.resolve()),
            "files": hashlib.sha256(repr(stamps).encode()).hexdigest(),
        }
        tables = {name: _encoded(rows, column) for name, rows in chosen.items()}
        splits = {name: partial(_saved_rows, rows) for name, rows in tables.items()}
        return cls(identity, splits, {name: len(rows) for name, rows in tables.items()}, column, Path())

    def count(self) -> int | None:
        counts = [count for count in self.counts.values() if count is not None]
        return sum(counts) if len(counts) == len(self.counts) else None

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for split, rows in self.splits.items():
            count = self.counts[split]
            if count is not None and start >= count:
                start -= count
                continue
            first = start if count is not None else 0
            row = first - 1
            for row, values in enumerate(rows(first), first):
                if row >= start:
                    yield picture_of_cell(f"{split} row {row}".strip(), values[self.column], self.folder)
            start = max(0, start - row - 1)


def _saved_rows(rows: Any, start: int) -> Iterator[Any]:
    return (rows[i] for i in range(start, len(rows)))


def _streamed_rows(rows: Any, repo_id: str, start: int) -> Iterator[Any]:
    return _with_input_errors(rows.skip(start), repo_id)


def _with_input_errors(rows: Any, repo_id: str) -> Iterator[Any]:
    """The rows. Raises InputError for invalid rows and for a lost connection, after which a run can be resumed."""
    from huggingface_hub.errors import HTTPError

    try:
        yield from rows
    except (HTTPError, OSError) as error:
        raise InputError(
            f"reading {repo_id!r} was interrupted ({first_line(error)}); run the same command again to continue"
        ) from error
    # what datasets raises for rows that differ from the data set's declaration
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{repo_id!r} holds rows that datasets cannot read ({first_line(error)}); download its files and use those"
        ) from error


def _encoded(rows: Any, column: str) -> Any:
    """Only the picture's column, as bytes and path, so that `load_image` decodes the pictures."""
    from datasets import Image

    return rows.select_columns([column]).cast_column(column, Image(decode=False))


def _chosen_splits(loaded: dict[str, Any], split: str | None, what: str) -> dict[str, Any]:
    """The one split that is named, or all. Raises InputError for a missing split of the data set `what`."""
    if split is None:
        return loaded
    if split not in loaded:
        raise InputError(f"split={split!r}: {what} has {', '.join(filter(None, loaded)) or 'no splits'}")
    return {split: loaded[split]}


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("reading a data set of the Hub or of save_to_disk", "train", error) from error
    return datasets
