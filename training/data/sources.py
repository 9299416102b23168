"""One split of a data set in any of the forms it comes in, rows named and nothing decoded yet.

| data | is read as |
|---|---|
| Hub id, or a folder with *.parquet files | a table with an image column and labels by name (ClassLabel or text) |
| folder of images | split/class/file.png, or class/file.png: one split, train |
| fer2013.csv, or a folder with it | emotion (0 to 6), pixels (2,304 numbers), Usage |
| folder with train.csv, val.csv, test.csv | manifests, see training.data.manifests |
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError, ManifestError
from emotion_hub.labels import FER2013
from training.data.manifests import Manifest, check_apart, check_classes, find_manifests, read_manifest

__all__ = ["SPLITS", "Source", "canonical_split", "open_manifests", "open_splits"]

SPLITS = ("train", "validation", "test")

_ALIASES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "validation" for name in ("validation", "val", "valid", "dev", "publictest")},
    **{name: "test" for name in ("test", "testing", "privatetest")},
}
_IMAGES, _LABELS = ("image", "img"), ("label", "labels", "emotion", "expression")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_BLOCK = 512
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """A split's rows: labels as written, `read(i)` with the encoded bytes (or the image itself), `where(i)` naming the row in messages."""

    name: str
    labels: list[str]
    read: Callable[[int], bytes | Image.Image]
    where: Callable[[int], str]
    columns: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


def canonical_split(name: str) -> str:
    """Our name of a split ("PublicTest" -> "validation"); raises InputError for any other."""
    if str(name).strip().lower() not in _ALIASES:
        raise InputError(f"no split {name!r}; choose from {', '.join(SPLITS)}")
    return _ALIASES[str(name).strip().lower()]


def open_splits(data: str | Path, root: Path | None = None, strict: bool = True) -> dict[str, Source]:
    """Every split of `data`, by our names, in the order of SPLITS; the forms are listed above. `root` is what manifests' paths are relative to.

    Raises InputError when nothing readable is there, and ManifestError naming the file and row for a manifest or folder with a fault;
    without `strict`, files that are missing show only when they are read.
    """
    path = Path(data)
    if path.is_file() and path.suffix.lower() == ".csv":
        found = _fer2013_csv(path)
    elif path.is_dir():
        found = _folder(path, root, strict)
    elif not path.exists() and _HUB_ID.fullmatch(str(data)):
        found = _tables(str(data))
    else:
        raise InputError(
            f"no data at {data}; give a Hub id, fer2013.csv, or a folder of parquet files, images or manifests"
        )
    return {split: found[split] for split in SPLITS if split in found}


def open_manifests(folder: Path, root: Path | None = None, strict: bool = True) -> dict[str, Manifest]:
    """The manifests of a folder by split, {} where it has none; `strict` checks files, classes and that no path stands in two splits."""
    found = {
        split: read_manifest(path, root, missing=not strict) for split, path in find_manifests(folder, _ALIASES).items()
    }
    if strict:
        check_classes(found)
        check_apart(found, {split: [str(file.resolve()) for file in m.files] for split, m in found.items()}, "path")
    return found


def _folder(path: Path, root: Path | None, strict: bool) -> dict[str, Source]:
    if found := open_manifests(path, root, strict):
        return {split: _of_manifest(split, manifest) for split, manifest in found.items()}
    if (path / "fer2013.csv").is_file():
        return _fer2013_csv(path / "fer2013.csv")
    if next(path.rglob("*.parquet"), None):
        return _tables(str(path))
    return _image_folder(path, strict)


def _of_manifest(split: str, manifest: Manifest) -> Source:
    columns = {name: _typed(values) for name, values in manifest.columns.items()}
    return Source(split, manifest.labels, lambda i: manifest.files[i].read_bytes(), manifest.where, columns)


def _typed(values: list[str]) -> np.ndarray:
    """A column of text as whole numbers or numbers where every value is one."""
    for kind in (np.int64, np.float64):
        try:
            return np.asarray(values).astype(kind)
        except ValueError:
            continue
    return np.asarray(values)


def _tables(data: str) -> dict[str, Source]:
    """Parquet files of a folder, or a data set of the Hub."""
    from datasets import DatasetDict

    try:
        loaded = _load(data, data)
    except (FileNotFoundError, ConnectionError) as error:
        raise InputError(
            f"no data at {data}: no such folder here, and the Hub gives no such data set ({error}); check the name"
        ) from error
    tables = loaded if isinstance(loaded, DatasetDict) else {"train": loaded}
    return {split: _of_table(split, tables[name], data) for split, name in _named(tables, data).items()}


