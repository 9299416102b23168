"""A folder to a repository on the Hub: one commit, all or nothing."""

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
    variables: Mapping[str, str] | None = None,
) -> Pushed:
    """Make the repository hold exactly the folder's files, in one commit; a repository made for it goes again when the commit fails.

    Files that stand on the Hub and not in the folder are deleted in the same commit, except `.gitattributes`. The commit names its parent, so that one
    made meanwhile by somebody else is not overwritten. With `create_pr` the commit becomes a pull request. A Space's `variables` are set before the
    commit, which restarts it; those of a pull request are its merger's to set. Raises PublishError.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if kind not in KINDS or not files:
        raise PublishError(
            f"kind={kind!r}, {len(files)} files in {folder}: publish a folder with files, as one of {', '.join(KINDS)}"
        )
    api, made, earlier = HfApi(token=token), False, None
    try:
        if not api.repo_exists(repo_id, repo_type=kind):
            if create_pr:
                raise PublishError(
                    f"there is no {kind} {repo_id!r} to make a pull request to; publish without --create-pr first"
                )
            api.create_repo(repo_id, repo_type=kind, private=private, space_sdk=space_sdk)
            made = True
        if variables and not create_pr:
            earlier = {key: value.value for key, value in api.get_space_variables(repo_id).items()}
            _set_variables(api, repo_id, variables, earlier)
        before = api.repo_info(repo_id, repo_type=kind)
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        there = {sibling.rfilename for sibling in before.siblings or []}
        operations += [CommitOperationDelete(name) for name in sorted(there - set(files) - {".gitattributes"})]
        done = api.create_commit(
            repo_id, operations, commit_message=message, repo_type=kind, create_pr=create_pr, parent_commit=before.sha
        )
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is no repository id: {error}") from error
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:  # ValueError: a card that the Hub refuses
        stands = _undo(api, repo_id, kind, made, variables, earlier)
        raise PublishError(
            f"{repo_id}: the Hub did not take the upload ({_first_line(error)}); {stands}. Check the card and the token's rights, and try again"
        ) from error
    except BaseException:
        _undo(api, repo_id, kind, made, variables, earlier)
        raise
    return Pushed(repo_id, str(done.repo_url), done.oid, done.oid != before.sha, done.pr_url)


def _set_variables(api: HfApi, repo_id: str, wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
    for key, value in wanted.items():
        if there.get(key) != value:
            api.add_space_variable(repo_id, key, value)


def _undo(
    api: HfApi,
    repo_id: str,
    kind: str,
    made: bool,
    variables: Mapping[str, str] | None,
    earlier: Mapping[str, str] | None,
) -> str:
    """How it stands after deleting a repository made for nothing, or giving one that was there its variables back.

    `earlier` is None while none of them was touched.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if made:
        try:
            api.delete_repo(repo_id, repo_type=kind, missing_ok=True)
        except (HfHubHTTPError, HTTPError, OSError):
            return "the repository made for it may still be there, empty: delete it on its settings page"
        return "the repository made for it was deleted again"
    if earlier is None:
        return "the repository is as it was"
    try:
        now = api.get_space_variables(repo_id)
        for key in (variables or {}).keys() & now.keys():
            if key not in earlier:
                api.delete_space_variable(repo_id, key)
            elif now[key].value != earlier[key]:
                api.add_space_variable(repo_id, key, earlier[key])
    except (HfHubHTTPError, HTTPError, OSError):
        return f"its files are as they were, its variables {', '.join(sorted(variables or {}))} may not be: look at the Space's settings"
    return "the repository is as it was"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
