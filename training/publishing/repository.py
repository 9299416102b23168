"""Push a folder to a repository on the Hub in one commit, or change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_hub.errors import PublishError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["KINDS", "Pushed", "push_folder"]

KINDS = ("model", "dataset", "space")


@dataclass(frozen=True)
class Pushed:
    """Where the files are and at which commit; `changed` is false when the Hub already had exactly these files."""

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
    variables: Mapping[str, str] | None = None,
) -> Pushed:
    """Make the repository hold exactly the folder's files, in one commit.

    Files on the Hub that are not in the folder are deleted in the same commit, except `.gitattributes`. The
    commit names its parent, so that a commit made meanwhile is not overwritten. With `create_pr` the commit
    becomes a pull request. A Space's `variables` are set before the commit, which restarts it. They are
    not set for a pull request. When the commit fails, a repository created for it is deleted, the variables are
    restored, and PublishError is raised.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if kind not in KINDS or not files:
        raise PublishError(
            f"kind={kind!r}, {len(files)} files in {folder}: give a folder with files, and one of {', '.join(KINDS)}"
        )
    api, created = HfApi(token=token), False
    earlier: dict[str, str] | None = None
    try:
        if not api.repo_exists(repo_id, repo_type=kind):
            if create_pr:
                raise PublishError(
                    f"there is no {kind} {repo_id!r} to make a pull request to; publish without --create-pr first"
                )
            api.create_repo(repo_id, repo_type=kind, private=private, space_sdk=space_sdk)
            created = True
        if variables and not create_pr:
            earlier = {key: variable.value or "" for key, variable in api.get_space_variables(repo_id).items()}
            _set_variables(api, repo_id, variables, earlier)
        before = api.repo_info(repo_id, repo_type=kind)
        on_hub = {sibling.rfilename for sibling in getattr(before, "siblings", None) or []}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, path) for name, path in files.items()),
            *(CommitOperationDelete(name) for name in sorted(on_hub - set(files) - {".gitattributes"})),
        ]
        done = api.create_commit(
            repo_id, operations, commit_message=message, repo_type=kind, create_pr=create_pr, parent_commit=before.sha
        )
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is no repository id: {error}") from error
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:  # ValueError: a card that the Hub rejects
        state = _undo(api, repo_id, kind, created, variables, earlier)
        raise PublishError(
            f"{repo_id}: the Hub did not accept the upload ({_last_line(error)}); {state}. Check the card and "
            "the token's "
            "permissions, and try again"
        ) from error
    except BaseException:
        _undo(api, repo_id, kind, created, variables, earlier)
        raise
    return Pushed(repo_id, str(done.repo_url), done.oid, done.oid != before.sha, done.pr_url)


def _set_variables(api: HfApi, repo_id: str, variables: Mapping[str, str], earlier: Mapping[str, str]) -> None:
    for key, value in variables.items():
        if earlier.get(key) != value:
            api.add_space_variable(repo_id, key, value)


def _undo(
    api: HfApi,
    repo_id: str,
    kind: str,
    created: bool,
    variables: Mapping[str, str] | None,
    earlier: Mapping[str, str] | None,
) -> str:
    """Delete a repository that was created, or restore a Space's variables; returns the resulting state as text.

    `earlier` is None when no variable was changed.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if created:
        try:
            api.delete_repo(repo_id, repo_type=kind, missing_ok=True)
        except (HfHubHTTPError, HTTPError, OSError):
            return "the repository that was created may still exist, empty: delete it on its settings page"
        return "the repository that was created has been deleted"
    if earlier is None:
        return "the repository is unchanged"
    try:
        now = api.get_space_variables(repo_id)
        for key in (variables or {}).keys() & now.keys():
            if key not in earlier:
                api.delete_space_variable(repo_id, key)
            elif now[key].value != earlier[key]:
                api.add_space_variable(repo_id, key, earlier[key])
    except (HfHubHTTPError, HTTPError, OSError):
        names = ", ".join(sorted(variables or {}))
        return f"its files are unchanged, its variables {names} may have changed: check the Space's settings"
    return "the repository is unchanged"


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
