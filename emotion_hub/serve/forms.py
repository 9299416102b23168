"""Multipart form bodies: parsed in memory.

The framework's parser would write larger images to a temporary file on the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from emotion_hub.errors import InputError, shown

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["read_form"]

#: Maximum number of fields; every request of this server has fewer.
MAX_FIELDS = 20


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """{field name: content} of a multipart/form-data body, without file names.

    Raises InputError for a body that breaks the format, repeats a field or has too many.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InputError("the multipart content type has no boundary; let your HTTP client write this header")
    fields: dict[str, bytes] = {}
    header_name, header_value = bytearray(), bytearray()
    headers: dict[bytes, bytes] = {}
    chunks: list[bytes] = []
    finished = False

    def on_part_begin() -> None:
        headers.clear()
        chunks.clear()

    def on_header_field(data: bytes, start: int, end: int) -> None:
        header_name.extend(data[start:end])

    def on_header_value(data: bytes, start: int, end: int) -> None:
        header_value.extend(data[start:end])

    def on_header_end() -> None:
        headers[bytes(header_name).lower()] = bytes(header_value)
        header_name.clear()
        header_value.clear()

    def on_part_data(data: bytes, start: int, end: int) -> None:
        chunks.append(data[start:end])

    def on_part_end() -> None:
        name_bytes = parse_options_header(headers.get(b"content-disposition", b""))[1].get(b"name")
        if name_bytes is None:
            raise InputError("a part of the multipart body has no name; give it one in its Content-Disposition header")
        name = name_bytes.decode("utf-8", "replace")
        if name in fields:
            raise InputError(f"the field {shown(name)} was sent twice; send it once")
        if len(fields) == MAX_FIELDS:
            raise InputError(f"the multipart body has more than {MAX_FIELDS} fields; send fewer")
        fields[name] = b"".join(chunks)

    def on_end() -> None:
        nonlocal finished
        finished = True

    callbacks: MultipartCallbacks = {
        "on_part_begin": on_part_begin,
        "on_part_data": on_part_data,
        "on_part_end": on_part_end,
        "on_header_field": on_header_field,
        "on_header_value": on_header_value,
        "on_header_end": on_header_end,
        "on_end": on_end,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InputError(f"the multipart body cannot be parsed: {error}") from error
    if not finished:
        raise InputError("the multipart body is truncated: its closing boundary is missing; send it again")
    return fields
