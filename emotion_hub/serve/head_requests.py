"""HEAD requests: answered like GET, without a body.

The OpenAPI document does not list them.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_hub.serve.request_log import is_demo_path

__all__ = ["HeadMiddleware"]


class HeadMiddleware:
    """ASGI middleware: runs a `HEAD` request as `GET`; the response has the same status and headers, and no body.

    FastAPI's routes answer `HEAD` with 405, but load balancers and `curl -I` send it. The mounted demo answers `HEAD`
    itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or is_demo_path(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        get_scope = {**scope, "method": "GET"}
        try:
            await self.app(get_scope, receive, send_without_body)
        finally:  # the router stores the matched route in its scope; the log and the metrics read it from there
            scope.update(get_scope, method="HEAD")
