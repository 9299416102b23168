"""The log of the Hub's requests, and failures on demand: error answers, connections cut inside a body, delays."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request as it was answered; `path` is decoded and without the query, `status` None while there is no answer."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int | None = None
    cut: bool = False


@dataclass
class Fault:
    """What happens to the next `times` requests whose path holds a match of `path` and whose method is `method`, if given."""

    path: str
    times: int
    method: str | None = None
    status: int | None = None
    after: int | None = None
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def meets(self, request: Request) -> bool:
        return (
            self.times > 0 and self.method in (None, request.method) and re.search(self.path, request.path) is not None
        )


class Front:
    """Stands before an ASGI application: writes the log, carries out the faults, and leaves paths percent-encoded.

    Encoded, because the Hub's clients send a revision or path that contains slashes as one segment: refs%2Fpr%2F1.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.log: list[Request] = []
        self.faults: list[Fault] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], scope["query_string"].decode(), headers)
        self.log.append(request)
        fault = next((f for f in self.faults if f.meets(request)), None)
        if fault:
            fault.times -= 1
            await asyncio.sleep(fault.seconds)
        if fault and fault.status:
            request.status = fault.status
            while (await receive()).get("more_body"):
                pass  # the client is still sending; closing now could lose it the answer
            body = b'{"error": "injected failure"}'
            sent = {"content-type": "application/json", "content-length": str(len(body)), **fault.headers}
            await send(
                {
                    "type": "http.response.start",
                    "status": fault.status,
                    "headers": [(k.encode(), v.encode()) for k, v in sent.items()],
                }
            )
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
            return
        left = fault.after if fault else None

        async def watched(message: dict[str, Any]) -> None:
            nonlocal left
            if request.cut:
                return
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif left is not None and len(message.get("body", b"")) > left:
                # The rest never comes: uvicorn closes the connection when the application ends without it.
                request.cut = True
                message = {**message, "body": message["body"][:left], "more_body": True}
            elif left is not None:
                left -= len(message.get("body", b""))
            await send(message)

        await self.app({**scope, "path": scope["raw_path"].decode()}, receive, watched)
