"""Photo files for tests of the demo: drawn, unusual, huge."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["huge_png", "save", "unusual_pictures"]


def save(folder: Path, image: Image.Image, name: str = "face.png") -> str:
    """The path of the image's file in this folder."""
    path = folder / name
    image.save(path)
    return str(path)


def huge_png(path: Path) -> str:
    """A PNG file of 140 kB with 12,000x12,000 gray pixels, which decode to 144 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(12_001) * 12_000, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return str(path)


def unusual_pictures() -> dict[str, bytes]:
    """Pictures with unusual modes, orientation, frames or size; none of them shows a face."""
    gray = Image.linear_gradient("L").resize((96, 96))
    rgb = Image.merge("RGB", [gray, gray.rotate(90), gray.rotate(180)])
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "16-bit": (Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG", {}),
        "CMYK": (rgb.convert("CMYK"), "JPEG", {}),
        "RGBA": (rgb.convert("RGBA"), "PNG", {}),
        "EXIF-rotated": (rgb.resize((96, 64)), "JPEG", {"exif": exif}),
        "animated": (gray, "GIF", {"save_all": True, "append_images": [gray.rotate(90)]}),
        "one-pixel": (Image.new("RGB", (1, 1), "red"), "PNG", {}),
    }
    files = {}
    for name, (image, kind, options) in pictures.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[name] = buffer.getvalue()
    return files
