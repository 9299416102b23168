"""The ONNX file of a checkpoint: the one beside its weights, or an export kept in this machine's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE, INT8_FILE, ONNX_FILE, WEIGHTS_FILE, file_hash, resolve_file
from emotion_hub.errors import CheckpointError, MissingFileError
from emotion_hub.labels import LabelSet
from emotion_hub.preprocess import PreprocessConfig

__all__ = ["CACHE_VARIABLE", "check_beside", "onnx_cache", "onnx_file", "own_onnx_file"]

log = logging.getLogger(__name__)

#: Names another folder for exports than the user's cache.
CACHE_VARIABLE = "EMOTION_HUB_CACHE"

#: Exports of another generation are made anew.
GENERATION = 1

_exporting = threading.Lock()


def onnx_file(source: str | Path, *, int8: bool = False, **where: Any) -> Path:
    """The path of the ONNX file of an embedded name, a folder or a Hub id; `where` is as in `resolve_file`.

    A `model.onnx` of the checkpoint is used as it is. A checkpoint without one is exported, in float32, into `onnx_cache()` under the hash of its
    weights and configuration, so that the next call finds it. With `int8` it is `model_int8.onnx`, which the checkpoint must have: its ranges come
    from training faces. Raises what `EmotionClassifier.from_pretrained` and `export_onnx` raise.
    """
    if int8:
        return _int8_file(source, where)
    if (own := own_onnx_file(source, **where)) is not None:
        return own
    config, weights = (resolve_file(source, name, **where) for name in (CONFIG_FILE, WEIGHTS_FILE))
    key = hashlib.sha256(f"{GENERATION} {file_hash(weights)} {file_hash(config)}".encode()).hexdigest()[:32]
    target = onnx_cache() / f"{key}.onnx"
    with _exporting:  # a second thread finds what the first one made
        if not target.is_file():
            _export(source, weights, target, where)
    return target


def own_onnx_file(source: str | Path, **where: Any) -> Path | None:
    """The `model.onnx` of a checkpoint, None where it has none. Raises UnknownModelError and CheckpointError for a checkpoint that cannot be had."""
    try:
        return resolve_file(source, ONNX_FILE, **where)
    except MissingFileError:
        resolve_file(source, CONFIG_FILE, **where)  # a folder or repository that is no checkpoint says so here
    except CheckpointError as error:  # the Hub is out of reach: what is in the cache decides
        try:
            resolve_file(source, CONFIG_FILE, **{**where, "local_files_only": True})
        except CheckpointError:
            raise error from None
    return None


def onnx_cache() -> Path:
    """The folder for exports, made if it is not there: EMOTION_HUB_CACHE, or `emotion_hub/onnx` in the user's cache.

    Where neither can be written to, a folder of this process in the system's temporary one.
    """
    base = (
        os.environ.get(CACHE_VARIABLE)
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emotion_hub"
    )
    folder = Path(base) / "onnx"
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
        return _fallback()


def check_beside(path: Path, said: str | None, labels: LabelSet, preprocess: PreprocessConfig, source: str) -> None:
    """Raise CheckpointError when the ONNX file at `path` was made of other weights, labels or preprocessing than those beside it.

    `said`, `labels` and `preprocess` are what its metadata say: the weights by their SHA-256, None where the file does not know of which it was made.
    """
    if path.name not in (ONNX_FILE, INT8_FILE):
        return
    again = (
        f"write it again: {_command(source) if path.name == INT8_FILE else f'python -m emotion_hub export {source}'}"
    )
    weights, config = path.with_name(WEIGHTS_FILE), path.with_name(CONFIG_FILE)
    if said is not None and weights.is_file() and said != (found := file_hash(weights)):
        raise CheckpointError(
            f"{path.name} of {source!r} was made of weights with SHA-256 {said[:12]}…, {WEIGHTS_FILE} beside it has {found[:12]}…; {again}"
        )
    if not config.is_file():
        return
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        theirs = _use(LabelSet.of(values["labels"]), PreprocessConfig.from_dict(values["preprocess"]))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{CONFIG_FILE} of {source!r} does not give its labels and preprocessing ({error}); get it again"
        ) from error
    for key, ours in _use(labels, preprocess).items():
        if ours != theirs[key]:
            raise CheckpointError(
                f"{path.name} of {source!r} was made with {key} {ours!r}, {CONFIG_FILE} beside it says {theirs[key]!r}; {again}"
            )


def _use(labels: LabelSet, preprocess: PreprocessConfig) -> dict[str, Any]:
    return {"labels": list(labels.labels), **preprocess.to_dict()}


def _command(source: str | Path) -> str:
    return f"python -m emotion_hub export {source} --dtype int8 --faces FOLDER_OF_TRAINING_FACES"


def _int8_file(source: str | Path, where: dict[str, Any]) -> Path:
    resolve_file(source, CONFIG_FILE, **where)  # a checkpoint that cannot be had says so here
    try:
        return resolve_file(source, INT8_FILE, **where)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; use backend='onnx', or write the file: {_command(source)}") from error


def _export(source: str | Path, weights: Path, target: Path, where: dict[str, Any]) -> None:
    from emotion_hub.models.classifier import EmotionClassifier
    from emotion_hub.onnx.export import export_onnx

    log.info("exporting %s to ONNX, once; the next start finds it", source)
    export_onnx(EmotionClassifier.from_pretrained(source, **where), target, weights_file=weights)


def _fallback() -> Path:
    global _temporary
    if _temporary is None:
        _temporary = tempfile.TemporaryDirectory(prefix="emotion_hub_onnx_")
    return Path(_temporary.name)


_temporary: tempfile.TemporaryDirectory[str] | None = None
