"""Read parquet files, Hub data sets, image folders and fer2013.csv."""

from __future__ import annotations

import glob
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError, ManifestError
from emotion_hub.images import IMAGE_SUFFIXES
from emotion_hub.labels import FER2013
from training.data.splits import ALIASES, SPLITS, Source, names_by_split

__all__ = ["fer2013_csv", "image_folder", "tables"]

_IMAGES, _LABELS = ("image", "img"), ("label", "labels", "emotion", "expression")

#: Rows of a table that are read at once.
_BLOCK = 512


def tables(data: str) -> dict[str, Source]:
    """The splits in the parquet files of a folder, or in a data set on the Hub; raises InputError for neither."""
    from datasets import DatasetDict

    try:
        loaded = _load(data, data)
    except (FileNotFoundError, ConnectionError) as error:
        raise InputError(
            f"no data at {data}: the folder does not exist, and the Hub returned no such data set ({error}); check the "
            "name"
        ) from error
    by_name = loaded if isinstance(loaded, DatasetDict) else {"train": loaded}
    return {split: _table_source(split, by_name[name], data) for split, name in names_by_split(by_name, data).items()}


def _load(source: str | Path, *args: Any, **options: Any) -> Any:
    """`datasets.load_dataset` of these arguments.

    Raises ManifestError that names `source` for content that is damaged or no table.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from pyarrow import ArrowException

    # OSError: a damaged footer of a local file; for a Hub id it would also mean that the Hub cannot be reached
    local = (OSError,) if Path(source).exists() else ()
    try:
        return load_dataset(*args, **options)
    except FileNotFoundError:
        raise
    except (ArrowException, DatasetGenerationError, *local) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ManifestError(
            f"{source} cannot be read ({reason}): one of its files is damaged or of another format; download it again"
        ) from error


def _table_source(split: str, table: Any, data: str) -> Source:
    from datasets import ClassLabel
    from datasets import Image as ImageFeature

    image, label = (next((name for name in names if name in table.column_names), None) for names in (_IMAGES, _LABELS))
    if image is None or label is None:
        raise InputError(
            f"{data} has the columns {table.column_names}; call the image column {_IMAGES[0]!r} and the label column "
            f"{_LABELS[0]!r}"
        )
    feature, values = table.features[label], table[label][:]
    if isinstance(feature, ClassLabel):
        if min(values, default=0) < 0:
            raise InputError(f"{data}: row {values.index(min(values))} of {split} has no label; leave such rows out")
        values = [feature.names[value] for value in values]
    elif any(not isinstance(value, str) for value in values):
        raise InputError(
            f"{data} stores labels as {feature}, numbers without names; store them as ClassLabel or as text"
        )
    encoded = table.select_columns([image]).cast_column(image, ImageFeature(decode=False))
    columns = {name: table[name][:] for name in table.column_names if name not in (image, label)}

    block: dict[int, list[dict[str, Any]]] = {}  # rows are read in order, and a block costs little more than one row

    def read(i: int) -> bytes:
        start = i - i % _BLOCK
        if start not in block:
            block.clear()
            block[start] = encoded[start : start + _BLOCK][image]
        row = block[start][i - start]
        return row["bytes"] if row["bytes"] is not None else Path(row["path"]).read_bytes()

    return Source(split, values, read, lambda i: f"{data} {split} row {i}", columns)


def image_folder(path: Path, strict: bool) -> dict[str, Source]:
    """The splits of a folder with split/class/file, or with class/file, which is one split, train.

    Raises InputError for a folder without images, and ManifestError for two folders of one split and, when `strict`,
    for a class without images.
    """
    from datasets import Image as ImageFeature

    names = [entry.name for entry in _subfolders(path)]
    by_split = {split: path / name for split, name in names_by_split(names, path).items()} or {"train": path}
    for folder in by_split.values() if strict else ():
        for label in _subfolders(folder):
            if not any(file.suffix.lower() in IMAGE_SUFFIXES for file in label.rglob("*")):
                raise ManifestError(
                    f"class folder {label} holds no image; put {', '.join(IMAGE_SUFFIXES[:3])} files there or delete it"
                )
    if not any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.rglob("*")):
        raise InputError(
            f"no data at {path}: it holds no manifest, no parquet file and no image; give a folder that does"
        )
    patterns = {split: f"{glob.escape(str(folder.resolve()))}/**" for split, folder in by_split.items()}
    loaded = _load(path, "imagefolder", data_files=patterns, drop_labels=False, drop_metadata=True)
    sources = {}
    for split, table in loaded.items():
        classes = table.features["label"].names
        paths = [Path(row["path"]) for row in table.cast_column("image", ImageFeature(decode=False))["image"]]
        labels = [classes[value] for value in table["label"]]
        sources[split] = Source(split, labels, partial(_read_file, paths), partial(_path_text, paths))
    return sources


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]


def _read_file(paths: list[Path], i: int) -> bytes:
    return paths[i].read_bytes()


def _path_text(paths: list[Path], i: int) -> str:
    return str(paths[i])


def fer2013_csv(path: Path) -> dict[str, Source]:
    """The splits of the contest's own file, with the columns emotion (0 to 6), pixels (2,304 numbers) and Usage.

    Raises ManifestError that names the row for a wrong emotion or Usage; wrong pixels raise it when they are read.
    """
    table = _load(path, "csv", data_files=str(path.resolve()), split="train")
    table = table.rename_columns({name: name.strip() for name in table.column_names if name != name.strip()})
    if missing := [name for name in ("emotion", "pixels", "Usage") if name not in table.column_names]:
        raise ManifestError(
            f"{path} row 1: no column {' and '.join(missing)} among {table.column_names}; FER2013 has emotion, pixels "
            "and Usage"
        )
    emotions, usages = np.asarray(table["emotion"]), [str(usage).strip().lower() for usage in table["Usage"]]
    for i, (emotion, usage) in enumerate(zip(emotions, usages, strict=True)):
        if emotion not in range(len(FER2013)) or usage not in ALIASES:
            raise ManifestError(
                f"{path} row {i + 2}: emotion {emotion}, Usage {usage!r}; an emotion is a number from 0 to "
                f"{len(FER2013) - 1}, a Usage is the name of a split"
            )
    sources = {}
    for split in SPLITS:
        rows = np.asarray([i for i, usage in enumerate(usages) if ALIASES[usage] == split], dtype=np.int64)
        if len(rows):
            labels = [FER2013.labels[emotions[i]] for i in rows]
            read, where = partial(_read_pixels, path, table, rows), partial(_csv_row, path, rows)
            sources[split] = Source(split, labels, read, where, {"source_row": rows})
    return sources


def _csv_row(path: Path, rows: np.ndarray, i: int) -> str:
    return f"{path} row {rows[i] + 2}"


def _read_pixels(path: Path, table: Any, rows: np.ndarray, i: int) -> Image.Image:
    """Gray, 48x48."""
    try:
        pixels = np.array(table[int(rows[i])]["pixels"].split(), dtype=np.uint8)
    except (AttributeError, OverflowError, ValueError) as error:
        raise ManifestError(
            f"{_csv_row(path, rows, i)}: pixels are integers from 0 to 255 separated by spaces ({error})"
        ) from error
    if pixels.size != 48 * 48:
        raise ManifestError(f"{_csv_row(path, rows, i)} has {pixels.size} pixels; a face has 48x48 = 2304")
    return Image.fromarray(pixels.reshape(48, 48))
