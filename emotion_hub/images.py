"""Decode image files, PIL images and arrays to upright RGB; crop images.

This is the only decoder of the project. `image_bytes` reads and opens files, `image_modes` converts colour modes,
`image_limits` holds the limits; their public names are also importable from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from emotion_hub.errors import ImageError, InputError
from emotion_hub.image_bytes import (
    FORMATS,
    PILLOW_LIMIT_ERRORS,
    check_unread,
    decoder_message,
    open_bytes,
    read_source,
)
from emotion_hub.image_limits import MAX_BYTES, MAX_PIXELS, check_pixels, over_pillow_limit
from emotion_hub.image_modes import SWAPS_SIDES, rgb_from_array, to_rgb, upright_transpose

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "ImageSource",
    "crop",
    "is_image_name",
    "load_image",
    "load_reduced",
]

ImageSource = bytes | bytearray | memoryview | str | Path | IO[bytes] | Image.Image | np.ndarray

#: Suffixes, in lower case, of the files that are taken for images inside folders and archives: those of `FORMATS`.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

#: Formats that libjpeg can decode at a reduced size; MPO is a JPEG followed by further images.
_REDUCIBLE = ("JPEG", "MPO")


def load_image(source: ImageSource) -> Image.Image:
    """A new upright 8-bit RGB image without metadata; of an animation or a multi-page document, the first frame.

    EXIF orientation is applied, transparency is flattened on white, CMYK and 16-bit values are scaled. A file may have
    `MAX_BYTES` bytes and an image `MAX_PIXELS` pixels, which is read from the header before any pixel is decoded.
    Raises ImageTooLargeError above a limit and ImageError for anything that is not a complete image.
    """
    if isinstance(source, np.ndarray):
        return rgb_from_array(source)
    if isinstance(source, Image.Image):
        check_unread(source)
        return _decode(source, "this PIL image")[0]
    return _load_file(source)[0]


def load_reduced(source: ImageSource, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """(`load_image`'s image at a reduced size, its full upright size as width and height).

    A JPEG file is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 at which its long side has at least `side` pixels.
    libjpeg then computes fewer pixels per block, which takes a third to three quarters of the time. Every other source
    is returned at its full size. Limits and errors are those of `load_image`; the pixel limit applies to the full size.
    """
    if isinstance(source, np.ndarray | Image.Image):
        image = load_image(source)
        return image, image.size
    return _load_file(source, side)


def crop(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The pixels inside `box` (left, top, right, bottom); outside the image its edge pixels are repeated.

    Raises InputError for a box that is empty or does not touch the image.
    """
    left, top, right, bottom = box
    inner = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise InputError(
            f"box {box} does not touch the {image.width}x{image.height} image; "
            "boxes are (left, top, right, bottom) in pixels"
        )
    part = image.crop(inner)
    if inner == tuple(box):
        return part
    pad = [(inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2]), (0, 0)]
    pixels = np.asarray(part)
    return Image.fromarray(np.pad(pixels, pad[: pixels.ndim], mode="edge"))


def is_image_name(name: str) -> bool:
    """Whether a path has an image suffix and no hidden part (macOS adds a "._" copy of every file to archives)."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not any(
        part.startswith(".") and part not in (".", "..") for part in name.split("/")
    )


def _load_file(source: Any, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    data, what = read_source(source)
    return _decode(open_bytes(data, what), what, side)


def _decode(image: Image.Image, what: str, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """(upright RGB image, full upright size); `side` is as in `load_reduced`. Raises ImageError for any failure."""
    width, height = image.size
    check_pixels(what, width, height)
    if width < 1 or height < 1:
        raise ImageError(f"{what} is {width}x{height} pixels; a picture has at least one")
    try:
        if side is not None and image.format in _REDUCIBLE:
            image.draft(None, (side, 1) if width >= height else (1, side))  # Pillow treats the size as a minimum
        image.load()
        transpose = upright_transpose(image)
        rgb = to_rgb(image if transpose is None else image.transpose(transpose), what)
    except PILLOW_LIMIT_ERRORS as error:
        raise over_pillow_limit(what) from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders and conversions raise errors of any class, AssertionError too
        raise ImageError(
            f"{what} is damaged or cut short ({decoder_message(error)}); save or download it again"
        ) from error
    rgb.info = {}  # an orientation kept here would be applied twice, and other metadata can hold the photo's location
    return rgb, (height, width) if transpose in SWAPS_SIDES else (width, height)
