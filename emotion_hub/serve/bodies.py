"""Bodies on their way in: bounded in number, size and time, and in no queue yet, so that slow lines keep nobody from the networks."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from emotion_hub.errors import ImageTooLargeError
from emotion_hub.serve.request_log import Record

__all__ = ["MOST", "Bodies"]

#: Bodies that are read at once. One that hardly moves costs no more than an idle connection; memory is bounded by bytes.
MOST = 1000


class Bodies:
    """Reads bodies of at most `limit` bytes, each within `timeout` seconds; all together hold no more than `largest` bodies of that limit.

    The event loop alone touches it.
    """

    def __init__(
        self, limit: int, largest: int, timeout: float, on_rejection: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.limit, self.room, self.timeout, self._on_rejection = limit, limit * largest, timeout, on_rejection
        self.inside = self.held = 0

    async def read(self, request: Request, record: Record) -> bytes:
        """The request's body, read no further than it may be long; `record` gets its size and time.

        Raises ImageTooLargeError, and HTTPException 408 for a body that takes too long and 503 with Retry-After where too many are read already.
        """
        begun, announced = time.perf_counter(), request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self.limit:
            raise self._too_large()
        if self.inside >= MOST:
            raise self._full()
        parts, size = [], 0
        self.inside += 1
        try:
            async with asyncio.timeout(self.timeout) as limit:
                async for part in request.stream():
                    size += len(part)
                    self.held += len(part)
                    if size > self.limit:
                        raise self._too_large()
                    if self.held > self.room:
                        raise self._full()
                    parts.append(part)
        except TimeoutError:
            if not limit.expired():
                raise
            self._on_rejection("slow")
            text = f"the body was not there after {self.timeout:g} s; send a smaller picture, or over a faster line"
            raise HTTPException(408, text, {"Connection": "close"}) from None
        finally:
            self.inside -= 1
            self.held -= size
        record.bytes_in = size
        record.stages["read"] = (time.perf_counter() - begun) * 1000
        return b"".join(parts)

    def _too_large(self) -> ImageTooLargeError:
        return ImageTooLargeError(f"the body is larger than {self.limit / 2**20:.3g} MB; send a smaller picture")

    def _full(self) -> HTTPException:
        self._on_rejection("full")
        wait = math.ceil(self.timeout)
        return HTTPException(
            503, f"too many bodies are being read, {self.inside} now; try again in {wait} s", {"Retry-After": str(wait)}
        )
