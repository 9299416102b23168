"""Download checkpoint files from the Hugging Face Hub, or use its cache."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from emotion_hub.errors import CheckpointError, MissingFileError, first_line

__all__ = ["HUB_ID", "DownloadOptions", "download_file"]

#: Regular expression of a Hub id, owner/name.
HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


class DownloadOptions(TypedDict, total=False):
    """Keyword arguments of `download_file` and `resolve_file`, with the meaning that huggingface_hub gives them."""

    revision: str | None
    cache_dir: str | Path | None
    force_download: bool
    token: str | bool | None
    local_files_only: bool


def download_file(
    repo_id: str,
    filename: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path:
    """The local path of one file of a Hub repository; a local folder of the same name is not considered.

    Raises MissingFileError for a repository without the file and CheckpointError for every other failure.
    """
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

    repository = f"{repo_id!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        if not local_files_only and (reason := _connection_failure(repo_id, filename, revision, cache_dir, token)):
            raise _not_available(filename, repository, f" ({reason})")
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
        raise _not_available(filename, repository) from error
    except GatedRepoError as error:
        raise CheckpointError(f"{repository} is gated; accept its terms on the Hub and pass a token") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"the Hub has no model {repository}, or it is private; check the id, or pass a token"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"the Hub has no {repository}; check the branch, tag or commit") from error
    except EntryNotFoundError as error:
        raise MissingFileError(
            f"{repository} has no {filename}; it is not an emotion_hub checkpoint (pickled weights are refused)"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"{repo_id!r} is no Hub id: {error}") from error
    except (OSError, HTTPError) as error:  # HTTPError: base class of the HTTP client's errors, which are no OSError
        raise CheckpointError(f"{filename} of {repository} could not be downloaded: {error}") from error


def _not_available(filename: str, repository: str, reason: str = "") -> CheckpointError:
    return CheckpointError(
        f"{filename} of {repository} is not in the cache and the Hub cannot be reached{reason}; "
        "go online once, or use an embedded checkpoint"
    )


def _connection_failure(
    repo_id: str, filename: str, revision: str | None, cache_dir: str | Path | None, token: str | bool | None
) -> str:
    """Why the Hub cannot be reached for a file that is not in the cache; "" when it can be reached or need not be.

    One request is sent. `hf_hub_download` would repeat a failed connection five times, which takes 23 seconds. A
    response of the Hub, also one that refuses the file, is a reachable Hub.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(repo_id, filename, cache_dir, revision), str):
        return ""
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision), token=token)
    except HfHubHTTPError:
        return ""
    except HTTPError as error:
        return first_line(error)
    return ""
