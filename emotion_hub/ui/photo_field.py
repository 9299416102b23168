"""Upload field for photos, without gradio's decoding and downloads.

The class has a module of its own because gradio writes a stub file (.pyi) beside the module of every component,
which type checkers read instead of the module and gradio updates only for the class.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from emotion_hub.gradio_compat import without_downloads
from emotion_hub.images import MAX_BYTES

__all__ = ["PhotoInput"]


@without_downloads
class PhotoInput(gr.Image):
    """gradio's image field, which accepts only uploads and returns the file undecoded.

    gradio would open the file with Pillow first: a damaged file gives an error of Pillow, 16-bit photos turn white,
    and a square of 12,000 pixels per side is decoded before it can be refused.
    """

    is_template = True  # gradio's attribute of a subclass that uses its parent's frontend

    def preprocess(self, payload: Any) -> str | bytes | None:  # type: ignore[override]  # bytes instead of an image
        """The path of the uploaded file, or the bytes of a data URL; None without a photo. Raises gradio's Error."""
        if payload is None:
            return None
        if not payload.url or not payload.url.startswith("data:"):
            return payload.path
        if len(payload.url) > MAX_BYTES * 4 / 3 + 200:
            raise gr.Error(f"the picture is larger than {MAX_BYTES // 2**20} MB", print_exception=False)
        try:
            return base64.b64decode(payload.url.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise gr.Error(
                "the data URL's base64 cannot be read; send the whole file, encoded once", print_exception=False
            ) from error
