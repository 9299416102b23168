"""Find checkpoint files: embedded in the package, in a folder or on the Hub.

`emotion_hub.checkpoints.hub` downloads.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints.hub import download_file
from emotion_hub.errors import CheckpointError, MissingFileError, UnknownModelError

__all__ = [
    "CONFIG_FILE",
    "INT8_FILE",
    "ONNX_FILE",
    "PAIR_FILE",
    "REPORT_FILE",
    "TRAINING_FILE",
    "WEIGHTS_FILE",
    "checkpoint_summary",
    "embedded_checkpoints",
    "file_hash",
    "local_folder",
    "pair_figures",
    "resolve_file",
]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
INT8_FILE = "model_int8.onnx"
REPORT_FILE = "report.json"
TRAINING_FILE = "training.json"

_FOLDER = Path(__file__).parent

#: The comparison of one network at both input sizes, written by `python -m training.studies.pair`.
PAIR_FILE = _FOLDER / "pair.json"


def embedded_checkpoints() -> dict[str, Path]:
    """{name: folder} of the checkpoints in this package."""
    return {folder.name: folder for folder in sorted(_FOLDER.iterdir()) if (folder / CONFIG_FILE).is_file()}


def pair_figures() -> dict[str, Any]:
    """`sides` and `paired` of one network that was trained at 48 and at 224 pixels; empty where it was not measured."""
    return json.loads(PAIR_FILE.read_text()) if PAIR_FILE.is_file() else {}


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; reports, exports and model cards identify weights by it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoint_summary(name: str) -> dict[str, Any]:
    """Name, network, labels, preprocessing and figures of an embedded checkpoint.

    The figures are those of its `report.json`; they are None when it has no report.
    """
    folder = embedded_checkpoints()[name]
    config = json.loads((folder / CONFIG_FILE).read_text())
    report = json.loads((folder / REPORT_FILE).read_text()) if (folder / REPORT_FILE).is_file() else {}
    figures = {key: report.get(key) for key in ("accuracy", "macro_f1", "n", "split", "parameters")}
    return {
        "name": name,
        "model": config["model"],
        "labels": config["labels"],
        "preprocess": config["preprocess"],
        **figures,
    }


def local_folder(source: str | Path) -> Path | None:
    """The folder of an embedded name or of an existing folder's path; None for anything else, such as a Hub id."""
    folder = embedded_checkpoints().get(str(source), Path(source))
    # Path("") is the working directory; unlike os.path.isdir, Path.is_dir raises an error for a name that is too long
    return folder if str(source) and os.path.isdir(folder) else None


def resolve_file(
    source: str | Path,
    filename: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path:
    """The local path of one file of a checkpoint.

    `source` is an embedded name, a folder, or a Hub id `owner/name`, whose file is downloaded once and cached. Raises
    UnknownModelError for a name that is none of these, MissingFileError for a checkpoint without the file and
    CheckpointError for a file that is not available.
    """
    if (folder := local_folder(source)) is not None:
        if revision is not None:
            raise CheckpointError(
                f"revision={revision!r} belongs to a Hub id; {str(source)!r} is a local checkpoint, leave it out"
            )
        if not (folder / filename).is_file():
            raise MissingFileError(f"{str(source)!r} has no {filename}; {_describe_folder(folder)}")
        return folder / filename
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        known = list(embedded_checkpoints())
        near = "".join(f" did you mean {name!r}?" for name in difflib.get_close_matches(str(source), known, 1))
        raise UnknownModelError(
            f"no checkpoint {str(source)!r};{near} use {', '.join(known) or 'none embedded'}, an existing folder "
            "or a Hub id 'owner/name'"
        )
    return download_file(
        str(source),
        filename,
        revision=revision,
        cache_dir=cache_dir,
        force_download=force_download,
        token=token,
        local_files_only=local_files_only,
    )


def _describe_folder(folder: Path) -> str:
    """The files of a folder, for a message about one that is missing; pickles are named as such."""
    names = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    if pickles:
        return (
            f"{', '.join(pickles)} is a pickle, which is refused because loading it can run code: "
            "convert it to safetensors"
        )
    return f"it holds {', '.join(names[:8]) or 'nothing'}"
