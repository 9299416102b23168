"""Who may come in: a bounded number of requests, each with a time limit, whose places are free only when their work is over."""

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

__all__ = ["Gate", "Ticket"]

T = TypeVar("T")

#: Seconds that a client is told to wait, at most.
LONGEST_WAIT = 60


class Gate:
    """At most `limit` requests inside, each for at most `timeout` seconds; `what` names them in messages."""

    def __init__(
        self, limit: int, timeout: float, what: str, on_rejection: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.limit, self.timeout, self.what, self._on_rejection = limit, timeout, what, on_rejection
        self.inside = 0
        self._lock = threading.Lock()
        self._stay = 1.0
        self.usual_work = 0.0

    @property
    def retry_after(self) -> int:
        """Whole seconds after which a place is likely: what a request stayed lately."""
        return max(1, min(LONGEST_WAIT, math.ceil(self._stay)))

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[Ticket]:
        """A place for one request, given up when the block and all the work it began are over.

        Raises HTTPException: 503 with Retry-After when the house is full or the work was not begun in time, 504 when it was begun
        and is not finished.
        """
        with self._lock:
            self.check()
            self.inside += 1
        ticket = Ticket(self)
        try:
            async with asyncio.timeout(self.timeout) as limit:
                yield ticket
        except (TimeoutError, _TooLateError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise
            if not ticket.begun:
                raise self.refuse(
                    "late", f"{self.timeout:g} s passed before the work could begin; try again in {self.retry_after} s"
                ) from None
            self._on_rejection("timeout")
            raise HTTPException(
                504, f"the answer took longer than {self.timeout:g} s; send a smaller picture, or try again later"
            ) from None
        finally:
            ticket.leave()

    def check(self) -> None:
        """Raises the HTTPException 503 of a full house."""
        if self.inside >= self.limit:
            raise self.refuse(
                "full",
                f"the queue for {self.what} is full, {self.limit} of {self.limit}; try again in {self.retry_after} s",
            )

    def refuse(self, reason: str, text: str) -> HTTPException:
        """The 503 to raise, counted."""
        self._on_rejection(reason)
        return HTTPException(503, text, {"Retry-After": str(self.retry_after)})

    def left(self, stayed: float) -> None:
        """One place is free again."""
        with self._lock:
            self.inside -= 1
            self._stay += 0.1 * (stayed - self._stay)

    def worked(self, seconds: float) -> None:
        """Note what one piece of work took: later ones begin only while that is left of their time, though never more than half of it."""
        with self._lock:
            self.usual_work += 0.1 * (min(seconds, self.timeout / 2) - self.usual_work)


class Ticket:
    """One request's place. It stays taken while a thread still works for the request, also when the client was told that time is up."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.begun = gate, False
        self._came = time.monotonic()
        self._holds = 1
        self._lock = threading.Lock()

    @property
    def remaining(self) -> float:
        """Seconds left of the time limit."""
        return self.gate.timeout - (time.monotonic() - self._came)

    def work(self, function: Callable[..., T]) -> Callable[..., T]:
        """The function for a pool's thread: what has not begun when too little time is left never begins, since it would be cut off half done."""

        def begin(*args: Any) -> T:
            if self.remaining < self.gate.usual_work:
                raise _TooLateError
            self.begun = True
            begun = time.monotonic()
            try:
                return function(*args)
            finally:
                self.gate.worked(time.monotonic() - begun)

        return begin

    def check(self) -> None:
        """Raises when time is up, to end work that nobody waits for any more."""
        if self.remaining <= 0:
            raise _TooLateError

    async def wait(self, future: Future[T]) -> T:
        """The future's result; the place stays taken until it is done. Giving up cancels it, which helps where it has not started."""
        with self._lock:
            self._holds += 1
        future.add_done_callback(lambda _: self.leave())
        return await asyncio.wrap_future(future)

    def leave(self) -> None:
        """Let go once; the place is free when everyone has."""
        with self._lock:
            self._holds -= 1
            last = self._holds == 0
        if last:
            self.gate.left(time.monotonic() - self._came)


class _TooLateError(Exception):
    """The work would not be over in time."""
