"""What the Hub's routes share: the site they serve, who is asking, and whether they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request

from tests.fakes.hub_store import KINDS, Account, HubError, Repo, Store


@dataclass
class Site:
    """What the routes serve: a store, its two addresses, and three limits (bytes, bytes, entries) that tests may lower."""

    store: Store
    endpoint: str = ""
    cdn: str = ""
    part_size: int = 4_000_000
    page: int = 1000


async def the_hub(request: Request) -> Site:
    return request.app.state.hub


async def the_caller(request: Request) -> Account | None:
    """The account whose token the request carries, None without a token; 401 for an unknown one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = request.app.state.hub.store.accounts
    if scheme and token not in known:
        raise HubError(401, "Invalid credentials in Authorization header")
    return known.get(token)


Hub = Annotated[Site, Depends(the_hub)]
Caller = Annotated[Account | None, Depends(the_caller)]


def belongs(repo: Repo, caller: Account | None) -> bool:
    return caller is not None and repo.owner in (caller.name, *caller.orgs)


async def readable(hub: Hub, caller: Caller, owner: str, name: str, kinds: str = "models") -> Repo:
    # The real Hub sends a 401 without a code where nobody is signed in, and the client knows it as "repository not found"
    # by a pattern that wants https. Over http only the code gives callers the same exception.
    repo = hub.store.repos.get((KINDS.get(kinds, ""), f"{unquote(owner)}/{unquote(name)}"))
    if repo is None or (repo.private and not belongs(repo, caller)):
        raise (
            HubError(404, "Repository not found", "RepoNotFound")
            if caller
            else HubError(401, "Invalid username or password.", "RepoNotFound")
        )
    return repo


Readable = Annotated[Repo, Depends(readable)]


async def contributor(repo: Readable, caller: Caller, create_pr: bool = False) -> Account:
    """Who may change the repository, or, with create_pr, propose a change to it."""
    if caller is None:
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    if caller.role != "write":
        raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
    if not create_pr and not belongs(repo, caller):
        raise HubError(
            403, f"Forbidden: you don't have the rights to write to {repo.id}. Use create_pr to propose the change."
        )
    return caller


def refuse_gated(repo: Repo, caller: Account | None) -> None:
    """A gated repository shows what it has and hands out nothing."""
    if repo.gated and not belongs(repo, caller):
        message = f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list."
        raise HubError(403 if caller else 401, message, "GatedRepo")


Contributor = Annotated[Account, Depends(contributor)]
Rev = Annotated[str, Depends(lambda rev: unquote(rev))]
