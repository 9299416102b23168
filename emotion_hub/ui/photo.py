"""The photo input: gradio's image component, with its decoding left to `emotion_hub.images`."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from emotion_hub.errors import ImageError

__all__ = ["PhotoInput", "example_photos", "photo_input"]


class PhotoInput(gr.Image):
    """Hands the uploaded file on as it came.

    gradio would open it with Pillow first: a damaged file then ends in a message about Pillow, 16-bit photos turn white, and a
    12,000-pixel square is decoded before anything can refuse it.
    """

    is_template = True  # gradio's word for a subclass that keeps its parent's frontend

    def preprocess(self, payload: Any) -> str | bytes | None:
        """The path of the uploaded file, or the bytes of a data URL; None when there is no photo."""
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise ImageError(f"the data URL's base64 cannot be read: {error}") from error
        return payload.path


def photo_input(elem_id: str) -> PhotoInput:
    """The photo field of a tab: upload, webcam, clipboard."""
    return PhotoInput(
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        label="Photo",
        buttons=["fullscreen"],
        height=340,
        elem_id=elem_id,
    )


def example_photos(photo: PhotoInput) -> None:
    """An openly licensed photo that scikit-image ships: Eileen Collins by NASA, public domain."""
    gr.Examples([[str(_astronaut())]], inputs=[photo], label="Example (NASA, public domain)", cache_examples=False)


@lru_cache(maxsize=1)
def _astronaut() -> Path:
    """The file inside scikit-image's wheel."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"
