"""Error responses: {"error": text} for every exception and status.

This includes the framework's own errors, such as 404 and 405.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emotion_hub.errors import CheckpointError, ImageError, ImageTooLargeError, InputError, MissingDependencyError

__all__ = ["add_exception_handlers", "error_response"]

log = logging.getLogger(__name__)

#: Messages for statuses that the framework itself answers with the bare reason phrase.
ROUTING_MESSAGES = {
    404: "no such path; GET /openapi.json lists the paths",
    405: "this path does not take that method; the Allow header lists its methods",
}


def error_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The JSON response {"error": text}. `error` is a string because `huggingface_hub` expects one."""
    return JSONResponse({"error": text}, status, dict(headers or {}))


def add_exception_handlers(app: FastAPI) -> None:
    """Make `app` answer exceptions with {"error": text}.

    413 for a body or image that is too large, 400 for bytes that are not an image, 422 for a wrong field, 500 for a
    model that cannot predict, 501 for a package that is not installed.
    """

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return error_response(error.status_code, _message(error), _headers(error))

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:5]]
        return error_response(422, "; ".join(problems))

    @app.exception_handler(InputError)
    async def _input(_: Request, error: InputError) -> JSONResponse:
        return error_response(_input_status(error), str(error))

    @app.exception_handler(CheckpointError)
    async def _checkpoint(_: Request, error: CheckpointError) -> JSONResponse:
        log.error("a model failed to predict", exc_info=error)
        return error_response(500, str(error))

    @app.exception_handler(MissingDependencyError)
    async def _missing_package(_: Request, error: MissingDependencyError) -> JSONResponse:
        return error_response(501, str(error))


def _input_status(error: InputError) -> int:
    if isinstance(error, ImageTooLargeError):
        return 413
    return 400 if isinstance(error, ImageError) else 422


def _headers(error: HTTPException) -> dict[str, str]:
    """The headers of the error. Routes know GET only; `HeadMiddleware` answers HEAD wherever they answer GET."""
    return {
        name: "GET, HEAD" if (name.lower(), value) == ("allow", "GET") else value
        for name, value in (error.headers or {}).items()
    }


def _message(error: HTTPException) -> str:
    """The detail of the error; where it is only the status's reason phrase, a message that names the next step."""
    detail = str(error.detail)
    if detail != HTTPStatus(error.status_code).phrase:
        return detail
    return ROUTING_MESSAGES.get(error.status_code, detail.lower())
