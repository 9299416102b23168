"""What the routes share: the queues, the threads and the way of a photo through them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from emotion_hub.errors import InputError
from emotion_hub.explainers import METHODS, explain_face
from emotion_hub.predictor import EmotionPredictor, locate
from emotion_hub.serve.batching import Batched
from emotion_hub.serve.bodies import MOST, Bodies
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.limits import Gate, Ticket
from emotion_hub.serve.metrics import Metrics
from emotion_hub.serve.models import Models, ServedModel
from emotion_hub.serve.request_log import Record, record_of
from emotion_hub.serve.requests import ExplainRequest
from emotion_hub.serve.responses import Found, Prepared, found, plain_numbers, png_base64, prepare
from emotion_hub.serve.threads import DaemonPool

__all__ = ["PreparedPhoto", "Service"]

#: The side in pixels of the picture that shows an explanation.
OVERLAY = 224


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo that was looked at: what was `asked`, its size, its faces, and for each lane the prepared faces and their logits."""

    asked: Any
    lanes: tuple[ServedModel, ...]
    size: tuple[int, int]
    faces: tuple[Found, ...]
    timings: Mapping[str, float]
    prepared: tuple[Prepared, ...]
    batched: tuple[Batched | None, ...] = ()


class Service:
    """One app's models, queues and threads. `start` and `close` may be called again and again."""

    def __init__(self, models: Mapping[str, EmotionPredictor] | None, default: str | None, config: ServeConfig) -> None:
        self.config, self.metrics = config, Metrics()
        self.models = Models(models, default, config, self.metrics, lambda: self._preparing > 0)
        reject = self.metrics.rejection
        self.photos = Gate(config.queue, config.timeout, "requests", reject)
        self.explanations = Gate(
            config.explain_at_once + config.explain_queue, config.explain_timeout, "explanations", reject
        )
        self.bodies = Bodies(config.max_body, config.queue, config.body_timeout, reject)
        for name, gate in (("photos", self.photos), ("explanations", self.explanations)):
            self.metrics.watch(name, lambda gate=gate: gate.inside, gate.limit)
        self.metrics.watch("bodies", lambda: self.bodies.inside, MOST)
        self._preparing = 0
        self._lock = threading.Lock()
        self._pools: dict[str, DaemonPool] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Make the threads and begin to load the models, unless that is done."""
        with self._lock:
            if not self._pools:
                self._stop = threading.Event()
                self._pools = {
                    "photos": DaemonPool(self.config.threads, "photos"),
                    "explanations": DaemonPool(self.config.explain_at_once, "explanations"),
                }
        self.models.start()

    def close(self) -> None:
        """End the threads: explanations are stopped, and what is still decoded, for a client that was told that its time is up, is abandoned."""
        self._stop.set()
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()
        self.models.close()

    async def body(self, request: Request, gate: Gate) -> bytes:
        """The request's body, unless `gate` has no place for the request anyway. Raises what `Gate.check` and `Bodies.read` raise."""
        gate.check()
        return await self.bodies.read(request, record_of(request))

    async def see(
        self, ticket: Ticket, record: Record, ask: Callable[[], Any], names: Callable[[Any], Sequence[str | None]]
    ) -> PreparedPhoto:
        """The photo decoded, its faces found and sent through the networks `names` gives for what `ask` reads. Raises what both raise, and ImageError."""
        self.start()
        came = time.perf_counter()
        with self._lock:
            self._preparing += 1
        future: Future[tuple[PreparedPhoto, list[Future[Batched] | None]]] = self._pools["photos"].submit(
            ticket.work(self._look), ticket, record, came, ask, names
        )
        future.add_done_callback(self._looked)
        sight, pending = await ticket.wait(future)
        batched = await asyncio.gather(*(ticket.wait(each) for each in pending))
        if batched:
            record.stages["collect"] = max(each.waited for each in batched)
            record.stages["inference"] = sum(each.a_face for each in batched) * len(sight.faces)
        return PreparedPhoto(**{**vars(sight), "batched": tuple(batched) or (None,) * len(sight.lanes)})

    def _look(
        self,
        ticket: Ticket,
        record: Record,
        came: float,
        ask: Callable[[], Any],
        names: Callable[[Any], Sequence[str | None]],
    ) -> tuple[Any, Any]:
        """Runs in a thread of the pool. The decoded photo lives no longer than this call, so there are never more of them than threads."""
        record.stages["wait"] = (time.perf_counter() - came) * 1000
        asked = ask()
        lanes = tuple(self.models.lane(name) for name in names(asked))
        record.model = ",".join(lane.name for lane in lanes)
        scene = locate(asked.image, lanes[0].predictor.detector, whole=asked.whole)
        record.faces = len(scene.faces)
        prepared = tuple(prepare(scene.faces, lane.predictor) for lane in lanes)
        record.stages |= {**scene.timings, "preprocess": sum(sum(each.milliseconds) for each in prepared)}
        ticket.check()
        pending = (
            [lane.batcher.submit(each.rows) for lane, each in zip(lanes, prepared, strict=True)] if scene.faces else []
        )
        return PreparedPhoto(asked, lanes, scene.photo.size, found(scene.faces), dict(scene.timings), prepared), pending

    def _looked(self, _: Future[Any]) -> None:
        with self._lock:
            self._preparing -= 1
            last = not self._preparing
        if last:
            self.models.nudge()

    async def explain(self, ticket: Ticket, record: Record, ask: Callable[[], ExplainRequest]) -> dict[str, Any]:
        """The explanation of the largest face as JSON types. Raises what `explainers.explain` raises."""
        self.start()
        return await ticket.wait(self._pools["explanations"].submit(ticket.work(self._explain), ticket, record, ask))

    def _explain(self, ticket: Ticket, record: Record, ask: Callable[[], ExplainRequest]) -> dict[str, Any]:
        from emotion_hub.explainers.overlay import overlay

        asked, stop = ask(), self._stop
        lane = self.models.lane(asked.model)
        record.model = lane.name
        scene = locate(asked.image, lane.predictor.detector, whole=asked.whole)
        record.faces, record.stages = len(scene.faces), {**record.stages, **scene.timings}
        if not scene.faces:
            raise InputError(
                f"no face was found in the {scene.photo.width}x{scene.photo.height} picture; send whole=true to take all of it as the face"
            )

        def still_wanted(_: float) -> None:
            ticket.check()
            if stop.is_set():
                raise self.explanations.refuse("stopping", "the server is stopping; try again later")

        given = {"samples": asked.samples, "seed": asked.seed}
        takes = METHODS[asked.method].options
        if asked.samples is not None and asked.method != "lime":
            raise InputError(
                f"samples={asked.samples}: LIME draws samples, {METHODS[asked.method].title} does not; leave it out"
            )
        options = {name: value for name, value in given.items() if name in takes and value is not None}
        still_wanted(0.0)
        explanation = explain_face(
            scene.faces[0].image,
            lane.predictor,
            asked.method,
            asked.target,
            versus=asked.versus,
            metrics=asked.metrics,
            progress=still_wanted,
            **options,
        )
        record.stages["explain"] = explanation.milliseconds
        face = {"bbox": list(scene.faces[0].bbox), "width": scene.photo.width, "height": scene.photo.height}
        return {**plain_numbers(explanation.to_dict()), **face, "overlay": png_base64(overlay(explanation, OVERLAY))}
