"""The FastAPI application: routes, the layers around them, and what starts and ends with the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve.auth import OPEN_PATHS, ApiKey
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.docs.routes import page_routes
from emotion_hub.serve.error_responses import install_failures
from emotion_hub.serve.head_requests import HeadAsGet
from emotion_hub.serve.request_log import REQUEST_ID, Observe
from emotion_hub.serve.routes import photo_routes, status_routes
from emotion_hub.serve.service import Service
from emotion_hub.serve.unread_bodies import CloseUnread
from emotion_hub.version import __version__

__all__ = ["create_app"]

ABOUT = """Which expression does a face show? `POST /predict` with a photo answers; `POST /` and `POST /models/{name}` answer in the shape of the
Hub's Inference API. Every refusal is `{"error": "why"}`; a 503 says in `Retry-After` when to come back. Pictures are not stored or logged."""


def create_app(
    models: Mapping[str, EmotionPredictor] | None = None, default: str | None = None, config: ServeConfig | None = None
) -> FastAPI:
    """The application for these predictors by name; without them for what `config.models` names, the embedded ones unless given.

    `default` answers where a request names no model: native48, or the first. Models are loaded when the server starts, or for the first request; `/ready`
    says when they are there. Raises InputError for a default that is not served.
    """
    config = config or ServeConfig()
    service = Service(models, default, config)
    locked = config.api_key is not None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:  # the server has answered whom it let in; the threads may still finish work that was given up
            await run_in_threadpool(service.close)

    layers = [Middleware(CloseUnread), Middleware(Observe, metrics=service.metrics)]
    if config.cors:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=config.cors,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=[REQUEST_ID, "Retry-After"],
            )
        )
    if config.api_key is not None:
        layers.append(Middleware(ApiKey, key=config.api_key, on_rejection=service.metrics.rejection))
    layers.append(Middleware(HeadAsGet))
    # FastAPI's own pages at /docs and /redoc load their scripts from another host; page_routes has a page that needs no internet
    app = FastAPI(
        title="emotion_hub",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        middleware=layers,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    install_failures(app)
    app.include_router(photo_routes(service, locked=locked))
    app.include_router(status_routes(service, locked=locked))
    app.include_router(page_routes(service, locked=locked))
    if locked:
        _describe_key(app)
    return app


def _describe_key(app: FastAPI) -> None:
    """Say in the OpenAPI document which operations want the key."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path not in OPEN_PATHS:
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
        return document

    app.openapi = openapi
