"""Sources: folder, zip, tar, manifest, parquet, data set or video.

| source | names of its pictures |
|---|---|
| picture, or folder of pictures with its subfolders | path below the folder |
| .zip, .tar, .tar.gz, .tar.bz2, .tar.xz | name of the member; nothing is unpacked to the disk |
| .csv with a column `path` | the path as written, relative to the csv's folder |
| .parquet, folder of .parquet files, folder of Dataset.save_to_disk, Hub id | split and row |
| video | file name; the frames differ in `time` |
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from emotion_hub.batch.archives import TarSource, ZipSource
from emotion_hub.batch.data_sets import DatasetSource
from emotion_hub.batch.pictures import (
    Picture,
    Source,
    file_stamp,
    read_file,
    shown_name,
    unreadable_picture,
)
from emotion_hub.batch.progress import bar
from emotion_hub.batch.tables import ParquetSource
from emotion_hub.checkpoints import file_hash
from emotion_hub.checkpoints.hub import HUB_ID
from emotion_hub.errors import InputError, ManifestError, VideoError
from emotion_hub.images import IMAGE_SUFFIXES, is_image_name
from emotion_hub.video.frames import DEFAULT_RATE, VIDEO_SUFFIXES, probe_video, read_frames

__all__ = ["FolderSource", "ManifestSource", "SourceArguments", "VideoSource", "open_source"]

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class SourceArguments(TypedDict):
    """The arguments of `open_source` that decide which pictures there are."""

    source: str
    split: str | None
    column: str | None
    rate: float | None


def open_source(
    source: str | Path,
    *,
    split: str | None = None,
    column: str | None = None,
    rate: float | None = DEFAULT_RATE,
    progress: bool = False,
) -> Source:
    """The pictures of `source`, in one of the forms that the module's docstring lists.

    `split` and `column` choose within tables, `rate` (frames per second) within a video. `progress` shows a bar on a
    terminal while the files of a large folder are listed. Raises InputError for a source of another form or without a
    picture, and for a split or column where the source has none.
    """
    path, name = Path(source), str(source).lower()
    table: dict[str, str | None] = {"split": split, "column": column}
    if os.path.isdir(path):  # Path's own methods raise for a name that is too long
        opened = _open_folder(path, table, progress)
    elif os.path.isfile(path):
        opened = _open_file(path, name, table, rate)
    elif not os.path.exists(path) and re.fullmatch(HUB_ID, str(source)):
        return DatasetSource.from_hub(str(source), **table)
    else:
        raise InputError(
            f"there is no source {str(source)[:200]!r}; give a file, a folder, or the Hub id 'owner/name' of a data set"
        )
    if split is not None and not isinstance(opened, ParquetSource | DatasetSource):
        raise InputError(f"split={split!r}: {path.name!r} has no splits; omit it, or give the split's folder or file")
    if column is not None and not isinstance(opened, ParquetSource | DatasetSource | ManifestSource):
        raise InputError(f"column={column!r}: {path.name!r} has no columns; omit it")
    return opened


def _open_folder(path: Path, table: dict[str, str | None], progress: bool) -> Source:
    saved_split = (path / "dataset_info.json").is_file() and (path / "state.json").is_file()
    if saved_split or (path / "dataset_dict.json").is_file():
        return DatasetSource.from_disk(path, **table)
    names = sorted(_walk(path))
    if pictures := [name for name in names if is_image_name(name)]:
        return FolderSource(path, pictures, progress)
    if tables := [name for name in names if name.lower().endswith(".parquet")]:
        return ParquetSource(path, tables, **table)
    raise InputError(
        f"{str(path)!r} holds no picture ({', '.join(IMAGE_SUFFIXES[:3])}, ...) and no parquet file;"
        " give a folder with one of them"
    )


def _open_file(path: Path, name: str, table: dict[str, str | None], rate: float | None) -> Source:
    if name.endswith(IMAGE_SUFFIXES):
        return FolderSource(path.parent, [path.name])
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith(_TARS):
        return TarSource(path)
    if name.endswith(".csv"):
        return ManifestSource(path, table["column"] or "path")
    if name.endswith(".parquet"):
        return ParquetSource(path.parent, [path.name], **table)
    if name.endswith(VIDEO_SUFFIXES):
        return VideoSource(path, rate)
    raise InputError(
        f"{path.name!r} is not a source; give a folder, a picture, .zip, .tar, .csv, .parquet, a video or a Hub id"
    )


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files in a folder and its subfolders, relative to it, with forward slashes."""
    for root, _, files in os.walk(folder):
        inside = os.path.relpath(root, folder)
        for name in files:
            yield (name if inside == "." else os.path.join(inside, name)).replace(os.sep, "/")


