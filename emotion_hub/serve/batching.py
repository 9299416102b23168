"""Faces of several requests through one network at once: a collector thread a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from emotion_hub.backends import Backend

__all__ = ["Batched", "Batcher"]


@dataclass(frozen=True)
class Batched:
    """A request's share of a batch: `logits`, float32 (N, num_classes), and milliseconds it `waited` and the network took `a_face`."""

    logits: np.ndarray
    waited: float
    a_face: float


@dataclass
class _Job:
    rows: np.ndarray
    came: float = field(default_factory=time.perf_counter)
    future: Future[Batched] = field(default_factory=Future)


class Batcher:
    """Collects prepared faces for at most `wait` milliseconds, or until there are `limit`, and runs `backend` on them together.

    A batch goes at once when `more_coming()` says that nobody is about to join. While a batch runs the next one gathers. Nothing
    depends on an event loop, so requests of several loops and threads may share a batch.
    """

    def __init__(
        self,
        backend: Backend,
        limit: int,
        wait: float,
        *,
        more_coming: Callable[[], bool] = lambda: True,
        on_batch: Callable[[int, float], None] = lambda faces, seconds: None,
    ) -> None:
        self._backend, self._limit, self._wait = backend, limit, wait / 1000
        self._more_coming, self._on_batch = more_coming, on_batch
        self._jobs: list[_Job] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, rows: np.ndarray) -> Future[Batched]:
        """The answer to come for prepared faces, float32 (N, C, H, W) of at least one; cancelling it before its batch starts takes them out."""
        job = _Job(rows)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def nudge(self) -> None:
        """Look again whether more are coming."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Answer what waits, then end the thread; wait for that, at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (jobs := self._collect()) is not None:
            going = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if not going:
                continue
            begun = time.perf_counter()
            try:
                logits = self._logits(np.concatenate([job.rows for job in going]))
            except Exception as error:  # the thread must outlive what one batch ran into; each request gets the error
                for job in going:
                    job.future.set_exception(error)
                continue
            seconds = time.perf_counter() - begun
            self._on_batch(len(logits), seconds)
            ends = np.cumsum([len(job.rows) for job in going])
            for job, part in zip(going, np.split(logits, ends[:-1]), strict=True):
                job.future.set_result(Batched(part, (begun - job.came) * 1000, seconds * 1000 / len(logits)))

    def _collect(self) -> list[_Job] | None:
        """The next batch's jobs, None when closed and empty."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if not self._jobs:
                return None
            until = self._jobs[0].came + self._wait
            while (
                not self._closed
                and self._faces() < self._limit
                and self._more_coming()
                and (left := until - time.perf_counter()) > 0
            ):
                self._changed.wait(left)
            count, faces = 0, 0
            for job in self._jobs:
                faces += len(job.rows)
                if count and faces > self._limit:
                    break
                count += 1
            taken, self._jobs = self._jobs[:count], self._jobs[count:]
            return taken

    def _faces(self) -> int:
        return sum(len(job.rows) for job in self._jobs)

    def _logits(self, rows: np.ndarray) -> np.ndarray:
        """One photo of a crowd may hold more faces than a batch."""
        return np.concatenate(
            [self._backend.logits(rows[i : i + self._limit]) for i in range(0, len(rows), self._limit)]
        )
