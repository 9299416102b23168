"""Routes of browser pages: the API reference at /docs, and the redirect at /."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from emotion_hub.serve.auth import DOCS_PATH, accepts_html
from emotion_hub.serve.demo import mounted_demo
from emotion_hub.serve.docs.page import docs_page
from emotion_hub.serve.request_log import DEMO_PATH
from emotion_hub.serve.service import Service

__all__ = ["page_routes"]

#: The page may load its own script and style sheet only; responses that it shows may hold an image as a data URL.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'"
)

STATIC = Path(__file__).resolve().parents[1] / "static"


def page_routes(service: Service, *, requires_key: bool) -> APIRouter:
    """The routes for browsers, which are not in the OpenAPI document."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home(request: Request) -> Response:
        """Redirect browsers to the demo, or to the API reference without one; POST / is the Inference API."""
        if not accepts_html(request.headers):
            text = (
                "GET / answers browsers, which send Accept: text/html; "
                f"send an image with POST /, or read the API reference at {DOCS_PATH}"
            )
            raise HTTPException(405, text, {"Allow": "POST"})
        page = DEMO_PATH if mounted_demo(request.app) is not None else DOCS_PATH
        return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + page, 307, {"Vary": "Accept"})

    @router.get(DOCS_PATH)
    async def docs(request: Request) -> Response:
        page = docs_page(
            request.app.openapi(),
            str(request.base_url),
            model=service.models.default,
            requires_key=requires_key,
            has_demo=mounted_demo(request.app) is not None,
        )
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page, headers=headers)

    for name, media_type in (("docs.css", "text/css"), ("docs.js", "text/javascript")):
        router.add_api_route(f"{DOCS_PATH}/{name}", _static_file(name, media_type), methods=["GET"])
    return router


def _static_file(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    """The handler of a file in `static`, which is read once."""
    content = (STATIC / name).read_bytes()

    async def static_file() -> Response:
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=media_type, headers=headers)

    return static_file
