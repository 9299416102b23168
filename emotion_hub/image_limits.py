"""Limits of an image in bytes and pixels, and the errors raised above them."""

from __future__ import annotations

from emotion_hub.errors import ImageTooLargeError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "check_bytes", "check_pixels", "over_pillow_limit"]

#: Bytes of an image file.
MAX_BYTES = 10 * 1024 * 1024

#: Width times height of an image.
MAX_PIXELS = 40_000_000


def check_bytes(what: str, size: int) -> None:
    """Return when `size` bytes are within `MAX_BYTES`; raises ImageTooLargeError, naming `what`, when they are not."""
    if size > MAX_BYTES:
        raise ImageTooLargeError(
            f"{what} has {size / 2**20:.1f} MB or more; the limit is {MAX_BYTES // 2**20} MB. "
            "Save it smaller or as JPEG"
        )


def check_pixels(what: str, width: int, height: int) -> None:
    """Return when width x height is within `MAX_PIXELS`; raises ImageTooLargeError, naming `what`, when it is not."""
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise ImageTooLargeError(
            f"{what} has {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is {limit}. "
            "Make it smaller first"
        )


def over_pillow_limit(what: str) -> ImageTooLargeError:
    """The error for an image whose header declares more pixels than Pillow itself decodes."""
    return ImageTooLargeError(
        f"{what} declares more pixels than Pillow decodes; the limit is {MAX_PIXELS // 1_000_000} megapixels. "
        "Make it smaller first"
    )
