"""The FastAPI application: routes, middleware, API key, startup and shutdown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve.auth import EXEMPT_PATHS, ApiKeyMiddleware
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.docs.routes import page_routes
from emotion_hub.serve.error_responses import add_exception_handlers
from emotion_hub.serve.head_requests import HeadMiddleware
from emotion_hub.serve.request_log import REQUEST_ID, RequestLogMiddleware
from emotion_hub.serve.routes import photo_routes, status_routes
from emotion_hub.serve.service import Service
from emotion_hub.serve.unread_bodies import UnreadBodyMiddleware
from emotion_hub.version import __version__

__all__ = ["create_app"]

DESCRIPTION = (
    "Facial-expression recognition. `POST /predict` takes a photo and predicts the expression of every face; `POST /` "
    "and `POST /models/{name}` answer in the shape of the Hub's Inference API. Every error response is "
    '`{"error": "reason"}`; a 503 has the header `Retry-After`. Images are neither stored nor logged.'
)


def create_app(
    models: Mapping[str, EmotionPredictor] | None = None, default: str | None = None, config: ServeConfig | None = None
) -> FastAPI:
    """The application that serves `models`, predictors by name; without them it serves the models that `config` names.

    `default` is the model for requests that name none: native48, or the first, unless it is given. Models are loaded
    when the server starts, or at the first request; GET /ready reports when they are loaded. Raises InputError for a
    default that is not served and ConfigError for two models with one name.
    """
    config = config or ServeConfig()
    service = Service(models, default, config)
    requires_key = config.api_key is not None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:  # all admitted requests are answered; threads may still run abandoned work
            await run_in_threadpool(service.close)

    # FastAPI's own pages at /docs and /redoc load scripts from another host; the page of page_routes does not
    app = FastAPI(
        title="emotion_hub",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        middleware=_middleware(service, config),
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    add_exception_handlers(app)
    app.include_router(photo_routes(service, requires_key=requires_key))
    app.include_router(status_routes(service, requires_key=requires_key))
    app.include_router(page_routes(service, requires_key=requires_key))
    if requires_key:
        _document_key(app)
    return app


def _middleware(service: Service, config: ServeConfig) -> list[Middleware]:
    """The middleware from the outermost to the innermost."""
    middleware = [Middleware(UnreadBodyMiddleware), Middleware(RequestLogMiddleware, metrics=service.metrics)]
    if config.cors:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=config.cors,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=[REQUEST_ID, "Retry-After"],
            )
        )
    if config.api_key is not None:
        middleware.append(Middleware(ApiKeyMiddleware, key=config.api_key, on_rejection=service.metrics.rejection))
    middleware.append(Middleware(HeadMiddleware))
    return middleware


def _document_key(app: FastAPI) -> None:
    """Add to the OpenAPI document which operations require the API key."""
    openapi_without_key = app.openapi

    def openapi() -> dict[str, Any]:
        document = openapi_without_key()
        document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path not in EXEMPT_PATHS:
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents to extend the document
