"""`HEAD` for every address that answers `GET`, without a second operation in the OpenAPI document."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_hub.serve.request_log import of_demo

__all__ = ["HeadAsGet"]


class HeadAsGet:
    """ASGI middleware: a `HEAD` request runs as `GET`, and its answer has the same status and headers and no body.

    FastAPI's routes answer 405 to `HEAD`; load balancers and `curl -I` send it. The mounted demo answers `HEAD` itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or of_demo(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        as_get = {**scope, "method": "GET"}
        try:
            await self.app(as_get, receive, without_body)
        finally:  # the router notes the route in its scope, from where the log and the metrics take it
            scope.update(as_get, method="HEAD")
