"""Upload limits: middleware that bounds a request's body and files.

gradio limits the bytes of each file, but accepts a thousand files per request, and keeps the file of an interrupted
upload in its upload folder.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_hub.images import MAX_BYTES

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["UploadLimits"]

#: Maximum bytes of a body: a photo of the permitted size as base64, and the form around it.
MAX_BODY = MAX_BYTES * 4 // 3 + 256 * 1024

#: Maximum number of form parts that are not files.
MAX_FIELDS = 20

#: Bytes and seconds for which the rest of a refused body is read, so that the client receives the response instead of a
#: connection error.
LINGER_BYTES, LINGER_SECONDS = 4 * MAX_BYTES, 5.0


class _Refused(MultiPartException):
    """A refused body. It ends gradio's parser, too, which then deletes its temporary files."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UploadLimits:
    """ASGI middleware for gradio's app, which refuses invalid bodies with a JSON `detail`.

    413 for a body that is too large, 400 for a form with a second file or without its end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        refused: _Refused | None = None
        started = ended = False
        try:
            body = _Body(scope)
        except _Refused as error:
            await _refuse(error, scope, receive, send, unread=True)
            return

        async def checked_receive() -> Message:
            nonlocal refused, ended
            if refused:
                raise refused
            message = await receive()
            ended = ended or message["type"] != "http.request" or not message.get("more_body", False)
            try:
                body.check(message)
            except _Refused as error:
                refused = error
                raise
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if refused is None or started:  # otherwise it is gradio's own response to the exception
                started = True
                await send(message)

        try:
            await self.app(scope, checked_receive, send_unless_refused)
        except _Refused:
            if started:
                raise
        if refused and not started:
            await _refuse(refused, scope, receive, send, unread=not ended)


class _Body:
    """Counts the bytes of a body while it is received and, where it is a form, its parts. Raises _Refused."""

    def __init__(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self.size, self.files, self.fields, self.complete = 0, 0, 0, False
        announced = headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY:
            raise _too_large()
        kind, options = parse_options_header(headers.get("content-type", ""))
        self.form = kind == b"multipart/form-data"
        self.upload = self.form and scope["path"].rstrip("/").endswith("/upload")
        boundary = options.get(b"boundary")
        self.parser = MultipartParser(boundary, self._callbacks()) if self.form and boundary else None

    def check(self, message: Message) -> None:
        if message["type"] != "http.request":
            if self.form:
                raise _Refused(400, "The upload was interrupted.")
            return
        part = message.get("body", b"")
        self.size += len(part)
        if self.size > MAX_BODY:
            raise _too_large()
        if self.parser is None:
            return
        try:
            self.parser.write(part)
        except FormParserError as error:
            raise _Refused(400, "The form cannot be read.") from error
        if not message.get("more_body", False) and not self.complete:
            raise _Refused(400, "The form is cut short: its closing boundary is missing.")

    def _callbacks(self) -> MultipartCallbacks:
        name: list[bytes] = []
        value: list[bytes] = []
        disposition: list[bytes] = []

        def end_of_header() -> None:
            if b"".join(name).lower() == b"content-disposition":
                disposition[:] = value
            name.clear()
            value.clear()

        def end_of_headers() -> None:
            self._part(parse_options_header(b"".join(disposition))[1])
            disposition.clear()

        def end() -> None:
            self.complete = True

        return {
            "on_header_field": lambda data, start, stop: name.append(data[start:stop]),
            "on_header_value": lambda data, start, stop: value.append(data[start:stop]),
            "on_header_end": end_of_header,
            "on_headers_finished": end_of_headers,
            "on_end": end,
        }

    def _part(self, options: dict[bytes, bytes]) -> None:
        if b"filename" not in options:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise _Refused(400, f"The form has more than {MAX_FIELDS} fields.")
            return
        self.files += 1
        if self.files > 1:
            raise _Refused(400, "Send one file per request.")
        if not self.upload:
            return
        if options.get(b"name") != b"files":  # gradio would store the file and ignore it
            raise _Refused(400, "Send the picture in the field 'files'.")
        name = options[b"filename"].decode("utf-8", "replace")
        if name and not re.search(r"\w", name):  # such as "..", which gradio refuses after it has stored the file
            raise _Refused(400, "The file's name cannot be used; give it another one.")


def _too_large() -> _Refused:
    return _Refused(413, f"The request is too large; send one picture of up to {MAX_BYTES // 2**20} MB.")


async def _refuse(refused: _Refused, scope: Scope, receive: Receive, send: Send, *, unread: bool) -> None:
    """Send the response; where the body is not complete, read on for a while and close the connection."""

    async def send_then_drain(message: Message) -> None:
        if unread and message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            await _drain(receive)
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    closing = {"Connection": "close"} if unread and scope.get("http_version", "1.1").startswith("1") else {}
    await JSONResponse({"detail": refused.message}, refused.status, closing)(scope, receive, send_then_drain)


async def _drain(receive: Receive) -> None:
    """Read to the body's end, or up to the limits."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
