"""Parse JSON bodies of limited size, and decode images in base64 text."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from emotion_hub.errors import InputError

__all__ = ["decode_base64", "load_json"]

#: Largest number of brackets, braces and commas in a JSON body. Requests here have far fewer, and parsing this many
#: takes less than a millisecond.
MAX_STRUCTURE = 1000


def load_json(body: bytes) -> Any:
    """The value in a JSON body.

    Raises InputError for other bytes, and for more than `MAX_STRUCTURE` brackets, braces and commas. They are counted
    before the body is parsed, because the parser does not release the interpreter lock.
    """
    if (count := sum(body.count(mark) for mark in (b"[", b"{", b","))) > MAX_STRUCTURE:
        raise InputError(
            f"the JSON body has {count:,} brackets, braces and commas, at most {MAX_STRUCTURE:,} are read; "
            "send one object with the picture as base64"
        )
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON, as its content type says: {error}") from error


def decode_base64(text: str, name: str) -> bytes:
    """The bytes that base64 text, or a data URL, encodes.

    Raises InputError, naming the field `name`, for other text.
    """
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"{name} is no base64 text: {error}; send the picture's bytes, or their base64 encoding"
        ) from error
