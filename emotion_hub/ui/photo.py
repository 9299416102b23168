"""The photo input: gradio's image component, with its decoding left to `emotion_hub.images`."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from emotion_hub.errors import ImageError
from emotion_hub.images import MAX_BYTES
from emotion_hub.predictor import Scene, locate

__all__ = ["PhotoInput", "example_photos", "photo_input", "scene_of"]

DELETED = "The photo was deleted from the server, as promised. Give it again."


class PhotoInput(gr.Image):
    """Hands the uploaded file on as it came, and takes nothing but uploads.

    gradio would open it with Pillow first: a damaged file then ends in a message about Pillow, 16-bit photos turn white, and a
    12,000-pixel square is decoded before anything can refuse it.
    """

    is_template = True  # gradio's word for a subclass that keeps its parent's frontend

    def preprocess(self, payload: Any) -> str | bytes | None:
        """The path of the uploaded file, or the bytes of a data URL; None when there is no photo."""
        if payload is None:
            return None
        if not payload.url or not payload.url.startswith("data:"):
            return payload.path
        if len(payload.url) > MAX_BYTES * 4 / 3 + 200:
            raise gr.Error(f"the picture is larger than {MAX_BYTES // 2**20} MB", print_exception=False)
        try:
            return base64.b64decode(payload.url.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise gr.Error("the data URL's base64 cannot be read; send the whole file, encoded once", print_exception=False) from error

    def move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """As gradio's, without downloads: an address in a request would make this server fetch it, whole, for anybody."""
        _refuse_address(url_or_file_path)
        return super().move_resource_to_block_cache(url_or_file_path)

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """As gradio's, without downloads."""
        _refuse_address(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


def _refuse_address(url_or_file_path: str | Path | None) -> None:
    if url_or_file_path is not None and "://" in str(url_or_file_path):
        raise gr.Error("this server downloads nothing; send the picture itself, with handle_file(path)", print_exception=False)


def scene_of(photo: str | bytes, whole: bool) -> Scene:
    """The uploaded photo and its faces; raises ImageError for what is no picture, or is gone already."""
    if isinstance(photo, str):
        try:
            with Path(photo).open("rb") as file:  # bytes, since messages name a path's file, and gradio chooses that name
                photo = file.read(MAX_BYTES + 1)
        except OSError:  # swept a moment ago; what the system says names the server's folders
            raise ImageError(DELETED) from None
    return locate(photo, whole=whole)


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
