"""Request log: an id, a JSON log line and metrics for each request.

The middleware also answers unexpected exceptions with 500, and requests that a stop interrupts with 503.
"""

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

__all__ = [
    "DEMO_PATH",
    "REQUEST_ID",
    "JsonFormatter",
    "RequestLogMiddleware",
    "RequestRecord",
    "is_demo_path",
    "request_record",
]

log = logging.getLogger(__name__)

DEMO_PATH = "/demo"
REQUEST_ID = "X-Request-ID"

#: A client's own request id is used if it matches this, so that it can stand in a log line unchanged.
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: The status that is logged for a client that disconnected before its response, as in nginx.
CLIENT_CLOSED_REQUEST = 499

#: Retry-After in seconds of a server that is stopping: a restarted server, or another one, can take the request then.
RETRY_AFTER_STOP = 5


@dataclass
class RequestRecord:
    """What is logged of one request; `stages` are milliseconds.

    It never holds an image, a file name, a query or an unknown path that the client chose.
    """

    request_id: str
    model: str | None = None
    faces: int | None = None
    bytes_in: int | None = None
    stages: dict[str, float] = field(default_factory=dict)


def request_record(request: Request) -> RequestRecord:
    """The record of the request; handlers fill it in."""
    return request.scope["emotion_hub.record"]


def is_demo_path(path: str) -> bool:
    """Whether the path is the demo's or below it."""
    return path == DEMO_PATH or path.startswith(f"{DEMO_PATH}/")


class RequestLogMiddleware:
    """ASGI middleware that logs and counts every request; unexpected exceptions become 500, a server stop 503."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_at, path = time.perf_counter(), scope["path"]
        client_id = Headers(scope=scope).get(REQUEST_ID, "")
        record = RequestRecord(client_id if VALID_REQUEST_ID.fullmatch(client_id) else uuid.uuid4().hex)
        scope["emotion_hub.record"] = record
        status, is_event_stream = CLIENT_CLOSED_REQUEST, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_event_stream
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                headers[REQUEST_ID] = record.request_id
                is_event_stream = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # uvicorn cancels unanswered requests when its grace period ends
            if status == CLIENT_CLOSED_REQUEST:
                text = (
                    f"the server is stopping and could not finish this request; send it again in {RETRY_AFTER_STOP} s"
                )
                headers = {"Retry-After": str(RETRY_AFTER_STOP), "Connection": "close"}
                await JSONResponse({"error": text}, 503, headers)(scope, receive, send_with_id)
            elif is_event_stream:  # it has no announced length, so it may end at any point
                await send_with_id({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                raise
        except Exception as error:
            log.error("a request failed", exc_info=error, extra={"fields": {"request_id": record.request_id}})
            if status != CLIENT_CLOSED_REQUEST:  # the response has started: only a broken connection can show the error
                raise
            text = f"internal error; the server's log has the details under the request id {record.request_id}"
            await JSONResponse({"error": text}, 500)(scope, receive, send_with_id)
        finally:
            self._record(scope, path, record, status, time.perf_counter() - started_at)

    def _record(self, scope: Scope, path: str, record: RequestRecord, status: int, seconds: float) -> None:
        """Write the log line and count the request."""
        route = DEMO_PATH if is_demo_path(path) else getattr(scope.get("route"), "path", None) or "(none)"
        stages = dict(record.stages)  # a copy: an abandoned thread may still write to it
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
        known = {name: value for name, value in fields.items() if value not in (None, {})}
        log.info("request", extra={"fields": known})


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the record's `fields`, and the traceback of an error."""

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
