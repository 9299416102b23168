"""Open a data set in any supported form; images are decoded later.

| data | form |
|---|---|
| Hub id, or a folder with *.parquet files | a table with an image column and named labels (ClassLabel or text) |
| folder of images | split/class/file.png, or class/file.png: one split, train |
| fer2013.csv, or a folder with it | emotion (0 to 6), pixels (2,304 numbers), Usage |
| folder with train.csv, val.csv, test.csv | manifests, see training.data.manifests |
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from emotion_hub.checkpoints.hub import HUB_ID
from emotion_hub.errors import InputError
from training.data.manifests import Manifest, check_apart, check_classes, find_manifests, read_manifest
from training.data.source_files import fer2013_csv, image_folder, tables
from training.data.splits import ALIASES, SPLITS, Source, canonical_split

__all__ = ["SPLITS", "Source", "canonical_split", "open_manifests", "open_splits"]

#: A data set's Hub id; unlike those of models, some have no owner.
_HUB_ID = re.compile(rf"{HUB_ID}|[\w.-]+")


def open_splits(data: str | Path, root: Path | None = None, strict: bool = True) -> dict[str, Source]:
    """{split: source} of `data`, in the order of SPLITS; the forms are listed above.

    `root` is the folder that the paths of manifests are relative to. Raises InputError when nothing readable exists
    there, and ManifestError, naming file and row, for a manifest or folder with a fault. Without `strict`, missing
    files raise only when they are read.
    """
    path = Path(data)
    if path.is_file() and path.suffix.lower() == ".csv":
        sources = fer2013_csv(path)
    elif path.is_dir():
        sources = _folder(path, root, strict)
    elif not path.exists() and _HUB_ID.fullmatch(str(data)):
        sources = tables(str(data))
    else:
        raise InputError(
            f"no data at {data}; give a Hub id, fer2013.csv, or a folder of parquet files, images or manifests"
        )
    return {split: sources[split] for split in SPLITS if split in sources}


def open_manifests(folder: Path, root: Path | None = None, strict: bool = True) -> dict[str, Manifest]:
    """{split: manifest} of a folder, {} for a folder without manifests.

    With `strict`, raises ManifestError for missing files, empty classes and a path that is in two splits.
    """
    manifests = {
        split: read_manifest(path, root, missing=not strict) for split, path in find_manifests(folder, ALIASES).items()
    }
    if strict:
        check_classes(manifests)
        paths = {split: [str(file.resolve()) for file in m.files] for split, m in manifests.items()}
        check_apart(manifests, paths, "path")
    return manifests


def _folder(path: Path, root: Path | None, strict: bool) -> dict[str, Source]:
    if manifests := open_manifests(path, root, strict):
        return {split: _manifest_source(split, manifest) for split, manifest in manifests.items()}
    if (path / "fer2013.csv").is_file():
        return fer2013_csv(path / "fer2013.csv")
    if next(path.rglob("*.parquet"), None):
        return tables(str(path))
    return image_folder(path, strict)


def _manifest_source(split: str, manifest: Manifest) -> Source:
    columns = {name: _typed(values) for name, values in manifest.columns.items()}
    return Source(split, manifest.labels, lambda i: manifest.files[i].read_bytes(), manifest.where, columns)


def _typed(values: list[str]) -> np.ndarray:
    """A text column as int64 or float64 where every value is a number, else as text."""
    for dtype in (np.int64, np.float64):
        try:
            return np.asarray(values).astype(dtype)
        except ValueError:
            continue
    return np.asarray(values)
