"""Close the connection after an answer given before the request's body was read.

A server that keeps such a connection open must read the rest of the body to find the next request, for as long as the client likes to send: after a 413 or a
401 that can be gigabytes.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CloseUnread"]

#: What is still read of such a body, in bytes and seconds, before the connection is closed: a client that is busy sending would otherwise
#: see a broken connection instead of the answer.
LINGER_BYTES, LINGER_SECONDS = 1024 * 1024, 1.0


class CloseUnread:
    """ASGI middleware: `Connection: close`, and a close, where the answer starts before the body's end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        unread, closing = True, False

        async def reading() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def answering(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and unread:
                closing = True
                if scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 has no such header
                    MutableHeaders(scope=message)["Connection"] = "close"
            if closing and unread and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _drain(reading)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self.app(scope, reading, answering)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _drain(receive: Receive) -> None:
    """Read on to the body's end, or up to the limits."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except (
        TimeoutError,
        asyncio.CancelledError,
    ):  # the latter when the server stops: the answer is out, only its end is missing
        return
