"""Decode the rows of a source: faces, pixel hashes, label ids."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.errors import ImageError, LabelError, ManifestError, shown
from emotion_hub.images import load_image
from emotion_hub.labels import FER2013, UNSUPPORTED_LABELS, LabelSet, spelling
from training.data.manifests import check_apart
from training.data.sources import Source, open_manifests

__all__ = ["check_pixels_apart", "decode_face", "label_ids", "pixel_hash"]

log = logging.getLogger(__name__)


def decode_face(data: bytes | Image.Image) -> tuple[Image.Image, str]:
    """The upright face, mode L if stored as L and RGB otherwise, and its stored format and mode; raises ImageError."""
    if isinstance(data, Image.Image):
        return data, f"pixels {data.mode}"
    upright = load_image(data)  # checks the file, applies the EXIF orientation, flattens transparency
    with Image.open(io.BytesIO(data)) as header:
        return (upright.convert("L") if header.mode == "L" else upright), f"{header.format} {header.mode}"


def pixel_hash(face: Image.Image) -> str:
    """SHA-1 of the size and the gray pixels, so that a copy saved in colour has the same hash."""
    gray = face if face.mode == "L" else face.convert("L")
    return hashlib.sha1(f"{gray.mode}{gray.size}".encode() + gray.tobytes()).hexdigest()


def label_ids(source: Source, label_set: LabelSet) -> tuple[np.ndarray, dict[str, int]]:
    """int64 (N,), -1 for labels that `label_set` lacks, and counts of these by name.

    Raises LabelError for a label that no label set knows.
    """
    known: dict[str, int] = {}
    for i, name in enumerate(source.labels):
        if name in known:
            continue
        label = spelling(name.strip())
        if label_set.has(label):
            known[name] = label_set.index(label)
        elif label in FER2013.labels or label.lower() in UNSUPPORTED_LABELS:
            known[name] = -1
        else:
            raise LabelError(
                f"{source.where(i)}: unknown label {shown(name)}; the label set has {', '.join(label_set.labels)}. "
                "Correct the label, leave its rows out, or choose another label set"
            )
    ids = np.asarray([known[name] for name in source.labels], dtype=np.int64)
    dropped = dict(Counter(name.strip().lower() for name in source.labels if known[name] < 0))
    if dropped:
        log.warning("%s: rows left out, since their labels are not in %s: %s", source.name, label_set.name, dropped)
    return ids, dropped


@lru_cache(maxsize=4)
def check_pixels_apart(folder: Path, root: Path | None, stamp: tuple) -> None:
    """Raises ManifestError when two manifests of a folder list the same pixels.

    Results are cached by `stamp`, the files and their modification times.
    """
    manifests = open_manifests(folder, root)
    hashes: dict[str, list[str]] = {}
    for split, manifest in manifests.items():
        hashes[split] = []
        for i, file in enumerate(tqdm(manifest.files, desc=f"check {split}", disable=None)):
            try:
                hashes[split].append(pixel_hash(decode_face(file.read_bytes())[0]))
            except (ImageError, OSError) as error:
                raise ManifestError(
                    f"{manifest.where(i)} cannot be read: {error}. Replace the image or leave its row out"
                ) from error
    check_apart(manifests, hashes, "pixels")
