"""Hugging Face Hub files named by the rows of a streamed data set."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from urllib.parse import unquote

from emotion_hub.batch.archives import ZIP_ERRORS, read_zip_member
from emotion_hub.errors import ImageError, ImageTooLargeError, first_line
from emotion_hub.images import MAX_BYTES, ImageSource

__all__ = ["hub_file_reader"]

#: How datasets names a picture in a streamed zip file.
_ZIPPED = re.compile(r"zip://(?P<member>.+?)::(?P<archive>.+)", re.DOTALL)


def hub_file_reader(path: str) -> Callable[[], ImageSource] | None:
    """A function that reads the file at a Hub address, or a member of a zip file there; None for any other path."""
    if address := _hub_address(path):
        return partial(_read_file, address)
    if (zipped := _ZIPPED.fullmatch(path)) and (address := _hub_address(zipped["archive"])):
        return partial(_read_zip_member, address, zipped["member"])
    return None


def _hub_address(path: str) -> str | None:
    """hf://... for a file on the Hub, given by its hf:// or its web address; None for any other path."""
    from huggingface_hub import constants

    if page := re.fullmatch(rf"{re.escape(constants.ENDPOINT)}/([^?#]+)/resolve/([^/?#]+)/([^?#]+)", path):
        return f"hf://{page[1]}@{page[2]}/{unquote(page[3])}"
    return path if path.startswith("hf://") else None


def _read_file(address: str) -> ImageSource:
    """The bytes of a file on the Hub."""
    from huggingface_hub import HfFileSystem
    from huggingface_hub.errors import HTTPError

    try:
        # not fsspec.open, which opens any kind of address and chains of them
        with HfFileSystem().open(address, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (HTTPError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise _unreadable(address, error) from error
    if len(data) > MAX_BYTES:
        raise ImageTooLargeError(
            f"{address[:200]!r} has more than {MAX_BYTES // 2**20} MB, the limit. Save it smaller or as JPEG"
        )
    return data


def _unreadable(address: str, error: Exception) -> ImageError:
    reason = first_line(error)
    return ImageError(f"{address[:200]!r} cannot be read ({reason}); check that the data set has it, or try again")


@lru_cache(maxsize=4)  # the rows of a data set name its archives one after another
def _remote_archive(address: str) -> zipfile.ZipFile:
    from huggingface_hub import HfFileSystem

    return zipfile.ZipFile(HfFileSystem().open(address, "rb"))


def _read_zip_member(address: str, member: str) -> ImageSource:
    """The bytes of a member of a zip file on the Hub; only the blocks around the member are downloaded."""
    from huggingface_hub.errors import HTTPError

    try:
        archive = _remote_archive(address)
        return read_zip_member(archive, archive.getinfo(member))
    except ImageError:
        raise
    except KeyError as error:
        raise ImageError(
            f"{address[:200]!r} has no member {member[:200]!r}; check that the data set names existing files"
        ) from error
    except (HTTPError, ImportError, *ZIP_ERRORS) as error:
        raise _unreadable(address, error) from error
