"""Local Hub: routes for accounts, repositories, commits and Spaces.

`hub_files.py` has the routes for file contents.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any
from urllib.parse import parse_qs, unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tests.fakes.hub_access import Caller, Contributor, Hub, Readable, Rev, contributor, is_owner, refuse_gated
from tests.fakes.hub_store import KINDS, Account, HubError, Repo, now
from tests.fakes.hub_views import card_problems, commit_json, entries, pull_json, refs_json, repo_json, runtime_json

router = APIRouter()


# accounts, creation, cards


@router.get("/api/whoami-v2")
async def whoami(caller: Caller) -> dict[str, Any]:
    if caller is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "tests", "role": caller.role, "createdAt": now()}
    orgs = [{"type": "org", "name": name, "roleInOrg": "admin"} for name in caller.orgs]
    return {
        "type": "user",
        "id": "0" * 24,
        "name": caller.name,
        "fullname": caller.name,
        "orgs": orgs,
        "auth": {"type": "access_token", "accessToken": token},
    }


@router.get("/api/agent-harnesses")
async def agent_harnesses() -> dict[str, Any]:
    return {"standardEnvVars": [], "harnesses": {}}


@router.post("/api/validate-yaml")
async def validate_yaml(request: Request) -> Response:
    body = await request.json()
    problems = zip(("errors", "warnings"), card_problems(body["content"], body["repoType"]), strict=True)
    content = {key: [{"message": message} for message in messages] for key, messages in problems}
    return JSONResponse(content, 400 if content["errors"] else 200)


def requested_repo(body: Mapping[str, Any], caller: Account | None) -> tuple[str, str]:
    """(kind, id) of the repository to create or delete; 401 or 403 for an account that may not."""
    if caller is None:
        raise HubError(401, "Invalid username or password.")
    owner = body.get("organization") or caller.name
    if caller.role != "write" or owner not in (caller.name, *caller.orgs):
        raise HubError(
            403,
            f"You don't have the rights to create or delete a {body.get('type', 'model')} "
            f"under the namespace {owner!r}",
        )
    return body.get("type") or "model", f"{owner}/{body['name']}"


@router.post("/api/repos/create")
async def create(hub: Hub, caller: Caller, request: Request) -> Response:
    body = await request.json()
    kind, id_ = requested_repo(body, caller)
    url = f"{hub.endpoint}/{Repo(kind, id_).prefix}"
    try:
        repo = hub.store.create(
            kind, id_, caller.name, body.get("visibility") == "private" or bool(body.get("private")), body.get("sdk")
        )
    except HubError as error:  # with exist_ok, the client reads the URL from the error response
        return JSONResponse({"error": str(error), "url": url}, error.status, error.headers)
    for key in ("variables", "secrets"):
        getattr(repo, key).update({entry["key"]: entry for entry in body.get(key) or []})
    return JSONResponse({"url": url, "name": id_, "id": repo.at().oid[:24], "private": repo.private})


@router.delete("/api/repos/delete")
async def delete(hub: Hub, caller: Caller, request: Request) -> None:
    kind, id_ = requested_repo(await request.json(), caller)
    if hub.store.repos.pop((kind, id_), None) is None:
        raise HubError(404, "Repository not found", "RepoNotFound")


@router.put("/api/{kinds}/{owner}/{name}/settings")
async def settings(repo: Readable, caller: Contributor, request: Request) -> dict[str, Any]:
    body = await request.json()
    repo.private = body.get("visibility", "private" if repo.private else "public") == "private"
    repo.gated = body.get("gated", repo.gated)
    return {"private": repo.private, "gated": repo.gated}


# reading


@router.get("/api/{kinds}")
async def list_repos(hub: Hub, caller: Caller, kinds: str, author: str = "", search: str = "") -> list[dict[str, Any]]:
    repos = [
        repo
        for (kind, _), repo in hub.store.repos.items()
        if kind == KINDS.get(kinds) and (not repo.private or is_owner(repo, caller))
    ]
    return [
        repo_json(hub.store, repo) for repo in repos if author in ("", repo.owner) and search.lower() in repo.id.lower()
    ]


@router.get("/api/{kinds}/{owner}/{name}")
@router.get("/api/{kinds}/{owner}/{name}/revision/{rev}")
async def info(hub: Hub, repo: Readable, rev: str = "main", blobs: bool = False) -> dict[str, Any]:
    return repo_json(hub.store, repo, unquote(rev), blobs)


@router.get("/api/{kinds}/{owner}/{name}/auth-check")
async def auth_check(repo: Readable, caller: Caller) -> None:
    refuse_gated(repo, caller)


@router.get("/api/{kinds}/{owner}/{name}/tree/{rev}")
@router.get("/api/{kinds}/{owner}/{name}/tree/{rev}/{path:path}")
async def tree(
    hub: Hub,
    repo: Readable,
    rev: Rev,
    request: Request,
    path: str = "",
    recursive: bool = False,
    expand: bool = False,
    cursor: int = 0,
) -> Response:
    listed = entries(repo, rev, unquote(path), recursive, expand)
    if path and not listed:
        raise HubError(404, f"{unquote(path)} does not exist on {rev!r}", "EntryNotFound")
    following = request.url.include_query_params(cursor=cursor + hub.page)
    more = {"Link": f'<{following}>; rel="next"'} if len(listed) > cursor + hub.page else {}
    return JSONResponse(listed[cursor : cursor + hub.page], headers=more)


@router.post("/api/{kinds}/{owner}/{name}/paths-info/{rev}")
async def paths_info(repo: Readable, rev: Rev, request: Request) -> list[dict[str, Any]]:
    form = parse_qs((await request.body()).decode())
    wanted = {path.strip("/") for path in form.get("paths", [])}
    return [entry for entry in entries(repo, rev, expand=form.get("expand") == ["true"]) if entry["path"] in wanted]


@router.get("/api/{kinds}/{owner}/{name}/commits/{rev}")
async def commits(repo: Readable, rev: Rev) -> list[dict[str, Any]]:
    return [commit_json(commit) for commit in repo.history(rev)]


@router.get("/api/{kinds}/{owner}/{name}/refs")
async def refs(repo: Readable) -> dict[str, Any]:
    return refs_json(repo)


# changes


@router.post("/api/{kinds}/{owner}/{name}/branch/{rev}")
async def create_branch(repo: Readable, caller: Contributor, rev: Rev, request: Request) -> None:
    _new_ref(repo, f"refs/heads/{rev}", (await request.json()).get("startingPoint", "main"))


@router.post("/api/{kinds}/{owner}/{name}/tag/{rev}")
async def create_tag(repo: Readable, caller: Contributor, rev: Rev, request: Request) -> None:
    _new_ref(repo, f"refs/tags/{(await request.json())['tag']}", rev)


def _new_ref(repo: Repo, ref: str, revision: str) -> None:
    commit = repo.at(revision)
    if ref in repo.refs:
        raise HubError(409, f"Reference already exists: {ref}")
    repo.refs[ref] = commit.oid


@router.delete("/api/{kinds}/{owner}/{name}/{what}/{rev}")
async def delete_ref(repo: Readable, caller: Contributor, what: str, rev: Rev) -> None:
    folder = {"branch": "heads", "tag": "tags"}.get(what)
    if repo.refs.pop(f"refs/{folder}/{rev}", None) is None:
        raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")


@router.post("/api/{kinds}/{owner}/{name}/preupload/{rev}")
async def preupload(hub: Hub, repo: Readable, caller: Contributor, rev: Rev, request: Request) -> dict[str, Any]:
    body, commit = await request.json(), repo.at(rev)
    written = hub.store.read(repo, ".gitignore", rev).decode() if ".gitignore" in commit.files else ""
    ignored = [
        line.rstrip("/")
        for line in body.get("gitIgnore", written).splitlines()
        if line and not line.startswith(("#", "!"))
    ]

    def answer(path: str, size: int, sample: str) -> dict[str, Any]:
        file = commit.files.get(path)
        large = hub.store.is_large(repo, path, size, base64.b64decode(sample))
        ignore = any(fnmatch(part, pattern) for pattern in ignored for part in (path, *path.split("/")))
        same = {"oid": file.sha256 if large else file.oid} if file and bool(file.sha256) == large else {}
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": ignore, **same}

    return {"files": [answer(f["path"], f["size"], f["sample"]) for f in body["files"]], "commitOid": commit.oid}


@router.post("/api/{kinds}/{owner}/{name}/commit/{rev}")
async def commit(
    hub: Hub, repo: Readable, caller: Contributor, rev: Rev, request: Request, create_pr: bool = False
) -> dict[str, Any]:
    lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
    made, number = hub.store.commit(repo, rev, lines, caller.name, create_pr)
    pull = {"pullRequestUrl": f"{hub.endpoint}/{repo.prefix}/discussions/{number}"} if number else {}
    return {
        "success": True,
        "commitOid": made.oid,
        "commitUrl": f"{hub.endpoint}/{repo.prefix}/commit/{made.oid}",
        "hookOutput": "",
        **pull,
    }


@router.post("/api/{kinds}/{owner}/{name}/discussions")
async def open_pull(hub: Hub, repo: Readable, caller: Caller, request: Request) -> dict[str, Any]:
    body = await request.json()
    author = await contributor(repo, caller, create_pr=True)
    if not body.get("pullRequest"):
        raise HubError(501, "the Hub of the tests has pull requests, but no other discussions")
    return pull_json(repo, hub.store.open_pull(repo, body["title"], body["description"], author.name))


@router.get("/api/{kinds}/{owner}/{name}/discussions/{number}")
async def pull(repo: Readable, number: int) -> dict[str, Any]:
    if number not in repo.pulls:
        raise HubError(404, f"no discussion {number}")
    return pull_json(repo, number)


@router.post("/api/{kinds}/{owner}/{name}/discussions/{number}/merge")
async def merge(repo: Readable, caller: Contributor, number: int) -> dict[str, Any]:
    if repo.at().oid not in {c.oid for c in repo.history(f"refs/pr/{number}")}:
        raise HubError(409, "the pull request does not start at the head of main")
    repo.refs["refs/heads/main"] = repo.refs[f"refs/pr/{number}"]
    repo.pulls[number]["status"] = "merged"
    return pull_json(repo, number)


# Spaces


@router.get("/api/{kinds}/{owner}/{name}/runtime")
async def runtime(hub: Hub, repo: Readable) -> dict[str, Any]:
    return runtime_json(hub.store, only_spaces(repo))


@router.api_route("/api/{kinds}/{owner}/{name}/variables", methods=["GET", "POST", "DELETE"])
async def variables(repo: Readable, caller: Contributor, request: Request) -> dict[str, Any]:
    return await _change(only_spaces(repo).variables, request)


@router.api_route("/api/{kinds}/{owner}/{name}/secrets", methods=["GET", "POST", "DELETE"])
async def secrets(repo: Readable, caller: Contributor, request: Request) -> dict[str, Any]:
    """The secrets without their values."""
    entries_by_key = await _change(only_spaces(repo).secrets, request)
    return {key: {k: v for k, v in entry.items() if k != "value"} for key, entry in entries_by_key.items()}


def only_spaces(repo: Repo) -> Repo:
    if repo.kind != "space":
        raise HubError(404, f"{repo.id} is a {repo.kind}, not a Space")
    return repo


async def _change(table: dict[str, dict[str, str]], request: Request) -> dict[str, dict[str, str]]:
    if request.method == "POST":
        entry = await request.json()
        table[entry["key"]] = entry | {"updatedAt": now()}
    elif request.method == "DELETE":
        table.pop((await request.json())["key"], None)
    return table
