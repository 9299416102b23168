"""Local Hub: request log and fault injection.

Faults are error responses, connections cut inside a body, and delays.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request; `path` is decoded and has no query, `status` is None until the response starts."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int | None = None
    cut: bool = False


@dataclass
class Fault:
    """A fault for the next `times` requests whose path contains a match of `path`, and with `method` if it is given.

    `status` is the status of an error response, `after` the number of bytes of the body after which the connection is
    closed, `seconds` a delay.
    """

    path: str
    times: int
    method: str | None = None
    status: int | None = None
    after: int | None = None
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def matches(self, request: Request) -> bool:
        return (
            self.times > 0 and self.method in (None, request.method) and re.search(self.path, request.path) is not None
        )


class FaultMiddleware:
    """ASGI middleware that logs requests, injects faults and passes paths on percent-encoded.

    They stay encoded because clients send a revision or path with slashes as one segment: refs%2Fpr%2F1.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.log: list[Request] = []
        self.faults: list[Fault] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], scope["query_string"].decode(), headers)
        self.log.append(request)
        fault = next((f for f in self.faults if f.matches(request)), None)
        if fault:
            fault.times -= 1
            await asyncio.sleep(fault.seconds)
        if fault and fault.status:
            request.status = fault.status
            while (await receive()).get("more_body"):
                pass  # the client is still sending; it would miss a response after which the connection is closed
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
        remaining = fault.after if fault else None

        async def send_until_cut(message: dict[str, Any]) -> None:
            nonlocal remaining
            if request.cut:
                return
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif remaining is not None and len(message.get("body", b"")) > remaining:
                # The rest is not sent: uvicorn closes the connection when the application returns without it.
                request.cut = True
                message = {**message, "body": message["body"][:remaining], "more_body": True}
            elif remaining is not None:
                remaining -= len(message.get("body", b""))
            await send(message)

        await self.app({**scope, "path": scope["raw_path"].decode()}, receive, send_until_cut)
