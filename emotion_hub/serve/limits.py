"""Admission control: at most N requests in flight, each with a deadline.

A request stays in flight until its work is over, even if its client has already received a 504: a thread cannot be
interrupted, and admitting other requests in its place would overload the server.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

__all__ = ["AdmittedRequest", "RequestLimiter"]

T = TypeVar("T")

#: Largest Retry-After in seconds.
MAX_RETRY_AFTER = 60

#: Weight of the newest value in the moving averages of durations.
NEW_VALUE_WEIGHT = 0.1


class RequestLimiter:
    """Admits at most `max_in_flight` requests at a time, each for at most `timeout` seconds; others get 503.

    `kind` names the requests in messages; `on_rejection` is called with the reason of each rejection.
    """

    def __init__(
        self,
        max_in_flight: int,
        timeout: float,
        kind: str,
        on_rejection: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.max_in_flight, self.timeout, self.kind, self._on_rejection = max_in_flight, timeout, kind, on_rejection
        self.in_flight = 0
        self.usual_work_seconds = 0.0
        self._usual_request_seconds = 1.0
        self._lock = threading.Lock()

    @property
    def retry_after(self) -> int:
        """Whole seconds until a place is likely to be free: the average duration of recent requests."""
        return max(1, min(MAX_RETRY_AFTER, math.ceil(self._usual_request_seconds)))

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[AdmittedRequest]:
        """One admitted request. It stays in flight until the block and all work that it started are over.

        Raises HTTPException: 503 with Retry-After if the maximum is reached or the work could not start in time, 504 if
        the work started and did not finish in time.
        """
        with self._lock:
            self.check_capacity()
            self.in_flight += 1
        admitted = AdmittedRequest(self)
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                yield admitted
        except (TimeoutError, _DeadlineError) as error:
            if isinstance(error, TimeoutError) and not deadline.expired():
                raise
            if not admitted.started:
                text = f"the work could not start within {self.timeout:g} s; try again in {self.retry_after} s"
                raise self.unavailable("late", text) from None
            self._on_rejection("timeout")
            text = f"the request took longer than {self.timeout:g} s; send a smaller image, or try again later"
            raise HTTPException(504, text) from None
        finally:
            admitted.release()

    def check_capacity(self) -> None:
        """Raises HTTPException 503 if the maximum number of requests is in flight."""
        if self.in_flight >= self.max_in_flight:
            count = f"{self.max_in_flight} of {self.max_in_flight}"
            raise self.unavailable(
                "full", f"the queue for {self.kind} is full, {count}; try again in {self.retry_after} s"
            )

    def unavailable(self, reason: str, text: str) -> HTTPException:
        """The HTTPException 503 to raise; counts the rejection under `reason`."""
        self._on_rejection(reason)
        return HTTPException(503, text, {"Retry-After": str(self.retry_after)})

    def record_end(self, seconds: float) -> None:
        """Note that a request ended, `seconds` after it was admitted."""
        with self._lock:
            self.in_flight -= 1
            self._usual_request_seconds += NEW_VALUE_WEIGHT * (seconds - self._usual_request_seconds)

    def record_work(self, seconds: float) -> None:
        """Note how long one piece of work took.

        Work starts only if the average of these durations is left before the deadline. Each duration counts as at most
        half of the timeout, so that slow work alone never stops all later work from starting.
        """
        with self._lock:
            self.usual_work_seconds += NEW_VALUE_WEIGHT * (min(seconds, self.timeout / 2) - self.usual_work_seconds)


class AdmittedRequest:
    """One request in flight and its deadline. It stays in flight while a thread works for it, even after a 504."""

    def __init__(self, limiter: RequestLimiter) -> None:
        self.limiter, self.started = limiter, False
        self._admitted_at = time.monotonic()
        self._references = 1
        self._lock = threading.Lock()

    @property
    def remaining(self) -> float:
        """Seconds left before the deadline."""
        return self.limiter.timeout - (time.monotonic() - self._admitted_at)

    def work(self, function: Callable[..., T]) -> Callable[..., T]:
        """`function`, wrapped for a thread pool: it does not start if it would probably miss the deadline."""

        def run(*args: Any) -> T:
            if self.remaining < self.limiter.usual_work_seconds:
                raise _DeadlineError
            self.started = True
            started_at = time.monotonic()
            try:
                return function(*args)
            finally:
                self.limiter.record_work(time.monotonic() - started_at)

        return run

    def check_deadline(self) -> None:
        """Raises after the deadline, to end work whose result nobody waits for any more."""
        if self.remaining <= 0:
            raise _DeadlineError

    async def wait(self, future: Future[T]) -> T:
        """The result of `future`; the request stays in flight until the future is done.

        Cancelling the wait cancels the future, which has an effect only if its work has not started.
        """
        with self._lock:
            self._references += 1
        future.add_done_callback(lambda _: self.release())
        return await asyncio.wrap_future(future)

    def release(self) -> None:
        """Release one reference; the request is no longer in flight when all are released."""
        with self._lock:
            self._references -= 1
            is_last = self._references == 0
        if is_last:
            self.limiter.record_end(time.monotonic() - self._admitted_at)


class _DeadlineError(Exception):
    """The work would not finish, or did not finish, before the deadline."""
