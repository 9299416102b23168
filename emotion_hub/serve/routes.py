"""The addresses: what each takes and answers."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import ImageTooLargeError, InputError
from emotion_hub.explainers import list_methods
from emotion_hub.interop.inference_api import ranked, read_request
from emotion_hub.serve.docs.openapi import inference_body, photo_body, refusals
from emotion_hub.serve.limits import Gate
from emotion_hub.serve.metrics import CONTENT_TYPE
from emotion_hub.serve.models import ServedModel
from emotion_hub.serve.request_log import record_of
from emotion_hub.serve.requests import CompareRequest, ExplainRequest, PredictRequest, read
from emotion_hub.serve.responses import comparison_answer, predict_answer, predictions
from emotion_hub.serve.schemas import (
    CompareAnswer,
    ExplainAnswer,
    HealthAnswer,
    LabelScore,
    ModelsAnswer,
    PredictAnswer,
    ReadyAnswer,
)
from emotion_hub.serve.service import PreparedPhoto, Service
from emotion_hub.version import __version__

__all__ = ["photo_routes", "status_routes"]

#: What `/compare` sets side by side unless told otherwise.
SIDES = ("native48", "upscale224")


def photo_routes(service: Service, *, locked: bool) -> APIRouter:
    """The routes that take a photo."""
    router = APIRouter()
    refused = partial(refusals, locked=locked)
    asked = refused(400, 404, 408, 413, 415, 422, 503, 504)

    async def reader(kind: type, request: Request, gate: Gate) -> Any:
        body = await service.body(request, gate)
        return partial(read, kind, body, request.headers.get("content-type", ""), request.query_params.multi_items())

    def answers(sight: PreparedPhoto, side: int, labels: Any = None) -> list[Any]:
        return predictions(
            sight.lanes[side].predictor, sight.faces, sight.prepared[side], sight.batched[side], sight.timings, labels
        )

    @router.post(
        "/predict",
        summary="Every face's expression",
        response_model=PredictAnswer,
        responses=asked,
        openapi_extra=photo_body(PredictRequest, {}),
    )
    async def predict(request: Request) -> Response:
        ask = await reader(PredictRequest, request, service.photos)
        async with service.photos.admit() as ticket:
            await service.models.ready()
            sight = await service.see(ticket, record_of(request), ask, lambda asked: [asked.model])
        faces = answers(sight, 0, sight.asked.labels)
        return JSONResponse(predict_answer(sight.lanes[0].predictor.name, sight.size, faces, sight.timings))

    @router.post(
        "/compare",
        summary="Two models on the same faces",
        response_model=CompareAnswer,
        responses=asked,
        openapi_extra=photo_body(CompareRequest, {}),
    )
    async def compare(request: Request) -> Response:
        ask = await reader(CompareRequest, request, service.photos)
        names = lambda asked: [asked.native48 or SIDES[0], asked.upscale224 or SIDES[1]]  # noqa: E731
        async with service.photos.admit() as ticket:
            await service.models.ready()
            sight = await service.see(ticket, record_of(request), ask, names)
        faces = comparison_answer(
            [lane.predictor for lane in sight.lanes],
            sight.prepared,
            [answers(sight, side, sight.asked.labels) for side in (0, 1)],
        )
        return JSONResponse({"width": sight.size[0], "height": sight.size[1], "faces": faces})

    @router.post(
        "/explain",
        summary="Why the model said it of the largest face",
        response_model=ExplainAnswer,
        responses=refused(400, 404, 408, 413, 415, 422, 501, 503, 504),
        openapi_extra=photo_body(ExplainRequest, {"method": "gradcam", "metrics": "none"}),
    )
    async def explain(request: Request) -> Response:
        ask = await reader(ExplainRequest, request, service.explanations)
        async with service.explanations.admit() as ticket:
            await service.models.ready()
            return JSONResponse(await service.explain(ticket, record_of(request), ask))

    async def infer(request: Request, name: str | None) -> Response:
        """In the Inference API's shape every wrong request is a 400."""
        try:
            service.models.check(name)  # before the body is read
            ask = partial(
                read_request, await service.body(request, service.photos), request.headers.get("content-type", "")
            )
            async with service.photos.admit() as ticket:
                await service.models.ready()
                sight = await service.see(ticket, record_of(request), ask, lambda _: [name])
        except ImageTooLargeError:
            raise
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        best = ranked(sight.batched[0].logits[0], sight.lanes[0].predictor.labels, sight.asked) if sight.faces else []
        return JSONResponse(best)

    hub: dict[str, Any] = {
        "response_model": list[LabelScore],
        "openapi_extra": inference_body(),
        "tags": ["Inference API"],
    }

    @router.post("/", summary="The default model's answer", responses=refused(400, 408, 413, 503, 504), **hub)
    async def root(request: Request) -> Response:
        return await infer(request, None)

    @router.post(
        "/models/{name:path}", summary="One model's answer", responses=refused(400, 404, 408, 413, 503, 504), **hub
    )
    async def model(name: str, request: Request) -> Response:
        return await infer(request, name)

    return router


def status_routes(service: Service, *, locked: bool) -> APIRouter:
    """The routes that say how the server is."""
    router = APIRouter(tags=["Status"])

    @router.get(
        "/models", summary="The served models", response_model=ModelsAnswer, responses=refusals(503, locked=locked)
    )
    async def models() -> Response:
        if not service.models.is_ready:
            raise service.models.not_ready()
        rows = [_described(lane) for lane in service.models.lanes.values()]
        return JSONResponse({"default": service.models.default, "models": rows, "methods": list_methods()})

    @router.get("/health", summary="Whether the process answers", response_model=HealthAnswer, responses=refusals())
    async def health() -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    @router.get(
        "/ready", summary="Whether the models are loaded and warm", response_model=ReadyAnswer, responses=refusals(503)
    )
    async def ready() -> Response:
        if not service.models.is_ready:
            raise service.models.not_ready()
        return JSONResponse({"ready": True, "models": list(service.models.names)})

    text = {200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}, "description": "Prometheus' text format."}}

    @router.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses={**refusals(locked=locked), **text},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router


def _described(lane: ServedModel) -> dict[str, Any]:
    report = checkpoint_summary(lane.source) if lane.source in embedded_checkpoints() else {}
    return {
        "name": lane.name,
        "backend": lane.backend,
        "labels": list(lane.predictor.labels.labels),
        "preprocess": lane.predictor.preprocessor.config.to_dict(),
        "parameters": lane.predictor.backend.num_parameters,
        **{key: report.get(key) for key in ("accuracy", "macro_f1", "n", "split")},
    }
