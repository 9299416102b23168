"""What the server counts, for Prometheus: a registry of the app's own, so that two apps in a process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

#: Seconds: a ready-made face takes a millisecond, a photo of a crowd a second, an explanation a minute.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
FACES = (1, 2, 4, 8, 16, 32, 64, 128)

#: Any other method is a client's invention and would make a series of its own.
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Metrics:
    """Counters, gauges and histograms of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        options = {"namespace": "emotion_hub", "registry": self.registry}
        self._requests = Counter("requests", "Answered requests", ["route", "method", "status"], **options)
        self._latency = Histogram(
            "request_seconds", "From the request's head to the answer's end", ["route"], buckets=SECONDS, **options
        )
        self._stages = Histogram(
            "stage_seconds", "Time of one stage of a request", ["stage"], buckets=SECONDS, **options
        )
        self._batches = Histogram(
            "batch_faces", "Faces that went through a network together", ["model"], buckets=FACES, **options
        )
        self._network = Histogram(
            "batch_seconds", "Time of one batch in a network", ["model"], buckets=SECONDS, **options
        )
        self._rejections = Counter("rejections", "Requests that were turned away", ["reason"], **options)
        self._faces = Counter("faces", "Faces that were answered for", ["model"], **options)
        self._depth = Gauge("queue_depth", "Requests in the house, waiting or being worked on", ["queue"], **options)
        self._limit = Gauge("queue_limit", "How many requests may be in the house", ["queue"], **options)
        self._ready = Gauge("ready", "1 when the models are loaded and warm", **options)

    def watch(self, queue: str, depth: Callable[[], int], limit: int) -> None:
        """Read the queue's depth whenever the metrics are asked for."""
        self._depth.labels(queue).set_function(depth)
        self._limit.labels(queue).set(limit)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def stages(self, milliseconds: dict[str, float]) -> None:
        """What one request's stages took."""
        for stage, value in milliseconds.items():
            self._stages.labels(stage).observe(value / 1000)

    def batch(self, model: str, faces: int, seconds: float) -> None:
        """One run of a network."""
        self._batches.labels(model).observe(faces)
        self._network.labels(model).observe(seconds)
        self._faces.labels(model).inc(faces)

    def rejection(self, reason: str) -> None:
        """One request turned away."""
        self._rejections.labels(reason).inc()

    def ready(self, value: bool) -> None:
        """Whether the models are there."""
        self._ready.set(value)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
