"""Every refusal in one shape, {"error": text}, also those the framework makes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emotion_hub.errors import CheckpointError, ImageError, ImageTooLargeError, InputError, MissingDependencyError

__all__ = ["install_failures", "refusal"]

log = logging.getLogger(__name__)


def refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that says why not. `error` is a text because `huggingface_hub` reads it as one."""
    return JSONResponse({"error": text}, status, dict(headers or {}))


def install_failures(app: FastAPI) -> None:
    """Let the app answer errors in that shape.

    413 for too much, 400 for what is no picture, 422 for a field that is wrong, 500 for a model that cannot answer.
    """

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return refusal(error.status_code, _text(error), _headers(error))

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return refusal(
            422, "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])
        )

    @app.exception_handler(InputError)
    async def _input(_: Request, error: InputError) -> JSONResponse:
        status = 413 if isinstance(error, ImageTooLargeError) else 400 if isinstance(error, ImageError) else 422
        return refusal(status, str(error))

    @app.exception_handler(CheckpointError)
    async def _checkpoint(_: Request, error: CheckpointError) -> JSONResponse:
        log.error("a model cannot answer", exc_info=error)
        return refusal(500, str(error))

    @app.exception_handler(MissingDependencyError)
    async def _missing(_: Request, error: MissingDependencyError) -> JSONResponse:
        return refusal(501, str(error))


def _headers(error: HTTPException) -> dict[str, str]:
    """Routes know of GET only; `head.HeadAsGet` answers HEAD where they do."""
    return {
        name: "GET, HEAD" if (name.lower(), value) == ("allow", "GET") else value
        for name, value in (error.headers or {}).items()
    }


def _text(error: Any) -> str:
    """The framework's own texts are the status in words; ours say what to do."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    known = {
        404: "there is nothing at this address; GET /openapi.json lists what there is",
        405: "this address takes another method; see the Allow header",
    }
    return known.get(error.status_code, error.detail.lower())
