"""The demo in the same process, with the limits it has on its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from emotion_hub.serve.request_log import DEMO_PATH, Observe

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["end_event_streams", "mount_demo", "mounted_demo"]


def mount_demo(app: FastAPI, demo: gr.Blocks, options: Mapping[str, Any]) -> FastAPI:
    """The app with `demo` at /demo; `options` are those of `Blocks.launch`, of which a mounted demo takes what `mount_gradio_app` knows.

    Call it before the server starts. The app's API key guards the demo too.
    """
    import gradio as gr

    known = inspect.signature(gr.mount_gradio_app).parameters
    if not any(layer.cls is CORSMiddleware for layer in app.user_middleware):
        # gradio answers every origin unless the app has this layer; without origins it allows none
        inside = 1 + next((place for place, layer in enumerate(app.user_middleware) if layer.cls is Observe), -1)
        app.user_middleware.insert(inside, Middleware(CORSMiddleware, allow_origins=()))
    return gr.mount_gradio_app(
        app, demo, path=DEMO_PATH, **{name: value for name, value in options.items() if name in known}
    )


def mounted_demo(app: Starlette) -> Any | None:
    """The ASGI app that is mounted at /demo, None without one."""
    return next((route.app for route in app.routes if isinstance(route, Mount) and route.path == DEMO_PATH), None)


def end_event_streams(app: Starlette) -> None:
    """End the streams that open pages of the demo hold for as long as they are shown; call it in the event loop when the server begins to stop.

    gradio sets this event when a server stops that it started itself, not where it is mounted.
    """
    if (demo := mounted_demo(app)) is not None:
        demo.stop_event.set()
