"""Model downloads: with the operator's token, anonymous for visitors.

A visitor's model goes into a cache of its own, with limits on size and disk space. Neither the server's token nor the
files that were downloaded with it are within a visitor's reach.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, WEIGHTS_FILE, download_file
from emotion_hub.errors import CheckpointError, ConfigError
from emotion_hub.ui.choices import Choice

__all__ = ["CARD_FILE", "MAX_TEXT", "MAX_WEIGHTS", "public_cache", "public_files", "trusted_files"]

CARD_FILE = "README.md"

#: Limits in bytes: weights that a visitor may make this server download, each text file beside them, and all visitors'
#: downloads on the disk.
MAX_WEIGHTS, MAX_TEXT, MAX_DISK = 600 * 10**6, 200_000, 3 * 10**9

#: Seconds to wait for the Hub's list of a repository's files.
HUB_TIMEOUT = 10.0


def trusted_files(choice: Choice, report: Callable[[str], None]) -> Path:
    """The folder of one commit in the Hub's cache, downloaded with the server's token where it has one."""
    report("asking the Hub")
    config = download_file(choice.repo_id, CONFIG_FILE, revision=choice.revision)
    commit = config.parent.name  # all files come from one commit, also when the repository changes meanwhile
    report("downloading")
    download_file(choice.repo_id, WEIGHTS_FILE, revision=commit)
    for name in (CARD_FILE, REPORT_FILE):
        _download_optional(choice.repo_id, name, commit)
    return config.parent


def public_files(choice: Choice, report: Callable[[str], None]) -> Path:
    """The folder of one commit in the visitors' cache, downloaded anonymously.

    Raises CheckpointError for a repository that is not public, lacks a file or exceeds a limit.
    """
    report("asking the Hub")
    cache, repo_id = public_cache(), choice.repo_id
    label = repo_id + (f" at revision {choice.revision!r}" if choice.revision else "")
    sizes, commit = _list_files(choice)
    if sizes is None:  # the Hub is unreachable: files that were downloaded anonymously before are used
        cached = partial(download_file, repo_id, cache_dir=cache, token=False, local_files_only=True)
        config = cached(CONFIG_FILE, revision=choice.revision)
        cached(WEIGHTS_FILE, revision=config.parent.name)
        return config.parent
    for name, limit in ((WEIGHTS_FILE, MAX_WEIGHTS), (CONFIG_FILE, MAX_TEXT)):
        if name not in sizes:
            raise CheckpointError(
                f"{label} has no {name}; it is not an emotion_hub checkpoint (pickled weights are refused)"
            )
        if sizes[name] > limit:
            raise CheckpointError(
                f"{name} of {label} has {sizes[name] / 1e6:,.1f} MB, the limit of this demo is {limit / 1e6:,.1f} MB;"
                " load it in Python, with from_pretrained"
            )
    _evict_downloads(cache, sizes[WEIGHTS_FILE], repo_id)
    download = partial(download_file, repo_id, cache_dir=cache, token=False)
    config = download(CONFIG_FILE, revision=commit)
    _check_network_size(config, sizes[WEIGHTS_FILE], label)
    report(f"downloading {sizes[WEIGHTS_FILE] / 1e6:,.1f} MB")
    download(WEIGHTS_FILE, revision=commit)
    for name in (CARD_FILE, REPORT_FILE):
        if sizes.get(name, MAX_TEXT + 1) <= MAX_TEXT:
            _download_optional(repo_id, name, commit, cache, False)
    if choice.revision != commit:  # so that the cache knows the revision's name when the Hub is unreachable
        download(CONFIG_FILE, revision=choice.revision)
    return config.parent


def _list_files(choice: Choice) -> tuple[dict[str, int] | None, str]:
    """({file: bytes}, commit) of a public repository; (None, "") when the Hub is unreachable.

    Raises CheckpointError when the Hub refuses, and for a gated repository.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    try:
        info = HfApi(token=False).model_info(
            choice.repo_id, revision=choice.revision, files_metadata=True, timeout=HUB_TIMEOUT
        )
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"the Hub has no revision {choice.revision!r} of {choice.repo_id}; check the branch, tag or commit"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status == 429:
            return None, ""
        raise CheckpointError(
            f"the Hub has no public model {choice.repo_id} ({status}); check the id. This demo opens no private or"
            " gated repository for visitors"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"{choice.repo_id!r} is not a Hub id: {error}") from error
    except (OSError, HTTPError, OfflineModeIsEnabled):
        return None, ""
    if info.gated:
        raise CheckpointError(
            f"{choice.repo_id} is gated; this demo opens no gated repository for visitors. Load it in Python, with your"
            " token"
        )
    return {file.rfilename: file.size or 0 for file in info.siblings or []}, str(info.sha)


def _check_network_size(config: Path, size: int, label: str) -> None:
    """Count the configured network's values before memory is allocated for them.

    Raises CheckpointError where they do not fit into a weights file of `size` bytes: a configuration of gigabytes may
    stand beside a small file.
    """
    from emotion_hub.models.classifier import ClassifierConfig
    from emotion_hub.models.registry import create_model

    try:
        wanted = ClassifierConfig.from_dict(json.loads(config.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{CONFIG_FILE} of {label} is not JSON: {error}") from error
    import torch

    with torch.device("meta"):
        tensors = create_model(wanted.model, len(wanted.labels), **wanted.options).state_dict().values()
        count = sum(tensor.numel() for tensor in tensors)
    if 2 * count > size:  # at least two bytes per value: no smaller type is loaded
        raise CheckpointError(
            f"{label} configures a network of {count:,} values, and its {WEIGHTS_FILE} has only {size:,} bytes; they do"
            " not belong together"
        )


def _download_optional(
    repo_id: str, name: str, commit: str, cache: Path | None = None, token: bool | None = None
) -> None:
    """Download a file that a checkpoint may lack: the model works without its card and report."""
    with contextlib.suppress(CheckpointError):
        download_file(repo_id, name, revision=commit, cache_dir=cache, token=token)


def public_cache() -> Path:
    """The folder of visitors' downloads, apart from the Hub's own cache."""
    from huggingface_hub import cached_assets_path, constants

    return cached_assets_path("emotion_hub", "demo", "public", assets_dir=constants.HF_ASSETS_CACHE)


def _evict_downloads(cache: Path, needed: int, keep: str) -> None:
    """Delete the oldest repositories except `keep` until `needed` bytes fit into the limit."""
    folders = sorted(
        (folder for folder in cache.glob("models--*") if folder.name != f"models--{keep.replace('/', '--')}"),
        key=lambda folder: folder.stat().st_mtime,
    )
    used = {
        folder: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
        for folder in folders
    }
    while folders and sum(used.values()) + needed > MAX_DISK:
        shutil.rmtree(folders[0], ignore_errors=True)
        used.pop(folders.pop(0))
