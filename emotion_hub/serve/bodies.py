"""Request bodies: read within limits on their number, size and time.

Bodies are read before admission control, so slow uploads do not hold inference slots.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from emotion_hub.errors import ImageTooLargeError
from emotion_hub.serve.request_log import RequestRecord

__all__ = ["MAX_BODIES", "BodyReader"]

#: Maximum number of bodies that are read at the same time. A stalled upload costs about as much as an idle connection;
#: memory is limited by the number of bytes instead.
MAX_BODIES = 1000


class BodyReader:
    """Reads bodies of at most `max_body` bytes, each within `timeout` seconds.

    All bodies that are being read hold at most `max_body * max_full_bodies` bytes together. Instances are used from the
    event loop only.
    """

    def __init__(
        self,
        max_body: int,
        max_full_bodies: int,
        timeout: float,
        on_rejection: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.max_body, self.max_bytes_held, self.timeout = max_body, max_body * max_full_bodies, timeout
        self._on_rejection = on_rejection
        self.in_progress = self.bytes_held = 0

    async def read(self, request: Request, record: RequestRecord) -> bytes:
        """The body of `request`; sets `bytes_in` and the stage "read" of `record`.

        Reading stops at the size limit. Raises ImageTooLargeError for a larger body, HTTPException 408 for a body that
        takes too long, and 503 with Retry-After if too many bodies are being read.
        """
        started_at, content_length = time.perf_counter(), request.headers.get("content-length", "")
        if content_length.isascii() and content_length.isdigit() and int(content_length[:20]) > self.max_body:
            raise self._too_large()
        if self.in_progress >= MAX_BODIES:
            raise self._too_many()
        chunks: list[bytes] = []
        size = 0
        self.in_progress += 1
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                async for chunk in request.stream():
                    size += len(chunk)
                    self.bytes_held += len(chunk)
                    if size > self.max_body:
                        raise self._too_large()
                    if self.bytes_held > self.max_bytes_held:
                        raise self._too_many()
                    chunks.append(chunk)
        except TimeoutError:
            if not deadline.expired():
                raise
            self._on_rejection("slow")
            text = (
                f"the request body did not arrive within {self.timeout:g} s; "
                "send a smaller image, or use a faster connection"
            )
            raise HTTPException(408, text, {"Connection": "close"}) from None
        finally:
            self.in_progress -= 1
            self.bytes_held -= size
        record.bytes_in = size
        record.stages["read"] = (time.perf_counter() - started_at) * 1000
        return b"".join(chunks)

    def _too_large(self) -> ImageTooLargeError:
        return ImageTooLargeError(f"the body is larger than {self.max_body / 2**20:.3g} MB; send a smaller image")

    def _too_many(self) -> HTTPException:
        self._on_rejection("full")
        seconds = math.ceil(self.timeout)
        text = f"too many request bodies are being read, {self.in_progress} now; try again in {seconds} s"
        return HTTPException(503, text, {"Retry-After": str(seconds)})
