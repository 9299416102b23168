"""Zip and tar files: members are read in place, bounded in size, and nothing is unpacked to the disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from emotion_hub.batch.pictures import Picture, broken, file_stamp, is_image_name, read_member, shown_name
from emotion_hub.errors import ImageError, InputError
from emotion_hub.images import MAX_BYTES

__all__ = ["ZIP_ERRORS", "TarSource", "ZipSource", "read_zip_member"]

#: What zipfile raises for a file that is none, is damaged or locked.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_TAR_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}

#: How a zip member may be packed: zipfile bounds what one read unpacks for these alone, half a kilobyte of bzip2 is 800 MB.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipSource:
    """The pictures in a zip file, in the order of its directory."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is no zip or holds no picture."""
        try:
            self.archive = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            raise InputError(
                f"{path.name!r} cannot be read as a zip file ({error}); download or pack it again"
            ) from error
        self.members = [info for info in self.archive.infolist() if not info.is_dir() and is_image_name(info.filename)]
        if not self.members:
            raise InputError(f"{path.name!r} holds no picture; give a zip file that does")
        self.identity = {"kind": "zip", "path": shown_name(path.resolve()), "file": file_stamp(path)}

    def count(self) -> int:
        return len(self.members)

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for info in islice(self.members, start, None):
            yield Picture(shown_name(info.filename), partial(read_zip_member, self.archive, info))


def read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The member's bytes; safe from several threads, for ZipFile locks its file around each read. Raises ImageError for what cannot be read."""
    if info.compress_type not in _PACKINGS:
        raise ImageError(
            f"{info.filename!r} is packed by method {info.compress_type}, which may unpack to any size at once; pack it again with deflate"
        )
    try:
        with archive.open(info) as file:
            return read_member(file, info.filename, info.file_size)
    except ImageError:
        raise
    except ZIP_ERRORS as error:
        raise ImageError(
            f"{info.filename!r} cannot be read from the zip file ({error}); pack it again, without a password"
        ) from error


class TarSource:
    """The pictures in a tar file, compressed or not, in their order; where it is cut short, one broken picture ends them."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is no tar or holds no picture."""
        self.path = path
        first = next(self._members(), None)
        if isinstance(first, Exception):
            raise InputError(
                f"{path.name!r} cannot be read as a tar file ({first}); download or pack it again"
            ) from first
        if first is None:
            raise InputError(f"{path.name!r} holds no picture; give a tar file that does")
        self.identity = {"kind": "tar", "path": shown_name(path.resolve()), "file": file_stamp(path)}

    def count(self) -> None:
        return None

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for member in islice(self._members(), start, None):
            if isinstance(member, Exception):
                yield broken(
                    shown_name(self.path.name),
                    f"{self.path.name!r} is damaged or cut short ({member}); what follows in it is lost. Pack it again",
                )
                continue
            archive, info = member
            try:
                yield Picture(shown_name(info.name), read_member(archive.extractfile(info), info.name, info.size))
            except ImageError as error:
                yield broken(shown_name(info.name), str(error))
            except _TAR_ERRORS as error:
                yield broken(
                    shown_name(info.name), f"{info.name!r} cannot be read from the tar file ({error}); pack it again"
                )

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo] | Exception]:
        """The members that are pictures; an error, as the last one, when the archive cannot be read further."""
        try:
            with (
                _unpacked(self.path) as file,
                tarfile.open(fileobj=_Careful(file), mode="r:", ignore_zeros=False) as archive,
            ):
                while (info := archive.next()) is not None:
                    archive.members.clear()  # it would keep every header of the file
                    if info.isreg() and is_image_name(info.name):
                        yield archive, info
        except _TAR_ERRORS as error:
            yield error


class _Careful:
    """A file that refuses to read more at once than a picture may have: tarfile reads extended headers whole, whatever size they claim."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_BYTES + 1:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._read(size)


def _unpacked(path: Path) -> Any:
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2), open)
    return opener(path, "rb")
