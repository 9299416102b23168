"""Pictures and sources: names and contents in a fixed order, read on demand."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emotion_hub.errors import ImageError, ImageTooLargeError
from emotion_hub.images import MAX_BYTES, ImageSource

__all__ = [
    "Picture",
    "Source",
    "file_stamp",
    "read_file",
    "read_member",
    "shown_name",
    "unreadable_picture",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its name in the source, its content or a function that reads it, and its seconds in a video."""

    source: str
    content: ImageSource | Callable[[], ImageSource]
    time: float | None = None

    def read(self) -> ImageSource:
        """A source for `load_image`. Raises ImageError for content that cannot be read."""
        return self.content() if callable(self.content) else self.content


class Source(Protocol):
    """Pictures in a fixed order. `identity` (JSON types) changes when the pairs of names and contents change."""

    identity: dict[str, Any]

    def count(self) -> int | None:
        """The number of pictures; None where it is known only after reading them all."""
        ...

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        """The pictures from position `start` on."""
        ...


def unreadable_picture(name: str, reason: str) -> Picture:
    """A picture whose `read` raises ImageError with the reason."""

    def fail() -> ImageSource:
        raise ImageError(reason)

    return Picture(name, fail)


def shown_name(name: str | os.PathLike[str]) -> str:
    """The name as text that any file format can store; bytes that are not UTF-8 are written as \\xNN."""
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_member(file: Any, name: str, size: int) -> bytes:
    """The bytes of an archive's member, limited to MAX_BYTES: the size in its header may be wrong.

    Raises ImageTooLargeError for a larger one.
    """
    data = file.read(MAX_BYTES + 1) if size <= MAX_BYTES else b""
    if size > MAX_BYTES or len(data) > MAX_BYTES:
        raise ImageTooLargeError(
            f"{name!r} unpacks to more than {MAX_BYTES // 2**20} MB, the limit. Save it smaller or as JPEG"
        )
    return data


def read_file(path: str) -> bytes | Path:
    """The file's bytes, or the path of a missing or too large file, for which `load_image` raises the error.

    Raises ImageError for a pipe, folder or device: reading a pipe without a writer would never end. The function uses
    system calls: for a 48-pixel PNG, pathlib and buffered files would cost as much as decoding it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return Path(path)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(
                f"{path[:200]!r} is not a regular file but a pipe, folder or device; save the picture to a file"
            )
        if status.st_size > MAX_BYTES:
            return Path(path)
        data = os.read(handle, status.st_size)
        return data if len(data) == status.st_size else Path(path)
    finally:
        os.close(handle)


def file_stamp(path: Path) -> list[int]:
    """Size in bytes and modification time in nanoseconds, by which a changed file is recognised."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
