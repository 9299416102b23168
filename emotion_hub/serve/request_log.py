"""Around every request: an id, one line in the log, the counts, and an answer also where the code broke or the server stops."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import traceback
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_hub.serve.metrics import Metrics

__all__ = ["DEMO_PATH", "REQUEST_ID", "JsonLines", "Observe", "Record", "of_demo", "record_of"]

log = logging.getLogger(__name__)

DEMO_PATH = "/demo"
REQUEST_ID = "X-Request-ID"

#: Ids of other systems are taken over when they can stand in a log line as they are.
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: The status that stands in the log for a client that went away before its answer, as in nginx.
GONE = 499


#: Seconds after which a client may try again, elsewhere or at this server's successor.
RESTART = 5


@dataclass
class Record:
    """What the log says of one request: never a picture, a file's name, a query or a path that a client made up. `stages` are milliseconds."""

    request_id: str
    model: str | None = None
    faces: int | None = None
    bytes_in: int | None = None
    stages: dict[str, float] = field(default_factory=dict)


def record_of(request: Request) -> Record:
    """The request's record, for handlers to fill in."""
    return request.scope["emotion_hub.record"]


def of_demo(path: str) -> bool:
    """Whether the path is the demo's or below it."""
    return path == DEMO_PATH or path.startswith(f"{DEMO_PATH}/")


class Observe:
    """ASGI middleware, the outermost: everything that is answered passes through it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, path = time.perf_counter(), scope["path"]
        given = Headers(scope=scope).get(REQUEST_ID, "")
        record = Record(given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex)
        scope["emotion_hub.record"] = record
        status, streams = GONE, False

        async def answer(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                headers[REQUEST_ID] = record.request_id
                streams = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # uvicorn cancels what is not answered when its grace period is over
            if status == GONE:
                text = f"the server is stopping and could not finish this request; send it again in {RESTART} s"
                await JSONResponse({"error": text}, 503, {"Retry-After": str(RESTART), "Connection": "close"})(
                    scope, receive, answer
                )
            elif streams:  # an event stream has no length that could be missed
                await answer({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                raise
        except Exception as error:
            log.error(
                "a request could not be answered", exc_info=error, extra={"fields": {"request_id": record.request_id}}
            )
            if status != GONE:  # half an answer is out: only a broken connection can say that the rest is missing
                raise
            text = f"something broke here; the server's log has it under the request id {record.request_id}"
            await JSONResponse({"error": text}, 500)(scope, receive, answer)
        finally:
            self._note(scope, path, record, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, path: str, record: Record, status: int, seconds: float) -> None:
        route = DEMO_PATH if of_demo(path) else getattr(scope.get("route"), "path", None) or "(none)"
        stages = dict(record.stages)  # a thread that was given up may still write to it
        self.metrics.request(route, scope["method"], status, seconds)
        self.metrics.stages(stages)
        fields = {
            "request_id": record.request_id,
            "method": scope["method"] if scope["method"].isalpha() else "(other)",
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 2),
            "model": record.model,
            "faces": record.faces,
            "bytes_in": record.bytes_in,
            "stages": {name: round(value, 2) for name, value in stages.items()},
        }
        log.info(
            "request", extra={"fields": {name: value for name, value in fields.items() if value not in (None, {})}}
        )


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the record's `fields` and, of an error, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            values["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(values, default=str)
