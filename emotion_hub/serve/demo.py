"""Mount the Gradio demo at /demo, with its upload limits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from emotion_hub.serve.request_log import DEMO_PATH, RequestLogMiddleware

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["mount_demo", "mounted_demo"]


def mount_demo(app: FastAPI, demo: gr.Blocks, options: Mapping[str, Any]) -> FastAPI:
    """`app` with `demo` mounted at /demo; the app's API key protects the demo too.

    `options` are those of `Blocks.launch`; the ones that `gradio.mount_gradio_app` takes are used. Call it before the
    server starts.
    """
    import gradio as gr

    parameters = inspect.signature(gr.mount_gradio_app).parameters
    if not any(middleware.cls is CORSMiddleware for middleware in app.user_middleware):
        # gradio allows all origins unless the app has this middleware; without origins it allows none
        log_position = next((i for i, m in enumerate(app.user_middleware) if m.cls is RequestLogMiddleware), -1)
        app.user_middleware.insert(log_position + 1, Middleware(CORSMiddleware, allow_origins=()))
    return gr.mount_gradio_app(
        app, demo, path=DEMO_PATH, **{name: value for name, value in options.items() if name in parameters}
    )


def mounted_demo(app: Starlette) -> Any | None:
    """The ASGI app that is mounted at /demo; None without one."""
    return next((route.app for route in app.routes if isinstance(route, Mount) and route.path == DEMO_PATH), None)
