"""Photo processing for the routes: decode, detect, batch, explain.

Holds the request limits, the thread pools and the served models.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fastapi import Request

from emotion_hub.errors import InputError
from emotion_hub.explainers import explain_face
from emotion_hub.faces import locate
from emotion_hub.images import ImageSource
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve.batching import BatchResult
from emotion_hub.serve.bodies import MAX_BODIES, BodyReader
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.limits import AdmittedRequest, RequestLimiter
from emotion_hub.serve.metrics import Metrics
from emotion_hub.serve.models import Models, ServedModel
from emotion_hub.serve.request_log import RequestRecord, request_record
from emotion_hub.serve.requests import ExplainRequest
from emotion_hub.serve.responses import (
    FaceLocation,
    PreparedFaces,
    face_locations,
    nan_to_null,
    png_base64,
    prepare_faces,
)
from emotion_hub.serve.threads import DaemonPool

__all__ = ["PreparedPhoto", "Service"]

#: Side in pixels of the image that shows an explanation.
OVERLAY_SIZE = 224


class _HasPhoto(Protocol):
    """What is read of a parsed request: the image, and whether all of it is the face."""

    @property
    def image(self) -> ImageSource: ...
    @property
    def whole(self) -> bool: ...


R = TypeVar("R", bound=_HasPhoto)


@dataclass(frozen=True)
class PreparedPhoto(Generic[R]):
    """A photo after detection: the request, the photo's (width, height) and faces, and the faces for each model.

    `timings` are the milliseconds of "decode" and "detect". `results` has one entry per model, or none for a photo
    without faces.
    """

    request: R
    models: tuple[ServedModel, ...]
    size: tuple[int, int]
    faces: tuple[FaceLocation, ...]
    timings: Mapping[str, float]
    prepared: tuple[PreparedFaces, ...]
    results: tuple[BatchResult, ...] = ()


class Service:
    """The models, limits and threads of one app. `start` and `close` may be called repeatedly."""

    def __init__(self, models: Mapping[str, EmotionPredictor] | None, default: str | None, config: ServeConfig) -> None:
        self.config, self.metrics = config, Metrics()
        self.models = Models(models, default, config, self.metrics, lambda: self._photos_in_preparation > 0)
        on_rejection = self.metrics.rejection
        self.photos = RequestLimiter(config.queue, config.timeout, "requests", on_rejection)
        self.explanations = RequestLimiter(
            config.explain_at_once + config.explain_queue, config.explain_timeout, "explanations", on_rejection
        )
        self.bodies = BodyReader(config.max_body, config.queue, config.body_timeout, on_rejection)
        self.metrics.watch("photos", lambda: self.photos.in_flight, self.photos.max_in_flight)
        self.metrics.watch("explanations", lambda: self.explanations.in_flight, self.explanations.max_in_flight)
        self.metrics.watch("bodies", lambda: self.bodies.in_progress, MAX_BODIES)
        self._photos_in_preparation = 0
        self._lock = threading.Lock()
        self._pools: dict[str, DaemonPool] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the threads and the loading of the models, unless they are started."""
        with self._lock:
            if not self._pools:
                self._stop = threading.Event()
                self._pools = {
                    "photos": DaemonPool(self.config.threads, "photos"),
                    "explanations": DaemonPool(self.config.explain_at_once, "explanations"),
                }
        self.models.start()

    def close(self) -> None:
        """Stop explanations and end the threads; photos that are still decoded after a 504 are abandoned."""
        self._stop.set()
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()
        self.models.close()

    async def read_body(self, request: Request, limiter: RequestLimiter) -> bytes:
        """The request's body, which is not read if `limiter` would reject the request now.

        Raises what `RequestLimiter.check_capacity` and `BodyReader.read` raise.
        """
        limiter.check_capacity()
        return await self.bodies.read(request, request_record(request))

    async def process_photo(
        self,
        admitted: AdmittedRequest,
        record: RequestRecord,
        parse: Callable[[], R],
        model_names: Callable[[R], Sequence[str | None]],
    ) -> PreparedPhoto[R]:
        """The photo of the request that `parse` returns, with the results of the models that `model_names` returns.

        Raises what both functions raise, and ImageError.
        """
        self.start()
        submitted_at = time.perf_counter()
        with self._lock:
            self._photos_in_preparation += 1
        future = self._pools["photos"].submit(
            admitted.work(self._prepare_photo), admitted, record, submitted_at, parse, model_names
        )
        future.add_done_callback(self._end_preparation)
        photo, pending = await admitted.wait(future)
        results = await asyncio.gather(*(admitted.wait(each) for each in pending))
        if results:
            record.stages["collect"] = max(result.queue_ms for result in results)
            record.stages["inference"] = sum(result.ms_per_face for result in results) * len(photo.faces)
        return dataclasses.replace(photo, results=tuple(results))

    def _prepare_photo(
        self,
        admitted: AdmittedRequest,
        record: RequestRecord,
        submitted_at: float,
        parse: Callable[[], R],
        model_names: Callable[[R], Sequence[str | None]],
    ) -> tuple[PreparedPhoto[R], list[Future[BatchResult]]]:
        """The prepared photo and its pending results; runs in a thread of the pool.

        The decoded photo is released when this call returns, so there are never more decoded photos than threads.
        """
        record.stages["wait"] = (time.perf_counter() - submitted_at) * 1000
        request = parse()
        models = tuple(self.models.get(name) for name in model_names(request))
        record.model = ",".join(model.name for model in models)
        detected = locate(request.image, models[0].predictor.detector, whole=request.whole)
        record.faces = len(detected.faces)
        prepared = tuple(prepare_faces(detected.faces, model.predictor) for model in models)
        record.stages |= {**detected.timings, "preprocess": sum(sum(faces.milliseconds) for faces in prepared)}
        admitted.check_deadline()
        pending = []
        if detected.faces:
            pending = [model.batcher.submit(faces.pixel_values) for model, faces in zip(models, prepared, strict=True)]
        photo = PreparedPhoto(
            request, models, detected.photo.size, face_locations(detected.faces), dict(detected.timings), prepared
        )
        return photo, pending

    def _end_preparation(self, _: Future[Any]) -> None:
        with self._lock:
            self._photos_in_preparation -= 1
            is_last = not self._photos_in_preparation
        if is_last:
            self.models.recheck_batches()

    async def explain(
        self, admitted: AdmittedRequest, record: RequestRecord, parse: Callable[[], ExplainRequest]
    ) -> dict[str, Any]:
        """The explanation of the largest face as JSON types. Raises what `explainers.explain_face` raises."""
        self.start()
        future = self._pools["explanations"].submit(admitted.work(self._explain), admitted, record, parse)
        return await admitted.wait(future)

    def _explain(
        self, admitted: AdmittedRequest, record: RequestRecord, parse: Callable[[], ExplainRequest]
    ) -> dict[str, Any]:
        from emotion_hub.explainers.overlay import overlay

        request, stop = parse(), self._stop
        model = self.models.get(request.model)
        record.model = model.name
        detected = locate(request.image, model.predictor.detector, whole=request.whole)
        record.faces, record.stages = len(detected.faces), {**record.stages, **detected.timings}
        width, height = detected.photo.size
        if not detected.faces:
            raise InputError(
                f"no face was found in the {width}x{height} image; send whole=true to take the whole image as the face"
            )

        def check_wanted(_: float) -> None:
            admitted.check_deadline()
            if stop.is_set():
                raise self.explanations.unavailable("stopping", "the server is stopping; try again later")

        options = request.options
        check_wanted(0.0)
        explanation = explain_face(
            detected.faces[0].image,
            model.predictor,
            request.method,
            request.target,
            versus=request.versus,
            metrics=request.metrics,
            progress=check_wanted,
            **options,
        )
        record.stages["explain"] = explanation.milliseconds
        face = {"bbox": list(detected.faces[0].bbox), "width": width, "height": height}
        return {**nan_to_null(explanation.to_dict()), **face, "overlay": png_base64(overlay(explanation, OVERLAY_SIZE))}
