"""Batching: run the faces of concurrent requests through a network together.

Each model has one thread that collects faces and runs its backend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from emotion_hub.backends import Backend

__all__ = ["BatchResult", "Batcher"]


@dataclass(frozen=True)
class BatchResult:
    """One request's part of a batch: `logits`, float32 (N, num_classes), and times in milliseconds.

    `queue_ms` is the time from submission to the start of the batch, `ms_per_face` the batch's time per face.
    """

    logits: np.ndarray
    queue_ms: float
    ms_per_face: float


@dataclass
class _Job:
    pixel_values: np.ndarray
    submitted_at: float = field(default_factory=time.perf_counter)
    future: Future[BatchResult] = field(default_factory=Future)


class Batcher:
    """Collects prepared faces and runs `backend` on at most `max_faces` of them together.

    A batch starts when it is full, after `max_wait` milliseconds, or as soon as `more_expected()` is false. The next
    batch is collected while one runs. Requests of several threads and event loops can share a batch, because nothing
    here depends on an event loop.
    """

    def __init__(
        self,
        backend: Backend,
        max_faces: int,
        max_wait: float,
        *,
        more_expected: Callable[[], bool] = lambda: True,
        on_batch: Callable[[int, float], None] = lambda faces, seconds: None,
    ) -> None:
        self._backend, self._max_faces, self._max_wait_seconds = backend, max_faces, max_wait / 1000
        self._more_expected, self._on_batch = more_expected, on_batch
        self._jobs: list[_Job] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, pixel_values: np.ndarray) -> Future[BatchResult]:
        """A future for the result of prepared faces, float32 (N, C, H, W) with N >= 1.

        Cancelling the future before its batch starts removes the faces. Raises RuntimeError after `close`.
        """
        job = _Job(pixel_values)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def recheck(self) -> None:
        """Make the thread call `more_expected` again."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Run the submitted jobs, then end the thread; waits for it for at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (collected := self._collect()) is not None:
            jobs = [job for job in collected if job.future.set_running_or_notify_cancel()]
            if not jobs:
                continue
            started_at = time.perf_counter()
            try:
                logits = self._logits(np.concatenate([job.pixel_values for job in jobs]))
            except Exception as error:  # the thread must survive a failed batch; each request gets the error
                for job in jobs:
                    job.future.set_exception(error)
                continue
            seconds = time.perf_counter() - started_at
            self._on_batch(len(logits), seconds)
            ends = np.cumsum([len(job.pixel_values) for job in jobs])
            for job, part in zip(jobs, np.split(logits, ends[:-1]), strict=True):
                queue_ms = (started_at - job.submitted_at) * 1000
                job.future.set_result(BatchResult(part, queue_ms, seconds * 1000 / len(logits)))

    def _collect(self) -> list[_Job] | None:
        """The jobs of the next batch; None if the batcher is closed and has no jobs left."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if not self._jobs:
                return None
            deadline = self._jobs[0].submitted_at + self._max_wait_seconds
            while (
                not self._closed
                and self._pending_faces() < self._max_faces
                and self._more_expected()
                and (remaining := deadline - time.perf_counter()) > 0
            ):
                self._changed.wait(remaining)
            count, faces = 0, 0
            for job in self._jobs:
                faces += len(job.pixel_values)
                if count and faces > self._max_faces:
                    break
                count += 1
            taken, self._jobs = self._jobs[:count], self._jobs[count:]
            return taken

    def _pending_faces(self) -> int:
        return sum(len(job.pixel_values) for job in self._jobs)

    def _logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """The logits of all faces; one photo may have more faces than a batch, which are then run in several parts."""
        parts = range(0, len(pixel_values), self._max_faces)
        return np.concatenate([self._backend.logits(pixel_values[i : i + self._max_faces]) for i in parts])
