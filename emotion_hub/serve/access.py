"""Who may ask: one key for everything but the two addresses that a load balancer looks at."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from emotion_hub.serve.failures import refusal
from emotion_hub.serve.observe import DEMO_PATH

__all__ = ["OPEN_PATHS", "ApiKey"]

OPEN_PATHS = ("/health", "/ready")

#: Where people come with a browser, which can ask them for a password but not for a bearer token.
FOR_PEOPLE = (DEMO_PATH, "/docs", "/redoc")


class ApiKey:
    """ASGI middleware: `Authorization: Bearer KEY` as the Hub's client sends it, `X-API-Key: KEY`, or the key as the password of a browser's dialog."""

    def __init__(self, app: ASGIApp, key: str, on_rejection: Callable[[str], None]) -> None:
        self.app, self._key, self._on_rejection = app, key.encode(), on_rejection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS or self._knows(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        self._on_rejection("unauthorized")
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "Basic" if any(scope["path"] == path or scope["path"].startswith(f"{path}/") for path in FOR_PEOPLE) else "Bearer"
        headers = {"WWW-Authenticate": f'{kind} realm="emotion_hub"'}
        await refusal(401, "this server wants its API key; send the header Authorization: Bearer KEY", headers)(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        """Every key that came is compared in full, so that the time taken tells nothing."""
        return any([hmac.compare_digest(key, self._key) for key in _keys(headers)])


def _keys(headers: Headers) -> Iterator[bytes]:
    if (plain := headers.get("x-api-key")) is not None:
        yield plain.encode()
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        yield value.strip().encode()
    elif kind.lower() == "basic":
        try:
            yield base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return
