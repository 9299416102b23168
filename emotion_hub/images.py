"""From anything that holds a picture to an upright RGB image: the only decoder of the project."""

from __future__ import annotations

import codecs
import io
import logging
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image

from emotion_hub.errors import ImageError, ImageTooLargeError, InputError
from emotion_hub.file_structure import check_structure

__all__ = ["FORMATS", "MAX_BYTES", "MAX_PIXELS", "ImageSource", "crop", "load_image", "load_reduced"]

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_BYTES = 10 * 1024 * 1024
MAX_PIXELS = 40_000_000

ImageSource = bytes | bytearray | memoryview | str | Path | IO[bytes] | Image.Image | np.ndarray

_ACCEPTED = (
    "accepted are the bytes, the path or a binary file object of a JPEG, PNG, WebP, BMP, GIF or TIFF, a PIL image, "
    "or a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or float 0..1"
)

#: How the name of a file begins in a message.
_QUOTES = ("'", '"')

#: What to send, for people who sent something else.
_USE = "Use JPEG, PNG, WebP, BMP, GIF or TIFF up to 10 MB."
_PARSE_ERRORS = (
    SyntaxError,
    IndexError,
    TypeError,
    ValueError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    OSError,
    Warning,
)
_BOMBS = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # Pillow's own limit; a warning only where warnings are errors
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))

#: Formats that libjpeg can decode at a reduced size; MPO is a JPEG with further pictures behind it.
_REDUCIBLE = ("JPEG", "MPO")


def load_image(source: ImageSource) -> Image.Image:
    """A new upright RGB image, 8 bits a channel and without metadata, from `source`; of an animation or a document the
    first frame.

    EXIF orientation is applied, transparency is flattened on white, CMYK and 16-bit values are scaled. Files may have
    `MAX_BYTES` bytes; every picture may have `MAX_PIXELS` pixels, which is read from the header before any pixel is
    decoded. Raises ImageTooLargeError above a limit and ImageError for anything that is not a whole picture.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        _check_unread(source)
        return _finish(source, "this PIL image")[0]
    return _load_file(source)[0]


def load_reduced(source: ImageSource, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """(`load_image`'s picture at a reduced size, its full upright size): a JPEG file is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 at which its
    long side has at least `side` pixels.

    libjpeg computes fewer pixels per block then, which takes a third to three quarters of the time; whatever else `source` is comes at its full size.
    Limits and errors are those of `load_image`, and the pixel limit is that of the full size.
    """
    if isinstance(source, np.ndarray | Image.Image):
        image = load_image(source)
        return image, image.size
    return _load_file(source, side)


def _load_file(source: Any, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    data, what = _read(source)
    if not data:
        raise ImageError(f"{what} is empty. {_USE}")
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(what, len(data))
    return _finish(_open(data, what), what, side)


def crop(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The pixels inside `box` (left, top, right, bottom); outside the image its edge pixels are repeated.

    Raises InputError for a box that is empty or does not touch the image.
    """
    left, top, right, bottom = box
    inner = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise InputError(
            f"box {box} does not touch the {image.width}x{image.height} image; boxes are (left, top, right, bottom) in pixels"
        )
    part = image.crop(inner)
    if inner == tuple(box):
        return part
    pad = [(inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2]), (0, 0)]
    pixels = np.asarray(part)
    return Image.fromarray(np.pad(pixels, pad[: pixels.ndim], mode="edge"))


def _read(source: Any) -> tuple[bytes, str]:
    """The file's bytes (at most one more than the limit) and what to call it in a message."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), f"the input ({len(source)} bytes)"
    if isinstance(source, str | Path):
        return _read_path(Path(source)), f"{Path(source).name!r}"
    if hasattr(source, "read"):
        return _read_file(source), "the file object's content"
    raise ImageError(f"{type(source).__name__} is not a picture; {_ACCEPTED}")


def _read_path(path: Path) -> bytes:
    shown = repr(str(path)[:200])
    try:
        size = path.stat().st_size if path.is_file() else 0
        if size <= MAX_BYTES:
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "; download it first and pass its bytes" if ":/" in shown else "; check the path"
        raise ImageError(f"there is no file {shown}{hint}") from None
    except (OSError, ValueError) as error:  # strerror: the whole message would repeat a path of any length
        raise ImageError(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    raise _too_many_bytes(f"{path.name!r}", size)


def _read_file(file: Any) -> bytes:
    """Bytes up to one more than the limit; sockets and pipes may give fewer at a time than asked for."""
    parts, left = [], MAX_BYTES + 1
    while left > 0:
        try:
            part = file.read(left)
        except UnicodeDecodeError:
            part = ""
        except (OSError, ValueError) as error:
            raise ImageError(f"the file object cannot be read: {error}") from error
        if not isinstance(part, bytes):
            raise ImageError(f"the file object gives {type(part).__name__}, not bytes; open it with mode 'rb'")
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _open(data: bytes, what: str) -> Image.Image:
    """The image with its header read and no pixel decoded.

    The plugins are called directly: `Image.open` would warn or fail by Pillow's own process-wide limit, which stands
    above ours and belongs to the program that imports us.
    """
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(data[:16]) is not True:
            continue
        check_structure(name, data, what)
        try:
            return factory(io.BytesIO(data), "")
        except _BOMBS as error:
            raise _bomb(what) from error
        except MemoryError:
            raise
        except Exception as error:  # a damaged file fails anywhere in Pillow: AssertionError, struct.error, ...
            raise ImageError(
                f"{what} starts like {name} but its header cannot be read ({_reason(error)}); save the picture again"
            ) from error
    raise ImageError(f"{what if what.startswith(_QUOTES) else 'This'} is {_guess(data)}. {_USE}")


def _check_unread(image: Image.Image) -> None:
    """Raises ImageError for an image opened but not decoded yet (`Image.open`) whose file would take too long to decode."""
    file = getattr(image, "fp", None)
    if not getattr(image, "tile", None) or file is None or not hasattr(file, "seek"):
        return
    try:
        position = file.tell()
        file.seek(0)
        data = file.read(MAX_BYTES + 1)
        file.seek(position)
    except (OSError, ValueError):  # a closed file: decoding says so
        return
    check_structure("JPEG" if image.format == "MPO" else image.format or "", data, "this PIL image")


def _reason(error: Exception) -> str:
    """What a decoder said; some say nothing."""
    return str(error) or "its parts contradict each other"


def _guess(data: bytes) -> str:
    """What unreadable bytes look like, for the message."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<svg", b"<?xml")) or b"<svg" in head:
        return "an SVG drawing"
    if data.startswith(b"%PDF"):
        return "a PDF document"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif", b"ftypheif"):
        return "a HEIC or AVIF picture"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:512])  # which may end inside a character
    except UnicodeDecodeError:
        return "in a format that is not read here"
    return "a text file" if "".join(text.split()).isprintable() else "in a format that is not read here"


