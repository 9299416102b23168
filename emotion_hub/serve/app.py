"""The FastAPI application: one handler a model, errors in one JSON shape."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from emotion_hub import __version__
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import ImageTooLargeError, InputError
from emotion_hub.images import MAX_BYTES
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.serve.inference import EndpointHandler, read_request

__all__ = ["create_app"]

#: The largest body: a picture in base64 with some JSON around it.
MAX_BODY = MAX_BYTES * 4 // 3 + 4096


def create_app(models: Mapping[str, EmotionPredictor] | None = None, default: str = "native48") -> FastAPI:
    """The application for these predictors by name, the embedded ones unless given; `POST /` asks `default`.

    `POST /models/{id}` and `POST /` take a picture's bytes, or JSON {"inputs": base64, "parameters": {"top_k", "function_to_apply", "whole"}}, as
    `huggingface_hub.InferenceClient.image_classification` sends them.
    """
    predictors = dict(models) if models is not None else {name: embedded_predictor(name) for name in embedded_checkpoints()}
    if default not in predictors:
        raise InputError(f"default={default!r} is none of the models {', '.join(predictors) or '(none)'}")
    handlers = {name: EndpointHandler(predictor=predictor) for name, predictor in predictors.items()}
    app = FastAPI(title="emotion_hub", version=__version__, description="Which expression does a face show?")

    @app.exception_handler(InputError)
    async def refuse(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 413 if isinstance(error, ImageTooLargeError) else 400)

    async def answer(name: str, request: Request) -> JSONResponse:
        if name not in handlers:
            return JSONResponse({"error": f"no model {name!r}; there are {', '.join(handlers)}"}, 404)
        asked = read_request(await _body(request), request.headers.get("content-type", ""))
        return JSONResponse(await run_in_threadpool(handlers[name].answer, asked))

    @app.post("/", summary="The default model's answer")
    async def root(request: Request) -> JSONResponse:
        return await answer(default, request)

    @app.post("/models/{name:path}", summary="One model's answer")
    async def model(name: str, request: Request) -> JSONResponse:
        return await answer(name, request)

    return app


async def _body(request: Request) -> bytes:
    """The body, read no further than it may be long; raises ImageTooLargeError."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise ImageTooLargeError(f"the body is larger than {MAX_BODY // 2**20} MB; send a smaller picture")
        parts.append(part)
    return b"".join(parts)
