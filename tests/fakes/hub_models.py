"""Local Hub: create small checkpoints and commit their files."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier

__all__ = ["checkpoint_files", "put"]


@lru_cache(maxsize=8)
def _saved(model: str, seed: int, labels: tuple[str, ...] | None) -> dict[str, bytes]:
    torch.manual_seed(seed)
    config = ClassifierConfig(model, labels) if labels else ClassifierConfig(model)
    with tempfile.TemporaryDirectory() as folder:
        EmotionClassifier(config)._save_pretrained(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def checkpoint_files(
    model: str = "emotion_cnn", seed: int = 0, labels: tuple[str, ...] | None = None, **more: bytes | str
) -> dict[str, bytes]:
    """config.json and model.safetensors with random weights, which depend on the seed only.

    `more` are further files by name, with '_' instead of '.'.
    """
    further = {
        name.replace("_", "."): value.encode() if isinstance(value, str) else value for name, value in more.items()
    }
    return {**_saved(model, seed, labels), **further}


def put(hub: Any, id_: str, files: Mapping[str, bytes], *, private: bool = False, revision: str = "main") -> str:
    """The id of the commit that writes the files to the repository, which is created when it does not exist."""
    existing = hub.store.repos.get(("model", id_))
    repo = existing or hub.store.create("model", id_, id_.split("/")[0], private)
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "files"}}]
    for path, data in files.items():
        if hub.store.is_large(repo, path, len(data), data[:512]):
            digest = hashlib.sha256(data).hexdigest()
            hub.store.upload(digest, data)
            lines.append({"key": "lfsFile", "value": {"path": path, "oid": digest, "size": len(data)}})
        else:
            lines.append({"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode()}})
    commit, _ = hub.store.commit(repo, revision, lines, id_.split("/")[0])
    return commit.oid
