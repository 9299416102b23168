"""Limits on what a picture's file makes its decoder do, checked on the file's structure before anything is decoded.

The pixel limit bounds one pass over a picture. It does not bound a progressive JPEG that asks for thousands of passes, nor long rows of empty blocks, of
which every one costs a step of a decoder written in Python. Measured with Pillow 12.3 on files under 10 MB: up to 7 minutes for one JPEG, 4 for one GIF.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from emotion_hub.errors import ImageError

__all__ = ["MAX_RUN_LENGTH_BYTES", "MAX_SCANS", "check_structure"]

#: Passes over a JPEG's pixels; encoders write 1 to 20. At 40 megapixels one takes 25 ms or more.
MAX_SCANS = 32

#: JPEG segments before the first scan. An ICC profile has at most 255, extended XMP one per 64 KB.
MAX_SEGMENTS = 1000

#: PNG chunks. 10 MB in chunks of 1 KB, smaller than encoders write, are 10,000.
MAX_CHUNKS = 20_000

#: Blocks of GIF extensions before the first frame; Pillow joins them in quadratic time. A comment of 64 KB has 257.
MAX_BLOCKS = 4000

#: Strips or tiles of a TIFF.
MAX_STRIPS = 20_000

#: Size of a run-length encoded BMP, which Pillow decodes in Python.
MAX_RUN_LENGTH_BYTES = 4 * 1024 * 1024

#: A JPEG marker: neither a stuffed zero nor a restart marker nor fill bytes.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_SCAN, _END = 0xDA, 0xD9

#: Entries of a TIFF directory that list strips or tiles, and the one that names the compression; 6 and 7 are JPEG's.
_STRIPS, _COMPRESSION, _JPEG_IN_TIFF = (273, 324), 259, (6, 7)


def check_structure(name: str, data: bytes, what: str) -> None:
    """Return when a file of the format `name` asks for a bounded amount of work; raises ImageError, naming `what`, when it does not."""
    check = _CHECKS.get(name)
    if check is None:
        return
    try:
        check(data, what)
    except (IndexError, struct.error):  # cut short: the decoder says so
        return


def _check_jpeg(data: bytes, what: str) -> None:
    many = data.count(b"\xff\xda") > MAX_SCANS  # also counts thumbnails inside segments, hence the walk below
    position, segments, scans = 2, 0, 0
    while (found := _MARKER.search(data, position)) is not None and found[1][0] != _END:
        marker, position = found[1][0], found.end()
        segments += 1
        if marker == _SCAN:
            scans += 1
            if not many:
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
    while data[position] == 0x21:  # an extension: its kind, then blocks of up to 255 bytes, then an empty one
        position += 2
        while size := data[position]:
            position += 1 + size
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise _refusal(what, f"more than {MAX_BLOCKS} blocks before its first frame", "Save that frame as PNG")
        position += 1


def _color_table(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
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
        at = start + number * size
        tag, _, values = struct.unpack_from(entry, data, at)
        if tag in _STRIPS:
            strips = max(strips, values)
        elif tag == _COMPRESSION:
            in_jpeg = struct.unpack_from(order + "H", data, at + (12 if big else 8))[0] in _JPEG_IN_TIFF
    if strips > MAX_STRIPS:
        raise _refusal(what, f"{strips:,} strips, more than {MAX_STRIPS:,}", "Save it as PNG")
    if in_jpeg and data.count(b"\xff\xda") > MAX_SCANS + 4 * strips:
        raise _refusal(what, f"more than {MAX_SCANS} scans", "Save it as PNG")


def _refusal(what: str, found: str, advice: str) -> ImageError:
    return ImageError(f"{what} has {found}, which would take too long to decode. {advice}")


_CHECKS: dict[str, Callable[[bytes, str], None]] = {
    "BMP": _check_bmp,
    "GIF": _check_gif,
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "TIFF": _check_tiff,
}