def _finish(image: Image.Image, what: str, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """(picture, full upright size) by size check, decoding, orientation and conversion to RGB; for `side` see `load_reduced`.

    Raises ImageError for whatever goes wrong on the way.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(what, width, height)
    if width < 1 or height < 1:
        raise ImageError(f"{what} is {width}x{height} pixels; a picture has at least one")
    try:
        if side is not None and image.format in _REDUCIBLE:
            image.draft(None, (side, 1) if width >= height else (1, side))  # Pillow keeps at least the size it is given
        image.load()
        turn = _turn(image)
        rgb = _to_rgb(image if turn is None else image.transpose(turn), what)
    except _BOMBS as error:
        raise _bomb(what) from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders and conversions raise whatever they run into, AssertionError too
        raise ImageError(f"{what} is damaged or cut short ({_reason(error)}); save or download it again") from error
    rgb.info = {}  # an orientation left in it would turn the picture again, and where it was taken is nobody's business
    return rgb, (height, width) if turn in _SIDEWAYS else (width, height)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the image upright as its EXIF orientation says; None for upright images and EXIF data that cannot be read.

    Not `ImageOps.exif_transpose`: that writes the other tags back, and one it cannot write costs the orientation.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _PARSE_ERRORS as error:
        log.warning("EXIF data cannot be read, the picture is taken as upright: %s", error)
        orientation = 1
    return _TURNS.get(orientation)


def _to_rgb(image: Image.Image, what: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        hidden = image.info.get("transparency")  # a PNG may name one gray level transparent
        return _gray(np.where(values == hidden, 255.0, values.astype(np.float32) / 257.0))
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{what} holds 32-bit values from {values.min()} to {values.max()}; scale them to 16 or 8 bits first"
            )
        return _gray(values.astype(np.float32) / (257.0 if values.max() > 255 else 1.0))
    if image.mode == "F":
        return _from_array(np.asarray(image))
    if image.has_transparency_data:
        hidden = image.info.get("transparency")
        if isinstance(hidden, tuple) and max(hidden) > 255:  # of a 16-bit PNG, of which Pillow keeps the upper 8 bits
            image = image.copy()  # it may be the caller's
            image.info["transparency"] = tuple(v >> 8 for v in hidden)
        return _flatten((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    return image.convert("RGB")


def _flatten(rgba: Image.Image) -> Image.Image:
    """Transparency over white, so that colours hidden under it stay hidden."""
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _gray(values: np.ndarray) -> Image.Image:
    """RGB from gray values 0..255, (H, W)."""
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        raise ImageError(
            f"an array of shape {shape} looks channels-first; transpose it to (H, W, C) with array.transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)) or 0 in shape:
        raise ImageError(f"an array of shape {shape} is not one picture; {_ACCEPTED}")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise _too_many_pixels("the array", shape[1], shape[0])
    if array.dtype == np.uint16:
        array = np.rint(array / 257.0)
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ImageError(
                f"float pixels run from 0 to 1, these from {low:g} to {high:g}; divide by the largest value, or pass uint8"
            )
        array = np.rint(array * 255.0)
    elif array.dtype != np.uint8:
        raise ImageError(f"pixels of type {array.dtype} are not read; {_ACCEPTED}")
    pixels = np.ascontiguousarray(array.astype(np.uint8))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels)
    return _flatten(image) if image.mode == "RGBA" else image.convert("RGB")


def _too_many_bytes(what: str, size: int) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{what} has {size / 2**20:.1f} MB or more; the limit is {MAX_BYTES // 2**20} MB. Save it smaller or as JPEG"
    )


def _bomb(what: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{what} says it is larger than Pillow decodes; the limit is {MAX_PIXELS // 1_000_000} megapixels. Make it smaller first"
    )


def _too_many_pixels(what: str, width: int, height: int) -> ImageTooLargeError:
    limit = MAX_PIXELS // 1_000_000
    return ImageTooLargeError(
        f"{what} has {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is {limit}. Make it smaller first"
    )
