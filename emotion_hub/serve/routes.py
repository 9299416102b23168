"""HTTP routes: predict, compare, explain, Inference API, server status."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import ImageTooLargeError, InputError
from emotion_hub.explainers import list_methods
from emotion_hub.interop.inference_api import ranked, read_request
from emotion_hub.labels import LabelSet
from emotion_hub.results import Prediction
from emotion_hub.serve.docs.openapi import inference_body, photo_body, route_responses
from emotion_hub.serve.limits import RequestLimiter
from emotion_hub.serve.metrics import CONTENT_TYPE
from emotion_hub.serve.models import ServedModel
from emotion_hub.serve.request_log import request_record
from emotion_hub.serve.requests import CompareRequest, ExplainRequest, PhotoRequest, PredictRequest, parse_request
from emotion_hub.serve.responses import comparison_rows, predict_response, predictions
from emotion_hub.serve.schemas import (
    CompareResponse,
    ExplainResponse,
    HealthResponse,
    LabelScore,
    ModelsResponse,
    PredictResponse,
    ReadyResponse,
)
from emotion_hub.serve.service import PreparedPhoto, Service
from emotion_hub.version import __version__

__all__ = ["photo_routes", "status_routes"]

R = TypeVar("R", bound=PhotoRequest)

#: The models that /compare runs where the request names none.
COMPARED = ("native48", "upscale224")


def photo_routes(service: Service, *, requires_key: bool) -> APIRouter:
    """The routes that take a photo."""
    router = APIRouter()
    documented = partial(route_responses, requires_key=requires_key)
    photo_responses = documented(400, 404, 408, 413, 415, 422, 503, 504)

    async def parser(model: type[R], request: Request, limiter: RequestLimiter) -> Callable[[], R]:
        """A function that parses the request, to be called in a thread; reads the body first."""
        body = await service.read_body(request, limiter)
        content_type, query = request.headers.get("content-type", ""), request.query_params.multi_items()
        return partial(parse_request, model, body, content_type, query)

    @router.post(
        "/predict",
        summary="The expression of every face",
        response_model=PredictResponse,
        responses=photo_responses,
        openapi_extra=photo_body(PredictRequest, {}),
    )
    async def predict(request: Request) -> Response:
        parse = await parser(PredictRequest, request, service.photos)
        async with service.photos.admit() as admitted:
            await service.models.ready()
            photo = await service.process_photo(admitted, request_record(request), parse, lambda fields: [fields.model])
        faces = _predictions(photo, 0, photo.request.labels)
        return JSONResponse(predict_response(photo.models[0].predictor.name, photo.size, faces, photo.timings))

    @router.post(
        "/compare",
        summary="The predictions of two models for the same faces",
        response_model=CompareResponse,
        responses=photo_responses,
        openapi_extra=photo_body(CompareRequest, {}),
    )
    async def compare(request: Request) -> Response:
        parse = await parser(CompareRequest, request, service.photos)
        async with service.photos.admit() as admitted:
            await service.models.ready()
            photo = await service.process_photo(admitted, request_record(request), parse, _compared_models)
        sides = [_predictions(photo, side, photo.request.labels) for side in range(2)]
        rows = comparison_rows([model.predictor for model in photo.models], photo.prepared, sides)
        return JSONResponse({"width": photo.size[0], "height": photo.size[1], "faces": rows})

    @router.post(
        "/explain",
        summary="The explanation of a prediction for the largest face",
        response_model=ExplainResponse,
        responses=documented(400, 404, 408, 413, 415, 422, 501, 503, 504),
        openapi_extra=photo_body(ExplainRequest, {"method": "gradcam", "metrics": "none"}),
    )
    async def explain(request: Request) -> Response:
        parse = await parser(ExplainRequest, request, service.explanations)
        async with service.explanations.admit() as admitted:
            await service.models.ready()
            return JSONResponse(await service.explain(admitted, request_record(request), parse))

    async def infer(request: Request, name: str | None) -> Response:
        """The response in the shape of the Inference API, where every wrong request is a 400."""
        try:
            service.models.resolve_name(name)  # before the body is read
            body = await service.read_body(request, service.photos)
            parse = partial(read_request, body, request.headers.get("content-type", ""))
            async with service.photos.admit() as admitted:
                await service.models.ready()
                photo = await service.process_photo(admitted, request_record(request), parse, lambda _: [name])
            if not photo.results:
                return JSONResponse([])
            logits, model = photo.results[0].logits[0], photo.models[0].predictor
            warnings = photo.faces[0].warnings
            return JSONResponse(ranked(logits, model.labels, photo.request, model.prediction_sets, warnings))
        except ImageTooLargeError:
            raise
        except InputError as error:
            raise HTTPException(400, str(error)) from error

    inference_api: dict[str, Any] = {
        "response_model": list[LabelScore],
        "openapi_extra": inference_body(),
        "tags": ["Inference API"],
    }

    @router.post(
        "/",
        summary="The default model's prediction",
        responses=documented(400, 408, 413, 503, 504),
        **inference_api,
    )
    async def root(request: Request) -> Response:
        return await infer(request, None)

    @router.post(
        "/models/{name:path}",
        summary="One model's prediction",
        responses=documented(400, 404, 408, 413, 503, 504),
        **inference_api,
    )
    async def model(name: str, request: Request) -> Response:
        return await infer(request, name)

    return router


def status_routes(service: Service, *, requires_key: bool) -> APIRouter:
    """The routes that report the state of the server."""
    router = APIRouter(tags=["Status"])
    documented = partial(route_responses, requires_key=requires_key)

    @router.get("/models", summary="The served models", response_model=ModelsResponse, responses=documented(503))
    async def models() -> Response:
        if not service.models.is_ready:
            raise service.models.not_ready()
        rows = [_model_info(model) for model in service.models.loaded.values()]
        return JSONResponse({"default": service.models.default, "models": rows, "methods": list_methods()})

    @router.get(
        "/health", summary="Whether the process runs", response_model=HealthResponse, responses=route_responses()
    )
    async def health() -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    @router.get(
        "/ready",
        summary="Whether the models are loaded and warmed up",
        response_model=ReadyResponse,
        responses=route_responses(503),
    )
    async def ready() -> Response:
        if not service.models.is_ready:
            raise service.models.not_ready()
        return JSONResponse({"ready": True, "models": list(service.models.names)})

    metrics_responses = documented()
    metrics_responses[200] = {
        "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
        "description": "Metrics in Prometheus' text format.",
    }

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=metrics_responses)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router


def _compared_models(request: CompareRequest) -> list[str]:
    return [request.native48 or COMPARED[0], request.upscale224 or COMPARED[1]]


def _predictions(photo: PreparedPhoto[Any], side: int, labels: LabelSet | None) -> list[Prediction]:
    """The predictions of one of the photo's models over `labels`, or over the model's own labels for None.

    Empty for a photo without faces. Raises LabelError for a label that the model does not have.
    """
    predictor = photo.models[side].predictor
    if labels is not None:
        predictor = predictor.with_labels(labels)
    if not photo.results:
        return []
    return predictions(predictor, photo.faces, photo.prepared[side], photo.results[side], photo.timings)


def _model_info(model: ServedModel) -> dict[str, Any]:
    report = checkpoint_summary(model.source) if model.source in embedded_checkpoints() else {}
    return {
        "name": model.name,
        "backend": model.backend,
        "labels": list(model.predictor.labels.labels),
        "preprocess": model.predictor.preprocessor.config.to_dict(),
        "parameters": model.predictor.backend.num_parameters,
        "prediction_sets": sets.to_dict() if (sets := model.predictor.prediction_sets) else None,
        **{key: report.get(key) for key in ("accuracy", "macro_f1", "n", "split")},
    }
