"""Refuse decompression bombs: image files that take too long to decode.

The structure of the file is checked before anything is decoded. The pixel limit bounds one pass over an image. It does
not bound a progressive JPEG with thousands of scans, nor thousands of empty blocks, each of which costs one step of a
parser written in Python. Measured with Pillow 12.3 on files under 10 MB: up to 7 minutes for one JPEG and 4 minutes
for one GIF.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from emotion_hub.errors import ImageError

__all__ = ["MAX_RUN_LENGTH_BYTES", "MAX_SCANS", "check_structure"]

#: Scans of a JPEG, each a pass over all pixels; encoders write 1 to 20. At 40 megapixels a scan takes at least 25 ms.
MAX_SCANS = 32

#: JPEG segments before the first scan. An ICC profile has at most 255 segments, extended XMP one per 64 KB.
MAX_SEGMENTS = 1000

#: PNG chunks. A file of 10 MB has 10,000 chunks of 1 KB; encoders write larger ones.
MAX_CHUNKS = 20_000

#: Blocks of GIF extensions before the first frame; Pillow joins them in quadratic time. A comment of 64 KB has 257
#: blocks.
MAX_BLOCKS = 4000

#: Strips or tiles of a TIFF.
MAX_STRIPS = 20_000

#: Bytes of a run-length encoded BMP, which Pillow decodes in Python.
MAX_RUN_LENGTH_BYTES = 4 * 1024 * 1024

#: A JPEG marker other than a stuffed zero, a restart marker and fill bytes.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_SCAN, _END = 0xDA, 0xD9

#: TIFF tags that list strips or tiles, the tag of the compression, and its values for JPEG.
_STRIPS, _COMPRESSION, _JPEG_IN_TIFF = (273, 324), 259, (6, 7)


def check_structure(name: str, data: bytes, what: str) -> None:
    """Return when a file of the format `name` takes a bounded time to decode.

    Raises ImageError, naming `what`, when it does not.
    """
    check = _CHECKS.get(name)
    if check is None:
        return
    try:
        check(data, what)
    except (IndexError, struct.error):  # a truncated file: the decoder raises the error
        return


def _check_jpeg(data: bytes, what: str) -> None:
    # an upper bound: it also counts the scans of thumbnails inside segments, which the loop below skips
    may_exceed = data.count(b"\xff\xda") > MAX_SCANS
    position, segments, scans = 2, 0, 0
    while (match := _MARKER.search(data, position)) is not None and match[1][0] != _END:
        marker, position = match[1][0], match.end()
        segments += 1
        if marker == _SCAN:
            scans += 1
            if not may_exceed:
                return
        if scans > MAX_SCANS:
            raise _refusal(what, f"more than {MAX_SCANS} scans", "Save it as a baseline JPEG")
        if not scans and segments > MAX_SEGMENTS:
            raise _refusal(
                what, f"more than {MAX_SEGMENTS} segments before its pixels", "Save it again without metadata"
            )
        position += max(2, int.from_bytes(data[position : position + 2], "big"))


def _check_png(data: bytes, what: str) -> None:
    position, chunks = 8, 0
    while position < len(data) and data[position + 4 : position + 8] != b"IEND":
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise _refusal(what, f"more than {MAX_CHUNKS} chunks", "Save it again")
        position += 12 + int.from_bytes(data[position : position + 4], "big")


def _check_gif(data: bytes, what: str) -> None:
    position, blocks = 13 + _color_table(data[10]), 0
    while data[position] == 0x21:  # an extension: its type, then blocks of at most 255 bytes, then an empty block
        position += 2
        while size := data[position]:
            position += 1 + size
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise _refusal(what, f"more than {MAX_BLOCKS} blocks before its first frame", "Save that frame as PNG")
        position += 1


def _color_table(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags declare."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _check_bmp(data: bytes, what: str) -> None:
    header, compression = struct.unpack_from("<I", data, 14)[0], struct.unpack_from("<I", data, 30)[0]
    if header >= 40 and compression in (1, 2) and len(data) > MAX_RUN_LENGTH_BYTES:
        raise _refusal(
            what,
            f"{len(data) / 2**20:.1f} MB of run-length encoded pixels, more than {MAX_RUN_LENGTH_BYTES // 2**20}",
            "Save it as PNG",
        )


def _check_tiff(data: bytes, what: str) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    first = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, first)[0]
    start, size, entry = first + (8 if big else 2), 20 if big else 12, order + ("HHQ" if big else "HHI")
    strips, in_jpeg = 1, False
    for number in range(min(count, 0xFFFF)):
        offset = start + number * size
        tag, _, values = struct.unpack_from(entry, data, offset)
        if tag in _STRIPS:
            strips = max(strips, values)
        elif tag == _COMPRESSION:
            in_jpeg = struct.unpack_from(order + "H", data, offset + (12 if big else 8))[0] in _JPEG_IN_TIFF
    if strips > MAX_STRIPS:
        raise _refusal(what, f"{strips:,} strips, more than {MAX_STRIPS:,}", "Save it as PNG")
    if in_jpeg and data.count(b"\xff\xda") > MAX_SCANS + 4 * strips:
        raise _refusal(what, f"more than {MAX_SCANS} scans", "Save it as PNG")


def _refusal(what: str, excess: str, advice: str) -> ImageError:
    return ImageError(f"{what} has {excess}, which would take too long to decode. {advice}")


_CHECKS: dict[str, Callable[[bytes, str], None]] = {
    "BMP": _check_bmp,
    "GIF": _check_gif,
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "TIFF": _check_tiff,
}
