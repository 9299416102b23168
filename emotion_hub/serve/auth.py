"""API-key middleware: one key for every path except /health and /ready, which load balancers probe."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from emotion_hub.serve.error_responses import refusal
from emotion_hub.serve.request_log import DEMO_PATH

__all__ = ["DOCS_PATH", "OPEN_PATHS", "ApiKey", "wants_page"]

OPEN_PATHS = ("/health", "/ready")

DOCS_PATH = "/docs"

#: Pages, with what lies below them: a browser can ask its user for a password but not for a bearer token.
PAGES = (DEMO_PATH, DOCS_PATH)


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
        kind = "Basic" if _is_page(scope) else "Bearer"
        headers = {"WWW-Authenticate": f'{kind} realm="emotion_hub"'}
        await refusal(401, "this server wants its API key; send the header Authorization: Bearer KEY", headers)(
            scope, receive, send
        )

    def _knows(self, headers: Headers) -> bool:
        """Every key that came is compared in full, so that the time taken tells nothing."""
        return any([hmac.compare_digest(key, self._key) for key in _keys(headers)])


def wants_page(headers: Headers) -> bool:
    """Whether a browser asks for a page: it names HTML among what it accepts, which API clients do not."""
    return "text/html" in headers.get("accept", "").lower()


def _is_page(scope: Scope) -> bool:
    """A dialog at / covers every path of the server, so its user is not asked again at the page to which / redirects."""
    path = scope["path"]
    if path == "/":
        return scope["method"] in ("GET", "HEAD") and wants_page(Headers(scope=scope))
    return any(path == page or path.startswith(f"{page}/") for page in PAGES)


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