def _load(what: str | Path, *args: Any, **options: Any) -> Any:
    """`datasets.load_dataset` of these arguments; raises ManifestError naming `what` where its content is damaged or no such table."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError
    from pyarrow import ArrowException

    here = (OSError,) if Path(what).exists() else ()  # what a damaged footer raises; and a Hub that does not answer
    try:
        return load_dataset(*args, **options)
    except FileNotFoundError:
        raise
    except (ArrowException, DatasetGenerationError, *here) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ManifestError(
            f"{what} cannot be read ({reason}): a file of it is damaged or of another kind; get it again"
        ) from error


def _named(names: Iterable[str], data: str | Path) -> dict[str, str]:
    """{our split: its name in `data`}, names of no split left out; raises ManifestError for two names of one split."""
    found: dict[str, str] = {}
    for name in names:
        split = _ALIASES.get(name.lower())
        if split in found:
            raise ManifestError(
                f"{data}: {found[split]!r} and {name!r} are both the {split} split; keep one, or join them"
            )
        if split is not None:
            found[split] = name
    return found


def _of_table(split: str, table: Any, data: str) -> Source:
    from datasets import ClassLabel
    from datasets import Image as ImageFeature

    image, label = (next((name for name in names if name in table.column_names), None) for names in (_IMAGES, _LABELS))
    if image is None or label is None:
        raise InputError(
            f"{data} has the columns {table.column_names}; name the image's {_IMAGES[0]!r} and the label's {_LABELS[0]!r}"
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

    block: dict[int, list[dict[str, Any]]] = {}  # rows come in order: a whole block costs little more than one row

    def read(i: int) -> bytes:
        start = i - i % _BLOCK
        if start not in block:
            block.clear()
            block[start] = encoded[start : start + _BLOCK][image]
        row = block[start][i - start]
        return row["bytes"] if row["bytes"] is not None else Path(row["path"]).read_bytes()

    return Source(split, values, read, lambda i: f"{data} {split} row {i}", columns)


def _image_folder(path: Path, strict: bool) -> dict[str, Source]:
    """split/class/file or class/file, read by datasets' imagefolder; raises ManifestError for a class without images and two folders of one split."""
    from datasets import Image as ImageFeature

    folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    splits = {split: path / name for split, name in _named([entry.name for entry in folders], path).items()} or {
        "train": path
    }
    for folder in splits.values() if strict else ():
        for label in (entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")):
            if not any(file.suffix.lower() in _SUFFIXES for file in label.rglob("*")):
                raise ManifestError(
                    f"class folder {label} holds no image; put {', '.join(_SUFFIXES[:3])} files there or delete it"
                )
    files = {split: f"{glob.escape(str(folder.resolve()))}/**" for split, folder in splits.items()}
    if not any(file.suffix.lower() in _SUFFIXES for file in path.rglob("*")):
        raise InputError(
            f"no data at {path}: it holds no manifest, no parquet file and no image; give a folder that does"
        )
    tables = _load(path, "imagefolder", data_files=files, drop_labels=False, drop_metadata=True)
    found = {}
    for split, table in tables.items():
        names = table.features["label"].names
        paths = [Path(row["path"]) for row in table.cast_column("image", ImageFeature(decode=False))["image"]]
        labels = [names[value] for value in table["label"]]
        found[split] = Source(
            split, labels, lambda i, paths=paths: paths[i].read_bytes(), lambda i, paths=paths: str(paths[i])
        )
    return found


def _fer2013_csv(path: Path) -> dict[str, Source]:
    """The contest's own file; raises ManifestError naming the row for an emotion, a Usage or pixels that are none."""
    table = _load(path, "csv", data_files=str(path.resolve()), split="train")
    table = table.rename_columns({name: name.strip() for name in table.column_names if name != name.strip()})
    if lacking := [name for name in ("emotion", "pixels", "Usage") if name not in table.column_names]:
        raise ManifestError(
            f"{path} row 1: no column {' and '.join(lacking)} among {table.column_names}; expected FER2013's emotion, pixels and Usage"
        )
    emotions, usages = np.asarray(table["emotion"]), [str(usage).strip().lower() for usage in table["Usage"]]
    for i, (emotion, usage) in enumerate(zip(emotions, usages, strict=True)):
        if emotion not in range(len(FER2013)) or usage not in _ALIASES:
            raise ManifestError(
                f"{path} row {i + 2}: emotion {emotion}, Usage {usage!r}; emotions run from 0 to {len(FER2013) - 1}, Usage is a split"
            )

    def read(i: int) -> Image.Image:
        try:
            pixels = np.array(table[int(i)]["pixels"].split(), dtype=np.uint8)
        except (AttributeError, OverflowError, ValueError) as error:
            raise ManifestError(
                f"{path} row {i + 2}: pixels are whole numbers from 0 to 255 with spaces between ({error})"
            ) from error
        if pixels.size != 48 * 48:
            raise ManifestError(f"{path} row {i + 2} has {pixels.size} pixels; a face has 48x48 = 2304")
        return Image.fromarray(pixels.reshape(48, 48))

    found = {}
    for split in SPLITS:
        rows = np.asarray([i for i, usage in enumerate(usages) if _ALIASES[usage] == split], dtype=np.int64)
        if len(rows):
            labels = [FER2013.labels[emotions[i]] for i in rows]
            found[split] = Source(
                split,
                labels,
                lambda i, rows=rows: read(rows[i]),
                lambda i, rows=rows: f"{path} row {rows[i] + 2}",
                {"source_row": rows},
            )
    return found
