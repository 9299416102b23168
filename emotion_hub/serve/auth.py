"""API-key middleware: one key for all paths; /health and /ready are exempt.

Load balancers probe the exempt paths.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from emotion_hub.serve.error_responses import error_response
from emotion_hub.serve.request_log import DEMO_PATH

__all__ = ["DOCS_PATH", "EXEMPT_PATHS", "ApiKeyMiddleware", "accepts_html"]

EXEMPT_PATHS = ("/health", "/ready")

DOCS_PATH = "/docs"

#: HTML pages, including the paths below them: a browser can ask its user for a password but not for a bearer token.
PAGE_PATHS = (DEMO_PATH, DOCS_PATH)


class ApiKeyMiddleware:
    """ASGI middleware: requests without the key get 401.

    The key is read from `Authorization: Bearer KEY`, which the Hub's client sends, from `X-API-Key: KEY`, or from the
    password of HTTP Basic authentication, which a browser's dialog sends.
    """

    def __init__(self, app: ASGIApp, key: str, on_rejection: Callable[[str], None]) -> None:
        self.app, self._key, self._on_rejection = app, key.encode(), on_rejection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in EXEMPT_PATHS or self._has_key(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        self._on_rejection("unauthorized")
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        scheme = "Basic" if _is_page(scope) else "Bearer"
        response = error_response(
            401,
            "the API key is missing or wrong; send the header Authorization: Bearer KEY",
            {"WWW-Authenticate": f'{scheme} realm="emotion_hub"'},
        )
        await response(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        """Whether the headers hold the key. All keys in them are compared, so that the time reveals nothing."""
        return any([hmac.compare_digest(key, self._key) for key in _keys(headers)])


def accepts_html(headers: Headers) -> bool:
    """Whether the Accept header names HTML, as browsers send it and API clients do not."""
    return "text/html" in headers.get("accept", "").lower()


def _is_page(scope: Scope) -> bool:
    """Whether a browser requests an HTML page, whose user can be asked for a password.

    A password that was entered at / is valid for every path of the server, so the browser does not ask again at the
    page to which / redirects.
    """
    path = scope["path"]
    if path == "/":
        return scope["method"] in ("GET", "HEAD") and accepts_html(Headers(scope=scope))
    return any(path == page or path.startswith(f"{page}/") for page in PAGE_PATHS)


def _keys(headers: Headers) -> Iterator[bytes]:
    if (header := headers.get("x-api-key")) is not None:
        yield header.encode()
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield value.strip().encode()
    elif scheme.lower() == "basic":
        try:
            yield base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return
