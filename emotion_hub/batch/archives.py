"""Zip and tar archives as sources of pictures.

Members are read in place, with a size limit; nothing is unpacked to the disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from emotion_hub.batch.pictures import (
    Picture,
    file_stamp,
    read_member,
    shown_name,
    unreadable_picture,
)
from emotion_hub.errors import ImageError, InputError
from emotion_hub.images import MAX_BYTES, is_image_name

__all__ = ["ZIP_ERRORS", "TarSource", "ZipSource", "read_zip_member"]

#: What zipfile raises for a file that is not a zip file, is damaged or is encrypted.
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
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}

#: Compression methods of zip members that are read: only for these does zipfile limit what one read unpacks. Half a
#: kilobyte of bzip2 can be 800 MB.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipSource:
    """The pictures in a zip file, in the order of its directory."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is not a zip file or holds no picture."""
        try:
            self.archive = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            raise InputError(
                f"{path.name!r} cannot be read as a zip file ({error}); download or create it again"
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
    """The member's bytes. Raises ImageError for a member that cannot be read.

    Threads may share an archive: ZipFile locks its file around each read.
    """
    if info.compress_type not in _METHODS:
        raise ImageError(
            f"{info.filename!r} is compressed by method {info.compress_type}, whose size in memory cannot be limited;"
            " compress it again with deflate"
        )
    try:
        with archive.open(info) as file:
            return read_member(file, info.filename, info.file_size)
    except ImageError:
        raise
    except ZIP_ERRORS as error:
        raise ImageError(
            f"{info.filename!r} cannot be read from the zip file ({error}); create it again, without a password"
        ) from error


class TarSource:
    """The pictures in a tar file, compressed or not, in their order.

    A damaged or truncated file ends with an unreadable picture.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is not a tar file or holds no picture."""
        self.path = path
        first = next(self._members(), None)
        if isinstance(first, Exception):
            raise InputError(
                f"{path.name!r} cannot be read as a tar file ({first}); download or create it again"
            ) from first
        if first is None:
            raise InputError(f"{path.name!r} holds no picture; give a tar file that does")
        self.identity = {"kind": "tar", "path": shown_name(path.resolve()), "file": file_stamp(path)}

    def count(self) -> None:
        return None

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        for member in islice(self._members(), start, None):
            if isinstance(member, Exception):
                name = self.path.name
                reason = f"{name!r} is damaged or cut short ({member}); the rest of it is lost. Create it again"
                yield unreadable_picture(shown_name(name), reason)
                continue
            archive, info = member
            name = shown_name(info.name)
            try:
                yield Picture(name, read_member(archive.extractfile(info), info.name, info.size))
            except ImageError as error:
                yield unreadable_picture(name, str(error))
            except _TAR_ERRORS as error:
                reason = f"{info.name!r} cannot be read from the tar file ({error}); create it again"
                yield unreadable_picture(name, reason)

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo] | Exception]:
        """The members that are pictures; an error, as the last item, where the archive cannot be read further."""
        try:
            with (
                _decompressed(self.path) as file,
                # _BoundedFile has the methods that reading needs
                tarfile.open(fileobj=cast(IO[bytes], _BoundedFile(file)), mode="r:", ignore_zeros=False) as archive,
            ):
                while (info := archive.next()) is not None:
                    # an undocumented list, which would keep every header of the file in memory
                    archive.members.clear()  # type: ignore[attr-defined]
                    if info.isreg() and is_image_name(info.name):
                        yield archive, info
        except _TAR_ERRORS as error:
            yield error


class _BoundedFile:
    """A file that refuses to read more bytes at once than a picture may have.

    tarfile reads an extended header in one call, whatever size it claims.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_BYTES + 1:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._read(size)


def _decompressed(path: Path) -> Any:
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2), open)
    return opener(path, "rb")
