"""Local Hub: shared state, authentication and authorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request

from tests.fakes.hub_store import KINDS, Account, HubError, Repo, Store


@dataclass
class HubState:
    """The state that the routes share: the store, its two addresses, and limits that tests may lower.

    `part_size` is the size of an upload part in bytes, `page` the number of entries per page.
    """

    store: Store
    endpoint: str = ""
    cdn: str = ""
    part_size: int = 4_000_000
    page: int = 1000


async def current_hub(request: Request) -> HubState:
    return request.app.state.hub


async def current_account(request: Request) -> Account | None:
    """The account of the token in the request, None without a token; 401 for an unknown token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = request.app.state.hub.store.accounts
    if scheme and token not in known:
        raise HubError(401, "Invalid credentials in Authorization header")
    return known.get(token)


Hub = Annotated[HubState, Depends(current_hub)]
Caller = Annotated[Account | None, Depends(current_account)]


def is_owner(repo: Repo, caller: Account | None) -> bool:
    return caller is not None and repo.owner in (caller.name, *caller.orgs)


async def readable(hub: Hub, caller: Caller, owner: str, name: str, kinds: str = "models") -> Repo:
    # To anonymous requests, the real Hub sends a 401 without an error code, which the client recognises as "repository
    # not found" by a pattern of https URLs. Over http, only the code makes the client raise the same exception.
    repo = hub.store.repos.get((KINDS.get(kinds, ""), f"{unquote(owner)}/{unquote(name)}"))
    if repo is None or (repo.private and not is_owner(repo, caller)):
        raise (
            HubError(404, "Repository not found", "RepoNotFound")
            if caller
            else HubError(401, "Invalid username or password.", "RepoNotFound")
        )
    return repo


Readable = Annotated[Repo, Depends(readable)]


async def contributor(repo: Readable, caller: Caller, create_pr: bool = False) -> Account:
    """The account, if it may change the repository or, with create_pr, propose a change; else 401 or 403."""
    if caller is None:
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    if caller.role != "write":
        raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
    if not create_pr and not is_owner(repo, caller):
        raise HubError(
            403, f"Forbidden: you don't have the rights to write to {repo.id}. Use create_pr to propose the change."
        )
    return caller


def refuse_gated(repo: Repo, caller: Account | None) -> None:
    """401 or 403 for files of a gated repository; its file list is public."""
    if repo.gated and not is_owner(repo, caller):
        message = f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list."
        raise HubError(403 if caller else 401, message, "GatedRepo")


Contributor = Annotated[Account, Depends(contributor)]
Rev = Annotated[str, Depends(lambda rev: unquote(rev))]
