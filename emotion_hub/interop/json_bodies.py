"""JSON bodies with a picture as base64 text: parsed within limits."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from emotion_hub.errors import InputError

__all__ = ["decode_base64", "load_json"]

#: Brackets, braces and commas in a JSON body: far more than any request here has, and far fewer than it takes to keep the server busy.
MAX_STRUCTURE = 1000


def load_json(body: bytes) -> Any:
    """What a JSON body holds; raises InputError for other bytes and for more values than a request has, before they are read: nothing else runs meanwhile."""
    if (count := sum(body.count(mark) for mark in (b"[", b"{", b","))) > MAX_STRUCTURE:
        raise InputError(
            f"the JSON body has {count:,} brackets, braces and commas, at most {MAX_STRUCTURE:,} are read; send one object with the picture as base64"
        )
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON, as its content type says: {error}") from error


def decode_base64(text: str) -> bytes:
    """The bytes that base64 text, or a data URL, stands for; raises InputError for other text."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"is no base64 text: {error}; send the picture's bytes, or their base64 encoding") from error
