"""Prometheus metrics: request counts, times, batch sizes, queue depths.

Each app has a registry of its own, so two apps in one process do not share counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

NAMESPACE = "emotion_hub"

#: Bucket limits in seconds: a 48-pixel face takes a millisecond, a photo of a crowd a second, an explanation a minute.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
FACES = (1, 2, 4, 8, 16, 32, 64, 128)

#: Methods with a series of their own; all others share the series "other", since clients can invent any number of them.
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Metrics:
    """Counters, gauges and histograms of one app."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, about: str, labels: Sequence[str]) -> Counter:
            return Counter(name, about, labels, namespace=NAMESPACE, registry=registry)

        def gauge(name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(name, about, labels, namespace=NAMESPACE, registry=registry)

        def histogram(name: str, about: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(name, about, labels, namespace=NAMESPACE, registry=registry, buckets=buckets)

        self._requests = counter("requests", "Answered requests", ["route", "method", "status"])
        self._latency = histogram(
            "request_seconds", "Time from the request's headers to the end of the response", ["route"], SECONDS
        )
        self._stages = histogram("stage_seconds", "Time of one stage of a request", ["stage"], SECONDS)
        self._batches = histogram("batch_faces", "Faces per batch", ["model"], FACES)
        self._network = histogram("batch_seconds", "Time of one batch in the network", ["model"], SECONDS)
        self._rejections = counter("rejections", "Rejected requests", ["reason"])
        self._faces = counter("faces", "Predicted faces", ["model"])
        self._depth = gauge("queue_depth", "Requests in flight, waiting or running", ["queue"])
        self._limit = gauge("queue_limit", "Maximum number of requests in flight", ["queue"])
        self._ready = gauge("ready", "1 when the models are loaded and warmed up, else 0")

    def watch(self, queue: str, depth: Callable[[], int], limit: int) -> None:
        """Export `depth()`, called at each scrape, and `limit` for the queue of that name."""
        self._depth.labels(queue).set_function(depth)
        self._limit.labels(queue).set(limit)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def stages(self, milliseconds: dict[str, float]) -> None:
        """Count the times of one request's stages, in milliseconds."""
        for stage, value in milliseconds.items():
            self._stages.labels(stage).observe(value / 1000)

    def batch(self, model: str, faces: int, seconds: float) -> None:
        """Count one batch of a model."""
        self._batches.labels(model).observe(faces)
        self._network.labels(model).observe(seconds)
        self._faces.labels(model).inc(faces)

    def rejection(self, reason: str) -> None:
        """Count one rejected request."""
        self._rejections.labels(reason).inc()

    def ready(self, value: bool) -> None:
        """Set whether the models are loaded."""
        self._ready.set(value)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
