"""Picture files on the Hub that the rows of a streamed data set name."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from urllib.parse import unquote

from emotion_hub.batch.archives import ZIP_ERRORS, read_zip_member
from emotion_hub.errors import ImageError, ImageTooLargeError, first_line
from emotion_hub.images import MAX_BYTES, ImageSource

__all__ = ["hub_file"]

#: How datasets names a picture of a streamed zip file.
_ZIPPED = re.compile(r"zip://(?P<member>.+?)::(?P<archive>.+)", re.DOTALL)


def hub_file(path: str) -> Callable[[], ImageSource] | None:
    """What reads the file at an address on the Hub, or the member of a zip file there; None for any other path, which is not opened."""
    if address := _hub_address(path):
        return partial(_remote, address)
    if (zipped := _ZIPPED.fullmatch(path)) and (address := _hub_address(zipped["archive"])):
        return partial(_remote_member, address, zipped["member"])
    return None


def _hub_address(path: str) -> str | None:
    """hf://... for a file on the Hub, whichever of its two addresses is given; None for any other one."""
    from huggingface_hub import constants

    if page := re.fullmatch(rf"{re.escape(constants.ENDPOINT)}/([^?#]+)/resolve/([^/?#]+)/([^?#]+)", path):
        return f"hf://{page[1]}@{page[2]}/{unquote(page[3])}"
    return path if path.startswith("hf://") else None


def _remote(address: str) -> ImageSource:
    """The bytes of a file on the Hub that a streamed row names."""
    from huggingface_hub import HfFileSystem
    from huggingface_hub.errors import HTTPError

    try:
        with HfFileSystem().open(
            address, "rb"
        ) as file:  # not fsspec.open: it opens any kind of address, and chains of them
            data = file.read(MAX_BYTES + 1)
    except (HTTPError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise _unread(address, error) from error
    if len(data) > MAX_BYTES:
        raise ImageTooLargeError(
            f"{address[:200]!r} has more than {MAX_BYTES // 2**20} MB, the limit. Save it smaller or as JPEG"
        )
    return data


def _unread(address: str, error: Exception) -> ImageError:
    return ImageError(
        f"{address[:200]!r} cannot be read ({first_line(error)}); check that the data set holds it, or try again"
    )


@lru_cache(maxsize=4)  # a data set names its archives one after another
def _remote_archive(address: str) -> zipfile.ZipFile:
    from huggingface_hub import HfFileSystem

    return zipfile.ZipFile(HfFileSystem().open(address, "rb"))


def _remote_member(address: str, member: str) -> ImageSource:
    """The bytes of a file inside a zip file on the Hub, of which no more is fetched than the parts around what is read."""
    from huggingface_hub.errors import HTTPError

    try:
        archive = _remote_archive(address)
        return read_zip_member(archive, archive.getinfo(member))
    except ImageError:
        raise
    except KeyError as error:
        raise ImageError(
            f"{address[:200]!r} has no member {member[:200]!r}; check that the data set names files that it holds"
        ) from error
    except (HTTPError, ImportError, *ZIP_ERRORS) as error:
        raise _unread(address, error) from error
