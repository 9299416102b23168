"""Close connections whose request body was not read to its end.

A server that keeps such a connection open must read the rest of the body to find the next request. After a 413 or a
401 that can be gigabytes.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["UnreadBodyMiddleware"]

#: Bytes and seconds of the rest of such a body that are still read before the connection is closed: a client that is
#: still sending would otherwise get a connection error instead of the response.
DRAIN_BYTES, DRAIN_SECONDS = 1024 * 1024, 1.0


class UnreadBodyMiddleware:
    """ASGI middleware: adds `Connection: close` and closes if the response starts before the end of the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        unread, closing = True, False

        async def receive_and_track() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and unread:
                closing = True
                if scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 has no such header
                    MutableHeaders(scope=message)["Connection"] = "close"
            if closing and unread and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _drain(receive_and_track)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self.app(scope, receive_and_track, send_and_close)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _drain(receive: Receive) -> None:
    """Read the body to its end, or up to the limits."""
    remaining = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while remaining > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                remaining -= len(message.get("body", b""))
    except (TimeoutError, asyncio.CancelledError):
        # cancelled when the server stops: the response is sent except for the message that marks its end
        return
