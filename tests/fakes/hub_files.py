"""The content of the Hub's files as routes: downloads with ranges and redirects, uploads of large files in one piece or several."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tests.fakes.hub_access import Caller, Contributor, Hub, Readable, Rev, refuse_gated
from tests.fakes.hub_store import HubError

router = APIRouter()


@router.api_route("/{owner}/{name}/resolve/{rev}/{path:path}", methods=["GET", "HEAD"])
@router.api_route("/{kinds}/{owner}/{name}/resolve/{rev}/{path:path}", methods=["GET", "HEAD"])
async def resolve(hub: Hub, repo: Readable, caller: Caller, rev: Rev, path: str, request: Request) -> Response:
    """A file's content; a large file's address, with what the client has to know of it."""
    refuse_gated(repo, caller)
    commit = repo.at(rev)
    about = {"X-Repo-Commit": commit.oid}
    file = commit.files.get(unquote(path))
    if file is None:
        raise HubError(404, "Entry not found", "EntryNotFound", about)
    if file.sha256 is None:
        return deliver(hub.store.blobs[file.oid], file.oid, request, about)
    about |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
    return RedirectResponse(f"{hub.cdn}/cdn/{file.sha256}", 302, about)


def deliver(data: bytes, etag: str, request: Request, about: dict[str, str] | None = None) -> Response:
    """All of it (200), the range asked for (206), nothing where the asker has it already (304)."""
    headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", **(about or {})}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not wanted or wanted.groups() == ("", ""):
        return Response(data, headers=headers, media_type="application/octet-stream")
    first, last = wanted.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, "application/octet-stream")


# --- the other origin, where large files lie ----------------------------------------------------------------------------


@router.api_route("/cdn/{sha256}", methods=["GET", "HEAD"])
async def cdn_get(hub: Hub, sha256: str, request: Request) -> Response:
    _refuse_token(request)
    if sha256 not in hub.store.large:
        raise HubError(404, "no such object")
    return deliver(hub.store.large[sha256], sha256, request)


@router.put("/cdn/{sha256}")
async def cdn_put(hub: Hub, sha256: str, request: Request, part: int = 0) -> Response:
    _refuse_token(request)
    data = await request.body()
    if part:
        hub.store.parts[sha256, part] = data
    else:
        hub.store.upload(sha256, data)
    return Response(headers={"ETag": hashlib.md5(data).hexdigest()})


def _refuse_token(request: Request) -> None:
    if "authorization" in request.headers:  # storage that signs its addresses refuses a second way to authenticate
        raise HubError(400, "Only one auth mechanism allowed")


# --- git-lfs ------------------------------------------------------------------------------------------------------------


@router.post("/{owner}/{name}.git/info/lfs/objects/batch")
@router.post("/{kinds}/{owner}/{name}.git/info/lfs/objects/batch")
async def batch(hub: Hub, repo: Readable, caller: Caller, request: Request) -> dict[str, Any]:
    """Where to send each object; nothing for those that are here already."""
    body = await request.json()
    if caller is None or caller.role != "write":  # whoever has a write token may upload: it may be for a pull request
        raise HubError(403 if caller else 401, "Forbidden: you must use a write token to upload to a repository.")
    several = "multipart" in body["transfers"]
    root = f"{hub.endpoint}/{repo.prefix}.git/info/lfs/objects"

    def answer(oid: str, size: int) -> dict[str, Any]:
        if oid in hub.store.large:
            return {"oid": oid, "size": size}
        upload: dict[str, Any] = {"href": f"{hub.cdn}/cdn/{oid}"}
        if several and size > hub.part_size:
            count = -(-size // hub.part_size)
            parts = {str(n): f"{hub.cdn}/cdn/{oid}?part={n}" for n in range(1, count + 1)}
            upload = {"href": f"{root}/complete", "header": {"chunk_size": str(hub.part_size), **parts}}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": f"{root}/verify"}}}

    return {
        "transfer": "multipart" if several else "basic",
        "objects": [answer(o["oid"], o["size"]) for o in body["objects"]],
    }


@router.post("/{owner}/{name}.git/info/lfs/objects/complete")
@router.post("/{kinds}/{owner}/{name}.git/info/lfs/objects/complete")
async def complete(hub: Hub, request: Request) -> None:
    """The end of an upload in parts; the address is signed on the real Hub and needs no token."""
    body = await request.json()
    oid, parts = body["oid"], []
    for part in sorted(body["parts"], key=lambda part: part["partNumber"]):
        data = hub.store.parts.pop((oid, part["partNumber"]), b"")
        if hashlib.md5(data).hexdigest() != part["etag"]:
            raise HubError(400, f"part {part['partNumber']} of {oid} did not arrive whole")
        parts.append(data)
    hub.store.upload(oid, b"".join(parts))


@router.post("/{owner}/{name}.git/info/lfs/objects/verify")
@router.post("/{kinds}/{owner}/{name}.git/info/lfs/objects/verify")
async def verify(hub: Hub, repo: Readable, caller: Contributor, request: Request) -> None:
    body = await request.json()
    hub.store.pointer(body["oid"], body["size"])
