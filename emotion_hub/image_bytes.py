"""Read image files within the byte limit, and open them by their format.

Opening reads the header only; `emotion_hub.images` decodes the pixels.
"""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import Any

from PIL import Image

from emotion_hub.errors import ImageError
from emotion_hub.file_structure import check_structure
from emotion_hub.image_limits import MAX_BYTES, check_bytes, over_pillow_limit

__all__ = ["ACCEPTED", "FORMATS", "PILLOW_LIMIT_ERRORS", "check_unread", "decoder_message", "open_bytes", "read_source"]

#: Pillow's names of the formats that are read.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

#: The accepted inputs, for messages about inputs of another type.
ACCEPTED = (
    "accepted are the bytes, the path or a binary file object of a JPEG, PNG, WebP, BMP, GIF or TIFF, a PIL image, "
    "or a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or float 0..1"
)

#: Raised by Pillow above its own pixel limit; the warning is raised only where warnings are errors.
PILLOW_LIMIT_ERRORS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_ADVICE = "Use JPEG, PNG, WebP, BMP, GIF or TIFF up to 10 MB."

#: First character of a description that is a quoted file name.
_QUOTES = ("'", '"')


def read_source(source: Any) -> tuple[bytes, str]:
    """(content of a file, its description for messages) from bytes, a path or a binary file object.

    Raises ImageTooLargeError above `MAX_BYTES` and ImageError for an empty, missing or unreadable file and for another
    type. At most `MAX_BYTES` + 1 bytes are read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, what = bytes(source), f"the input ({len(source)} bytes)"
    elif isinstance(source, str | Path):
        data, what = _read_path(Path(source)), f"{Path(source).name!r}"
    elif hasattr(source, "read"):
        data, what = _read_file_object(source), "the file object's content"
    else:
        raise ImageError(f"{type(source).__name__} is not a picture; {ACCEPTED}")
    if not data:
        raise ImageError(f"{what} is empty. {_ADVICE}")
    check_bytes(what, len(data))
    return data, what


def _read_path(path: Path) -> bytes:
    shown = repr(str(path)[:200])
    try:
        if path.is_file():
            check_bytes(f"{path.name!r}", path.stat().st_size)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "; download it first and pass its bytes" if ":/" in shown else "; check the path"
        raise ImageError(f"there is no file {shown}{hint}") from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # strerror: the whole message would repeat a path of any length
        raise ImageError(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_file_object(file: Any) -> bytes:
    """At most `MAX_BYTES` + 1 bytes; sockets and pipes may return fewer bytes per call than requested."""
    parts, remaining = [], MAX_BYTES + 1
    while remaining > 0:
        try:
            part = file.read(remaining)
        except UnicodeDecodeError:
            part = ""
        except (OSError, ValueError) as error:
            raise ImageError(f"the file object cannot be read: {error}") from error
        if not isinstance(part, bytes):
            raise ImageError(f"the file object gives {type(part).__name__}, not bytes; open it with mode 'rb'")
        if not part:
            break
        parts.append(part)
        remaining -= len(part)
    return b"".join(parts)


def open_bytes(data: bytes, what: str) -> Image.Image:
    """The image with its header read and no pixel decoded.

    The plugins are called directly: `Image.open` would warn or fail above Pillow's own process-wide limit, which is
    higher than `MAX_PIXELS` and belongs to the importing program. Raises ImageError, naming `what`, for another format,
    a damaged header and a file that would take too long to decode, ImageTooLargeError above Pillow's limit.
    """
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(data[:16]) is not True:
            continue
        check_structure(name, data, what)
        try:
            return factory(io.BytesIO(data), "")
        except PILLOW_LIMIT_ERRORS as error:
            raise over_pillow_limit(what) from error
        except MemoryError:
            raise
        except Exception as error:  # damaged headers raise errors of any class: AssertionError, struct.error, ...
            raise ImageError(
                f"{what} starts like {name} but its header cannot be read ({decoder_message(error)}); "
                "save the picture again"
            ) from error
    subject = what if what.startswith(_QUOTES) else "This"
    raise ImageError(f"{subject} is {_describe_content(data)}. {_ADVICE}")


def check_unread(image: Image.Image) -> None:
    """Check the file behind an image that is opened but not decoded yet (`Image.open`).

    Raises ImageError when the file would take too long to decode.
    """
    file = getattr(image, "fp", None)
    if not getattr(image, "tile", None) or file is None or not hasattr(file, "seek"):
        return
    try:
        position = file.tell()
        file.seek(0)
        data = file.read(MAX_BYTES + 1)
        file.seek(position)
    except (OSError, ValueError):  # a closed file: decoding raises the error
        return
    check_structure("JPEG" if image.format == "MPO" else image.format or "", data, "this PIL image")


def decoder_message(error: Exception) -> str:
    """The message of a decoder's error; some errors have none."""
    return str(error) or "its parts contradict each other"


def _describe_content(data: bytes) -> str:
    """The kind of content that bytes of no accepted format appear to hold, for a message."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<svg", b"<?xml")) or b"<svg" in head:
        return "an SVG drawing"
    if data.startswith(b"%PDF"):
        return "a PDF document"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif", b"ftypheif"):
        return "a HEIC or AVIF picture"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:512])  # may end inside a character
    except UnicodeDecodeError:
        return "in a format that is not read here"
    return "a text file" if "".join(text.split()).isprintable() else "in a format that is not read here"
