"""Convert arrays and every colour mode of Pillow to 8-bit RGB images.

16-bit values are scaled, transparency is flattened on white, and EXIF orientation is looked up here.
"""

from __future__ import annotations

import logging
import struct

import numpy as np
from PIL import ExifTags, Image

from emotion_hub.errors import ImageError
from emotion_hub.image_bytes import ACCEPTED
from emotion_hub.image_limits import check_pixels

__all__ = ["SWAPS_SIDES", "rgb_from_array", "to_rgb", "upright_transpose"]

log = logging.getLogger(__name__)

#: EXIF orientation -> the operation that makes the image upright; orientation 1 is upright already.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: The operations that exchange width and height.
SWAPS_SIDES = tuple(_TRANSPOSES[orientation] for orientation in (5, 6, 7, 8))

#: Raised by Pillow's EXIF parser for damaged data.
_EXIF_ERRORS = (
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


def upright_transpose(image: Image.Image) -> Image.Transpose | None:
    """The operation that makes the image upright; None for an upright image and for EXIF data that cannot be read.

    `ImageOps.exif_transpose` is not used: it writes the other tags back, and a tag that it cannot write makes it lose
    the orientation.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _EXIF_ERRORS as error:
        log.warning("EXIF data cannot be read, the image is taken as upright: %s", error)
        orientation = 1
    return _TRANSPOSES.get(orientation)


def to_rgb(image: Image.Image, what: str) -> Image.Image:
    """The decoded image in mode RGB; raises ImageError, naming `what`, for values outside the range of its mode."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        transparent = image.info.get("transparency")  # a PNG can declare one gray level transparent
        return _rgb_from_gray(np.where(values == transparent, 255.0, values.astype(np.float32) / 257.0))
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{what} holds 32-bit values from {values.min()} to {values.max()}; scale them to 16 or 8 bits first"
            )
        return _rgb_from_gray(values.astype(np.float32) / (257.0 if values.max() > 255 else 1.0))
    if image.mode == "F":
        return rgb_from_array(np.asarray(image))
    if image.has_transparency_data:
        transparent = image.info.get("transparency")
        if isinstance(transparent, tuple) and max(transparent) > 255:  # 16-bit PNG: Pillow keeps the upper 8 bits
            image = image.copy()  # the original may belong to the caller
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        return _flatten((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    return image.convert("RGB")


def rgb_from_array(array: np.ndarray) -> Image.Image:
    """An RGB image from (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or float 0..1.

    Raises ImageError for another shape, dtype or range and ImageTooLargeError above the pixel limit.
    """
    shape = array.shape
    if array.ndim == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        raise ImageError(
            f"an array of shape {shape} looks channels-first; transpose it to (H, W, C) with array.transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)) or 0 in shape:
        raise ImageError(f"an array of shape {shape} is not one picture; {ACCEPTED}")
    check_pixels("the array", shape[1], shape[0])
    if array.dtype == np.uint16:
        array = np.rint(array / 257.0)
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ImageError(
                f"float pixels must be from 0 to 1, these are from {low:g} to {high:g}; "
                "divide by the largest value, or pass uint8"
            )
        array = np.rint(array * 255.0)
    elif array.dtype != np.uint8:
        raise ImageError(f"pixels of type {array.dtype} are not read; {ACCEPTED}")
    pixels = np.ascontiguousarray(array.astype(np.uint8))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels)
    return _flatten(image) if image.mode == "RGBA" else image.convert("RGB")


def _flatten(rgba: Image.Image) -> Image.Image:
    """The RGBA image over white, so that the colours of transparent pixels do not show."""
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _rgb_from_gray(values: np.ndarray) -> Image.Image:
    """An RGB image from gray values 0..255, float, (H, W)."""
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
