"""Local Hub: routes for downloads, ranges, redirects and LFS uploads."""

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
    """The content of a file; for a large file, a redirect with its size and hash in the headers."""
    refuse_gated(repo, caller)
    commit = repo.at(rev)
    headers = {"X-Repo-Commit": commit.oid}
    file = commit.files.get(unquote(path))
    if file is None:
        raise HubError(404, "Entry not found", "EntryNotFound", headers)
    if file.sha256 is None:
        return content_response(hub.store.blobs[file.oid], file.oid, request, headers)
    headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
    return RedirectResponse(f"{hub.cdn}/cdn/{file.sha256}", 302, headers)


def content_response(data: bytes, etag: str, request: Request, more: dict[str, str] | None = None) -> Response:
    """The whole content (200), the requested range (206), or nothing when the client has this ETag (304)."""
    headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", **(more or {})}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    byte_range = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not byte_range or byte_range.groups() == ("", ""):
        return Response(data, headers=headers, media_type="application/octet-stream")
    first, last = byte_range.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, "application/octet-stream")


# the other origin, which stores large files


@router.api_route("/cdn/{sha256}", methods=["GET", "HEAD"])
async def cdn_get(hub: Hub, sha256: str, request: Request) -> Response:
    _refuse_token(request)
    if sha256 not in hub.store.large:
        raise HubError(404, "no such object")
    return content_response(hub.store.large[sha256], sha256, request)


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
    if "authorization" in request.headers:  # storage with signed URLs refuses a second authentication
        raise HubError(400, "Only one auth mechanism allowed")


# git-lfs


@router.post("/{owner}/{name}.git/info/lfs/objects/batch")
@router.post("/{kinds}/{owner}/{name}.git/info/lfs/objects/batch")
async def batch(hub: Hub, repo: Readable, caller: Caller, request: Request) -> dict[str, Any]:
    """The upload URL of each object; no URL for objects that exist already."""
    body = await request.json()
    if caller is None or caller.role != "write":  # any write token is enough: the object can be for a pull request
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
    """Complete an upload in parts; needs no token, because the URL is signed on the real Hub."""
    body = await request.json()
    oid, parts = body["oid"], []
    for part in sorted(body["parts"], key=lambda part: part["partNumber"]):
        data = hub.store.parts.pop((oid, part["partNumber"]), b"")
        if hashlib.md5(data).hexdigest() != part["etag"]:
            raise HubError(400, f"part {part['partNumber']} of {oid} is incomplete")
        parts.append(data)
    hub.store.upload(oid, b"".join(parts))


@router.post("/{owner}/{name}.git/info/lfs/objects/verify")
@router.post("/{kinds}/{owner}/{name}.git/info/lfs/objects/verify")
async def verify(hub: Hub, repo: Readable, caller: Contributor, request: Request) -> None:
    body = await request.json()
    hub.store.pointer(body["oid"], body["size"])
