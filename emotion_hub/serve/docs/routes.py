"""Pages for people with a browser: the API reference at /docs, and / which leads to the demo or to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from emotion_hub.serve.auth import DOCS_PATH, wants_page
from emotion_hub.serve.demo import mounted_demo
from emotion_hub.serve.docs.page import docs_page
from emotion_hub.serve.request_log import DEMO_PATH
from emotion_hub.serve.service import Service

__all__ = ["page_routes"]

#: The page loads its own two files and nothing else; answers may hold a picture as a data URL.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'"

STATIC = Path(__file__).parent / "static"


def page_routes(service: Service, *, locked: bool) -> APIRouter:
    """The routes for browsers; the OpenAPI document leaves them out."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home(request: Request) -> Response:
        if not wants_page(request.headers):  # POST / is the Inference API's
            text = (
                f"GET / is for browsers, which send Accept: text/html; send a picture with POST /, or read {DOCS_PATH}"
            )
            raise HTTPException(405, text, {"Allow": "POST"})
        page = DEMO_PATH if mounted_demo(request.app) is not None else DOCS_PATH
        return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + page, 307, {"Vary": "Accept"})

    @router.get(DOCS_PATH)
    async def docs(request: Request) -> Response:
        text = docs_page(
            request.app.openapi(),
            str(request.base_url),
            model=service.models.default,
            locked=locked,
            demo=mounted_demo(request.app) is not None,
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})

    for name, media_type in (("docs.css", "text/css"), ("docs.js", "text/javascript")):
        router.add_api_route(f"{DOCS_PATH}/{name}", _file(name, media_type), methods=["GET"])
    return router


def _file(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    """The route's function for a file of `static`, which is read once."""
    content = (STATIC / name).read_bytes()

    async def file() -> Response:
        return Response(
            content, media_type=media_type, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        )

    return file
