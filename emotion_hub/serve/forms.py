"""Multipart bodies, in memory: a framework's parser would write larger pictures to the disk."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from emotion_hub.errors import InputError, shown

__all__ = ["read_form"]

#: More fields than any request here has.
MAX_PARTS = 20


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """{field: content} of a multipart/form-data body; file names are not kept. Raises InputError for a body that breaks the format."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InputError("the multipart content type names no boundary; let your HTTP client write that header")
    fields: dict[str, bytes] = {}
    header: list[bytes] = [b"", b""]
    headers: dict[bytes, bytes] = {}
    parts: list[bytes] = []

    def begin() -> None:
        headers.clear()
        parts.clear()

    def end_of_header() -> None:
        headers[header[0].lower()] = header[1]
        header[:] = [b"", b""]

    def name_part(data: bytes, start: int, end: int) -> None:
        header[0] += data[start:end]

    def value_part(data: bytes, start: int, end: int) -> None:
        header[1] += data[start:end]

    def end() -> None:
        name = parse_options_header(headers.get(b"content-disposition", b""))[1].get(b"name")
        if name is None:
            raise InputError("a part of the multipart body has no name; its Content-Disposition header says it")
        key = name.decode("utf-8", "replace")
        if key in fields:
            raise InputError(f"the field {shown(key)} came twice; send it once")
        if len(fields) == MAX_PARTS:
            raise InputError(f"the multipart body has more than {MAX_PARTS} fields")
        fields[key] = b"".join(parts)

    finished = []
    callbacks = {
        "on_part_begin": begin,
        "on_part_data": lambda data, start, end: parts.append(data[start:end]),
        "on_part_end": end,
        "on_header_field": name_part,
        "on_header_value": value_part,
        "on_header_end": end_of_header,
        "on_end": lambda: finished.append(True),
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InputError(f"the multipart body cannot be read: {error}") from error
    if not finished:
        raise InputError("the multipart body is cut short: its closing boundary is missing")
    return fields
