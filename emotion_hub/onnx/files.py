"""Find the ONNX file of a checkpoint, or export it to the cache.

A checkpoint's own `model.onnx` or `model_int8.onnx` is used when it exists; `check_beside` refuses one that does not
belong to the weights and configuration beside it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, Unpack

from emotion_hub.checkpoints import (
    CONFIG_FILE,
    INT8_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
    DownloadOptions,
    file_hash,
    resolve_file,
)
from emotion_hub.errors import CheckpointError, MissingFileError
from emotion_hub.labels import LabelSet
from emotion_hub.preprocess import PreprocessConfig

__all__ = ["CACHE_VARIABLE", "check_beside", "onnx_cache", "onnx_file", "own_onnx_file"]

log = logging.getLogger(__name__)

#: The environment variable that names the folder for exports.
CACHE_VARIABLE = "EMOTION_HUB_CACHE"

#: Part of the cache key: when it is increased, cached exports are not used any more.
GENERATION = 1

_export_lock = threading.Lock()


def onnx_file(source: str | Path, *, int8: bool = False, **where: Unpack[DownloadOptions]) -> Path:
    """The path of the ONNX file of an embedded name, a folder or a Hub id; `where` is as in `resolve_file`.

    The `model.onnx` of the checkpoint is used when it has one. Another checkpoint is exported once, in float32, to
    `onnx_cache()`; the hash of its weights and configuration is the file name. With `int8` the file is
    `model_int8.onnx`, which the checkpoint must have, because its calibration needs training faces. Raises the errors
    of `EmotionClassifier.from_pretrained` and `export_onnx`.
    """
    if int8:
        return _int8_file(source, where)
    if (own_file := own_onnx_file(source, **where)) is not None:
        return own_file
    config, weights = (resolve_file(source, name, **where) for name in (CONFIG_FILE, WEIGHTS_FILE))
    key = hashlib.sha256(f"{GENERATION} {file_hash(weights)} {file_hash(config)}".encode()).hexdigest()[:32]
    target = onnx_cache() / f"{key}.onnx"
    with _export_lock:  # a second thread waits and then uses the file of the first
        if not target.is_file():
            _export(source, weights, target, where)
    return target


def own_onnx_file(source: str | Path, **where: Unpack[DownloadOptions]) -> Path | None:
    """The `model.onnx` of a checkpoint, or None when it has none.

    Raises UnknownModelError and CheckpointError for a checkpoint that is not available.
    """
    try:
        return resolve_file(source, ONNX_FILE, **where)
    except MissingFileError:
        resolve_file(source, CONFIG_FILE, **where)  # raises CheckpointError when this is not a checkpoint
    except CheckpointError as error:  # the Hub cannot be reached: use the checkpoint in the cache, if there is one
        try:
            cached: DownloadOptions = {**where, "local_files_only": True}
            resolve_file(source, CONFIG_FILE, **cached)
        except CheckpointError:
            raise error from None
    return None


def onnx_cache() -> Path:
    """The folder for exports, created when it does not exist.

    It is `onnx` in the folder that EMOTION_HUB_CACHE names, by default in `emotion_hub` in the user's cache folder.
    When it is not writable, it is a temporary folder that is deleted at the end of the process.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(CACHE_VARIABLE) or user_cache / "emotion_hub") / "onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning(
            "%s cannot be written to (%s); exports are kept until this process ends. Set %s to another folder",
            folder,
            error,
            CACHE_VARIABLE,
        )
        return Path(_temporary_folder().name)


def check_beside(
    path: Path, weights_sha256: str | None, labels: LabelSet, preprocess: PreprocessConfig, source: str
) -> None:
    """Check that a checkpoint's own ONNX file at `path` belongs to the weights and configuration beside it.

    `weights_sha256`, `labels` and `preprocess` come from the metadata of the ONNX file; `weights_sha256` is the hash of
    the safetensors file from which it was exported, None when that is unknown. Raises CheckpointError when one differs.
    """
    if path.name not in (ONNX_FILE, INT8_FILE):
        return
    command = _int8_command(source) if path.name == INT8_FILE else f"python -m emotion_hub export {source}"
    weights, config = path.with_name(WEIGHTS_FILE), path.with_name(CONFIG_FILE)
    if weights_sha256 is not None and weights.is_file() and weights_sha256 != (actual := file_hash(weights)):
        raise CheckpointError(
            f"{path.name} of {source!r} was made of weights with SHA-256 {weights_sha256[:12]}…, {WEIGHTS_FILE} beside "
            f"it has {actual[:12]}…; write it again: {command}"
        )
    if not config.is_file():
        return
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        expected = _settings(LabelSet.of(values["labels"]), PreprocessConfig.from_dict(values["preprocess"]))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{CONFIG_FILE} of {source!r} has no valid labels and preprocessing ({error}); get it again"
        ) from error
    for key, value in _settings(labels, preprocess).items():
        if value != expected[key]:
            raise CheckpointError(
                f"{path.name} of {source!r} was made with {key} {value!r}, {CONFIG_FILE} beside it has "
                f"{expected[key]!r}; write it again: {command}"
            )


def _settings(labels: LabelSet, preprocess: PreprocessConfig) -> dict[str, Any]:
    """The settings that an ONNX file and a configuration must share."""
    return {"labels": list(labels.labels), **preprocess.to_dict()}


def _int8_command(source: str | Path) -> str:
    return f"python -m emotion_hub export {source} --dtype int8 --faces FOLDER_OF_TRAINING_FACES"


def _int8_file(source: str | Path, where: DownloadOptions) -> Path:
    resolve_file(source, CONFIG_FILE, **where)  # raises CheckpointError when this is not an available checkpoint
    try:
        return resolve_file(source, INT8_FILE, **where)
    except MissingFileError as error:
        raise CheckpointError(
            f"{str(source)!r} has no {INT8_FILE}; use backend='onnx', or write the file: {_int8_command(source)}"
        ) from error


def _export(source: str | Path, weights: Path, target: Path, where: DownloadOptions) -> None:
    from emotion_hub.models.classifier import EmotionClassifier
    from emotion_hub.onnx.export import export_onnx

    log.info("exporting %s to ONNX; the file is cached for the next start", source)
    export_onnx(EmotionClassifier.from_pretrained(source, **where), target, weights_file=weights)


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is deleted at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="emotion_hub_onnx_")
