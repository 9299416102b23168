"""A folder to a repository on the Hub: one commit, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emotion_hub.errors import PublishError

__all__ = ["KINDS", "Pushed", "push_folder"]

KINDS = ("model", "dataset", "space")


@dataclass(frozen=True)
class Pushed:
    """Where it is and at which commit; `changed` is false when the Hub had exactly this already."""

    repo_id: str
    url: str
    commit: str
    changed: bool
    pull_request: str | None = None


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    kind: str = "model",
    private: bool = False,
    create_pr: bool = False,
    message: str = "Publish",
    token: str | None = None,
    space_sdk: str | None = None,
) -> Pushed:
    """Make the repository hold exactly the folder's files, in one commit; a repository made for it goes again when the commit fails.

    Files that stand on the Hub and not in the folder are deleted in the same commit, except `.gitattributes`. The commit names its parent, so that one
    made meanwhile by somebody else is not overwritten. With `create_pr` the commit becomes a pull request. Raises PublishError.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if kind not in KINDS or not files:
        raise PublishError(f"kind={kind!r}, {len(files)} files in {folder}: publish a folder with files, as one of {', '.join(KINDS)}")
    api, made = HfApi(token=token), False
    try:
        if not api.repo_exists(repo_id, repo_type=kind):
            if create_pr:
                raise PublishError(f"there is no {kind} {repo_id!r} to make a pull request to; publish without --create-pr first")
            api.create_repo(repo_id, repo_type=kind, private=private, space_sdk=space_sdk)
            made = True
        before = api.repo_info(repo_id, repo_type=kind)
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        there = {sibling.rfilename for sibling in before.siblings or []}
        operations += [CommitOperationDelete(name) for name in sorted(there - set(files) - {".gitattributes"})]
        done = api.create_commit(repo_id, operations, commit_message=message, repo_type=kind, create_pr=create_pr, parent_commit=before.sha)
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is no repository id: {error}") from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        if made:
            api.delete_repo(repo_id, repo_type=kind, missing_ok=True)
        stands = "the repository made for it was deleted again" if made else "the repository is as it was"
        raise PublishError(f"{repo_id}: the Hub did not take the upload ({_first_line(error)}); {stands}. Check the token's rights and try again") from error
    except BaseException:
        if made:
            api.delete_repo(repo_id, repo_type=kind, missing_ok=True)
        raise
    return Pushed(repo_id, str(done.repo_url), done.oid, done.oid != before.sha, done.pr_url)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