class FolderSource:
    """The picture files `names` of a folder, in that order."""

    def __init__(self, folder: Path, names: list[str], progress: bool = False) -> None:
        self.folder, self.names = folder, names
        digest = hashlib.sha256()
        for name in bar(names, progress=progress, desc="listing", unit=" pictures", delay=1, leave=False):
            try:
                stamp = file_stamp(folder / name)
            except OSError:  # a dangling link becomes a row with an error
                stamp = []
            digest.update(f"{shown_name(name)} {stamp}\n".encode())
        self.identity = {"kind": "files", "path": shown_name(folder.resolve()), "files": digest.hexdigest()}

    def count(self) -> int:
        return len(self.names)

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        folder = os.path.join(self.folder, "")
        for name in islice(self.names, start, None):
            yield Picture(shown_name(name), partial(read_file, folder + name))


class ManifestSource:
    """The files that a csv names in one of its columns, relative to the csv's folder; other columns are ignored."""

    def __init__(self, path: Path, column: str) -> None:
        """Raises ManifestError for a csv without that column or without rows."""
        self.path, self.column = path, column
        self.identity = {"kind": "manifest", "path": shown_name(path.resolve()), "sha256": file_hash(path)}
        if next(self._rows(), None) is None:
            raise ManifestError(f"{path} row 2: there is no row below the header; list pictures, one per row")

    def count(self) -> int:
        return sum(1 for _ in self._rows())

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for line, name in islice(self._rows(), start, None):
            if name:
                yield Picture(name, partial(read_file, os.path.join(self.path.parent, name.replace("\\", "/"))))
            else:
                reason = f"{self.path.name} row {line} has no {self.column}; fill it in or delete the row"
                yield unreadable_picture(f"row {line}", reason)

    def _rows(self) -> Iterator[tuple[int, str]]:
        """Line number and path of each row that is not blank. Raises ManifestError for an unreadable file."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file)
                header = [name.strip() for name in next(reader, [])]
                if self.column not in header:
                    raise ManifestError(
                        f"{self.path} row 1: no column {self.column} among {header}; the first row must name the"
                        " columns, or name another column"
                    )
                position = header.index(self.column)
                for values in reader:
                    if any(value.strip() for value in values):
                        yield reader.line_num, values[position].strip() if position < len(values) else ""
        except (csv.Error, UnicodeDecodeError) as error:
            raise ManifestError(f"{self.path} cannot be read as a csv in UTF-8 ({error}); save it again") from error


class VideoSource:
    """Frames of a video, `rate` per second; a damaged file ends with an unreadable picture."""

    def __init__(self, path: Path, rate: float | None) -> None:
        """Raises VideoError for a file that is not a video and InputError for an invalid rate."""
        read_frames(path, rate)  # it checks the rate at once
        probe_video(path)
        self.path, self.rate = path, rate
        self.identity: dict[str, Any] = {
            "kind": "video",
            "path": shown_name(path.resolve()),
            "file": file_stamp(path),
            "rate": rate,
        }

    def count(self) -> None:
        return None

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        name, count = shown_name(self.path.name), 0
        try:
            for frame in read_frames(self.path, self.rate):
                count = frame.index + 1
                if frame.index >= start:
                    yield Picture(name, frame.image, frame.time)
        except VideoError as error:
            if count >= start:
                yield unreadable_picture(name, str(error))
