"""Decompression bombs and other files that crash or block decoders."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache

from PIL import Image

__all__ = [
    "many_block_gif",
    "many_chunk_png",
    "many_segment_jpeg",
    "many_strip_tiff",
    "no_palette_png",
    "progressive_jpeg",
    "run_length_bmp",
    "scan_bomb",
    "tiff_of",
    "too_transparent_png",
]

#: Just under the limit of 40 megapixels.
SIDE = 6320


@lru_cache(maxsize=4)
def progressive_jpeg(side: int = SIDE) -> bytes:
    """A gray square as a progressive JPEG with the default scans of the encoder."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def scan_bomb(scans: int, side: int = SIDE) -> bytes:
    """`progressive_jpeg` with its last scan repeated; each repetition adds 65 bytes and one pass over the image."""
    data = progressive_jpeg(side)
    end = data.rindex(b"\xff\xd9")
    last = data[data.rindex(b"\xff\xda") : end]
    return data[:end] + last * scans + data[end:]


def many_segment_jpeg(segments: int) -> bytes:
    """A small JPEG after many empty comments, each of which costs a step of Pillow's header reader."""
    data = progressive_jpeg(32)
    return data[:2] + b"\xff\xfe\x00\x02" * segments + data[2:]


def tiff_of(jpeg: bytes, side: int = SIDE) -> bytes:
    """A TIFF whose only strip is a JPEG."""
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, side),
        (279, 4, 1, len(jpeg)),
    ]
    padded = jpeg + b"\0" * (len(jpeg) % 2)
    directory = (
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + struct.pack("<I", 0)
    )
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + directory


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(*chunks: tuple[bytes, bytes], side: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 3, 0, 0, 0)  # 8 bits, palette
    rows = zlib.compress(b"".join(b"\0" + bytes(side) for _ in range(side)))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def too_transparent_png() -> bytes:
    """A PNG with a palette of two colours and transparency values for three hundred."""
    return _png((b"PLTE", bytes(6)), (b"tRNS", bytes(300)))


def no_palette_png() -> bytes:
    """A PNG in palette mode without a palette."""
    return _png()


def many_chunk_png(chunks: int) -> bytes:
    """A small PNG with many empty chunks of an unknown type."""
    return _png((b"PLTE", bytes(768)), *[(b"eMPt", b"")] * chunks)


def run_length_bmp(side: int = SIDE, size: int = 10_000_000) -> bytes:
    """A BMP with runs of one pixel, which Pillow decodes in Python."""
    runs = b"\x01\x05" * ((size - 2000) // 2)
    palette = bytes(1024)
    start = 14 + 40 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return head + info + palette + runs


def many_block_gif(blocks: int) -> bytes:
    """A small GIF after many empty comments."""
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    data = buffer.getvalue()
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 13
    return data[:start] + b"!\xfe\x01a\x00" * blocks + data[start:]


def many_strip_tiff(strips: int) -> bytes:
    """A TIFF one pixel wide, with one strip per row, all at the same offset."""
    entries = [
        (256, 4, 1, 1),
        (257, 4, 1, strips),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, strips, 8),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
    ]
    offsets, counts = struct.pack("<I", 8) * strips, struct.pack("<H", 1) * strips
    first = 8 + 8 + len(offsets) + len(counts)
    table = {273: 16, 279: 16 + len(offsets)}
    entries.append((279, 3, strips, 0))
    rows = b"".join(
        struct.pack("<HHII", tag, kind, count, table.get(tag, value)) for tag, kind, count, value in entries
    )
    return (
        b"II*\0"
        + struct.pack("<I", first)
        + bytes(8)
        + offsets
        + counts
        + struct.pack("<H", len(entries))
        + rows
        + struct.pack("<I", 0)
    )
