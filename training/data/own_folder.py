"""Splits for a folder of one's own: one sub-folder of images per label.

FOLDER/<label>/*.png     photos, or cropped faces
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.images import IMAGE_SUFFIXES
from emotion_hub.labels import FER2013, LabelSet, label_set, spelling
from training.data.crops import LargestFace
from training.data.files import write_json
from training.data.manifests import find_manifests
from training.data.prepare import prepare
from training.data.splits import ALIASES, names_by_split

__all__ = ["SPLITS_FOLDER", "class_folders", "folder_labels", "own_splits"]

#: Folder of a run with the splits of such images.
SPLITS_FOLDER = "data"

#: What the splits were made of: the source's folder, its number of images and a hash of their names and sizes.
_SOURCE_FILE = "source.json"


def class_folders(data: str | Path) -> list[Path]:
    """The class folders of a folder without splits, sorted by name; [] for data in any other form."""
    folder = Path(data)
    if not folder.is_dir() or find_manifests(folder, ALIASES) or next(folder.rglob("*.parquet"), None):
        return []
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [] if names_by_split([path.name for path in subfolders], folder) else subfolders


def folder_labels(data: str | Path) -> LabelSet | None:
    """The labels that the class folders of a folder without splits name; None for data in any other form.

    The order is FER2013's when all of them are labels of FER2013, and alphabetical otherwise. Raises LabelError for
    two folders of one label, such as happy and happiness.
    """
    names = [path.name for path in class_folders(data)]
    if not names:
        return None
    if {spelling(name) for name in names} <= set(FER2013.labels):
        names.sort(key=FER2013.index)
        label_set(names)  # two spellings of one label
        return label_set([spelling(name) for name in names])
    return label_set(names)


def own_splits(data: str | Path, out: Path, labels: LabelSet, *, detect: bool = True, seed: int = 0) -> str | Path:
    """`data`, or a data set with splits that is made of it when it is a folder of class folders without splits.

    The data set is written once to `out`/data by `training.data.prepare`: exact copies are left out, near copies stay
    in one split, and the splits are 70, 15 and 15 per cent of each label. With `detect`, photos are replaced by their
    largest face, and photos without a face are left out. Raises InputError when the images have changed since, and for
    a label with fewer than 20 different images.
    """
    folders = class_folders(data)
    if not folders:
        return data
    folder, source = out / SPLITS_FOLDER, _source(Path(data), folders, labels, detect)
    if (folder / _SOURCE_FILE).is_file():
        if json.loads((folder / _SOURCE_FILE).read_text()) != source:
            raise InputError(
                f"{folder} holds splits that were made of other images, labels or settings than those of {data} now; "
                "give a new folder with --out"
            )
        return folder
    part = folder.with_name(folder.name + ".part")
    if part.exists():  # an earlier call was interrupted
        shutil.rmtree(part)
    crop = LargestFace() if detect else None
    status = prepare(data, part, labels, seed=seed, crop=crop)
    write_json(part / _SOURCE_FILE, source)
    part.rename(folder)
    _print_status(status, folder, crop)
    return folder


def _source(data: Path, folders: list[Path], labels: LabelSet, detect: bool) -> dict[str, Any]:
    files = sorted(
        file.relative_to(data)
        for folder in folders
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.as_posix()}\0{(data / file).stat().st_size}\0".encode())
    return {"images": len(files), "sha256": digest.hexdigest(), "labels": list(labels.labels), "detect": detect}


def _print_status(status: dict[str, Any], folder: Path, crop: LargestFace | None) -> None:
    counts = {split: sum(row["after"].values()) for split, row in status["splits"].items()}
    print(f"{folder}: " + ", ".join(f"{split} {count}" for split, count in counts.items()) + " images")
    print("labels: " + ", ".join(f"{label} {n}" for label, n in _by_label(status).items()))
    cleaned = status["cleaned"]
    left_out = {
        "copies": cleaned["surplus_copies"],
        "copies with conflicting labels": cleaned["conflicting"],
        "of one flat colour": cleaned["constant"],
        "without a face or unreadable": len(status["unreadable"]),
        **{f"labelled {label}": count for label, count in status["dropped"].items()},
    }
    print("left out: " + (", ".join(f"{n} {reason}" for reason, n in left_out.items() if n) or "none"))
    if crop and crop.several_faces:
        print(f"several faces, of which the largest is used: {crop.several_faces} photos")
    for row in status["unreadable"][:5]:
        print(f"  {row}")


def _by_label(status: dict[str, Any]) -> dict[str, int]:
    rows = [row["after"] for row in status["splits"].values()]
    return {label: sum(row[label] for row in rows) for label in rows[0]}
