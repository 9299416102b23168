"""Where a checkpoint's files are: embedded in this package, in a local folder or on the Hub."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from emotion_hub.errors import CheckpointError, MissingFileError, UnknownModelError

__all__ = [
    "CONFIG_FILE",
    "INT8_FILE",
    "ONNX_FILE",
    "REPORT_FILE",
    "TRAINING_FILE",
    "WEIGHTS_FILE",
    "checkpoint_summary",
    "download_file",
    "embedded_checkpoints",
    "file_hash",
    "local_folder",
    "resolve_file",
]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
INT8_FILE = "model_int8.onnx"
REPORT_FILE = "report.json"
TRAINING_FILE = "training.json"

_HERE = Path(__file__).parent


def embedded_checkpoints() -> dict[str, Path]:
    """{name: folder} of the checkpoints that ship in this package."""
    return {folder.name: folder for folder in sorted(_HERE.iterdir()) if (folder / CONFIG_FILE).is_file()}


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: what a report, an export and a card know a checkpoint's weights by."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoint_summary(name: str) -> dict[str, Any]:
    """Name, network, labels and the figures of its report, None where there is no report yet, of an embedded checkpoint."""
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
    """The folder of an embedded name or of a path that is one; None for anything else, which may be a Hub id."""
    folder = embedded_checkpoints().get(str(source), Path(source))
    return (
        folder if os.path.isdir(folder) and str(source) else None
    )  # Path("") is the working folder; is_dir() raises for a name that is too long


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

    `source` is an embedded name, a folder, or a Hub id `owner/name` (downloaded once and cached). Raises
    UnknownModelError for a bare name that is none of these and CheckpointError for a file that cannot be had.
    """
    if (folder := local_folder(source)) is not None:
        if revision is not None:
            raise CheckpointError(
                f"revision={revision!r} belongs to a Hub id; {str(source)!r} is a local checkpoint, leave it out"
            )
        if not (folder / filename).is_file():
            raise MissingFileError(f"{str(source)!r} has no {filename}; {_present(folder)}")
        return folder / filename
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        known = list(embedded_checkpoints())
        near = "".join(f" did you mean {name!r}?" for name in difflib.get_close_matches(str(source), known, 1))
        raise UnknownModelError(
            f"no checkpoint {str(source)!r};{near} use {', '.join(known) or 'none embedded'}, an existing folder or a Hub id 'owner/name'"
        )
    return download_file(str(source), filename, revision, cache_dir, force_download, token, local_files_only)


def _present(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    if pickles:
        return f"{', '.join(pickles)} is a pickle, which may run code when it is opened and is refused: convert it to safetensors"
    return f"it holds {', '.join(names[:8]) or 'nothing'}"


def download_file(
    repo_id: str,
    filename: str,
    revision: str | None,
    cache_dir: str | Path | None,
    force_download: bool,
    token: str | bool | None,
    local_files_only: bool,
) -> Path:
    """The local path of one file of a Hub repository, whatever folders there are; raises CheckpointError when it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{repo_id!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        if not local_files_only:
            _reach_hub(repo_id, filename, revision, cache_dir, token)
        return Path(
            hf_hub_download(
                repo_id,
                filename,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                token=token,
                local_files_only=local_files_only,
            )
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise CheckpointError(
            f"{filename} of {at} is not in the cache and the Hub cannot be reached; go online once, or use an embedded checkpoint"
        ) from error
    except GatedRepoError as error:
        raise CheckpointError(f"{at} is gated; accept its terms on the Hub and pass a token") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"the Hub has no model {at}, or it is private; check the id, or pass a token") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"the Hub has no {at}; check the branch, tag or commit") from error
    except EntryNotFoundError as error:
        raise MissingFileError(
            f"{at} has no {filename}; it is no emotion_hub checkpoint (pickled weights are refused)"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"{repo_id!r} is no Hub id: {error}") from error
    except _UnreachableError as error:
        reason = f"is not in the cache and the Hub cannot be reached ({error})"
        raise CheckpointError(f"{filename} of {at} {reason}; go online once, or use an embedded checkpoint") from error
    except (
        OSError,
        HTTPError,
    ) as error:  # the HTTP client's own errors are no OSError; the Hub library names their base
        raise CheckpointError(f"{filename} of {at} could not be downloaded: {error}") from error


class _UnreachableError(Exception):
    """No connection to the Hub."""


def _reach_hub(
    repo_id: str, filename: str, revision: str | None, cache_dir: str | Path | None, token: str | bool | None
) -> None:
    """Ask once for a file that is not in the cache: the Hub's library repeats a failed connection five times, for 23 seconds.

    Raises _UnreachableError; every answer of the Hub, also a refusal, is left to the download.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(repo_id, filename, cache_dir, revision), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision), token=token)
    except HfHubHTTPError:
        return
    except HTTPError as error:
        raise _UnreachableError(str(error) or type(error).__name__) from error
