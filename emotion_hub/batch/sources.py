"""Open a source of pictures: a picture, folder, zip, tar, manifest, parquet files, data set of the Hub or video.

| source | its pictures are named by |
|---|---|
| picture or folder of pictures, searched recursively | path below the folder |
| .zip, .tar, .tar.gz, .tar.bz2, .tar.xz | name of the member; nothing is unpacked to the disk |
| .csv with a column `path` | the path as written, relative to the csv's folder |
| .parquet, folder of them, folder of Dataset.save_to_disk, Hub id | split and row |
| video | file name; `time` tells the frames apart |
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
from typing import Any

from emotion_hub.batch.archives import TarSource, ZipSource
from emotion_hub.batch.pictures import (
    IMAGE_SUFFIXES,
    Picture,
    Source,
    broken,
    file_stamp,
    is_image_name,
    read_file,
    shown_name,
)
from emotion_hub.batch.progress import bar
from emotion_hub.batch.tables import DatasetSource, ParquetSource
from emotion_hub.checkpoints import file_hash
from emotion_hub.errors import InputError, ManifestError, VideoError
from emotion_hub.video.frames import DEFAULT_RATE, VIDEO_SUFFIXES, probe_video, read_frames

__all__ = ["FolderSource", "ManifestSource", "VideoSource", "open_source"]

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def open_source(
    source: str | Path,
    *,
    split: str | None = None,
    column: str | None = None,
    rate: float | None = DEFAULT_RATE,
    progress: bool = False,
) -> Source:
    """The pictures of `source`; the forms are listed above. `split` and `column` choose within tables, `rate` (frames per second) within a video.

    `progress` shows a bar on a terminal while the files of a large folder are listed.

    Raises InputError for a source that is none of these, holds no picture, or takes no split or column.
    """
    path, name = Path(source), str(source).lower()
    table = {"split": split, "column": column}
    if os.path.isdir(path):  # Path's own methods raise for a name that is too long
        found = _folder(path, table, progress)
    elif os.path.isfile(path):
        found = _file(path, name, table, rate)
    elif not os.path.exists(path) and _HUB_ID.fullmatch(str(source)):
        return DatasetSource.from_hub(str(source), **table)
    else:
        raise InputError(
            f"there is no source {str(source)[:200]!r}; give a file, a folder or the id 'owner/name' of a data set on the Hub"
        )
    if split is not None and not isinstance(found, ParquetSource | DatasetSource):
        raise InputError(
            f"split={split!r}: {path.name!r} has no splits; leave it out, or give the split's own folder or file"
        )
    if column is not None and not isinstance(found, ParquetSource | DatasetSource | ManifestSource):
        raise InputError(f"column={column!r}: {path.name!r} has no columns; leave it out")
    return found


def _folder(path: Path, table: dict[str, str | None], progress: bool) -> Source:
    if (path / "dataset_dict.json").is_file() or (
        (path / "dataset_info.json").is_file() and (path / "state.json").is_file()
    ):
        return DatasetSource.from_disk(path, **table)
    names = sorted(_walk(path))
    if pictures := [name for name in names if is_image_name(name)]:
        return FolderSource(path, pictures, progress)
    if tables := [name for name in names if name.lower().endswith(".parquet")]:
        return ParquetSource(path, tables, **table)
    raise InputError(
        f"{str(path)!r} holds no picture ({', '.join(IMAGE_SUFFIXES[:3])}, ...) and no parquet file; give a folder that does"
    )


def _file(path: Path, name: str, table: dict[str, str | None], rate: float | None) -> Source:
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
        f"{path.name!r} is no source; give a folder, a picture, .zip, .tar, .csv, .parquet, a video or a Hub id"
    )


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative to it, with forward slashes."""
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
            except OSError:  # a link to nothing becomes a row with an error
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
    """The files a csv names in one of its columns, relative to the csv's folder; other columns are left alone."""

    def __init__(self, path: Path, column: str) -> None:
        """Raises ManifestError for a csv without that column."""
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
                yield broken(
                    f"row {line}", f"{self.path.name} row {line} has no {self.column}; fill it in or delete the row"
                )

    def _rows(self) -> Iterator[tuple[int, str]]:
        """Line number and path of each row that is not blank."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file)
                header = [name.strip() for name in next(reader, [])]
                if self.column not in header:
                    raise ManifestError(
                        f"{self.path} row 1: no column {self.column} among {header}; the first row names the columns, or name another one"
                    )
                position = header.index(self.column)
                for values in reader:
                    if any(value.strip() for value in values):
                        yield reader.line_num, values[position].strip() if position < len(values) else ""
        except (csv.Error, UnicodeDecodeError) as error:
            raise ManifestError(f"{self.path} cannot be read as a csv in UTF-8 ({error}); save it again") from error


class VideoSource:
    """Frames of a video, `rate` per second; where the file is damaged, one broken picture ends them."""

    def __init__(self, path: Path, rate: float | None) -> None:
        """Raises VideoError for what is no video and InputError for an invalid rate."""
        read_frames(path, rate)  # checks the rate
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
        name, given = shown_name(self.path.name), 0
        try:
            for frame in read_frames(self.path, self.rate):
                given = frame.index + 1
                if frame.index >= start:
                    yield Picture(name, frame.image, frame.time)
        except VideoError as error:
            if given >= start:
                yield broken(name, str(error))
