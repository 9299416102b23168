"""The photo input: gradio's image component, with its decoding left to `emotion_hub.images`, and the gallery of example photos."""

from __future__ import annotations

import base64
import binascii
import io
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from PIL import Image

from emotion_hub.errors import ImageError
from emotion_hub.examples import EXAMPLES, ExamplePhoto
from emotion_hub.images import MAX_BYTES, load_image
from emotion_hub.predictor import DetectedPhoto, locate

__all__ = ["PhotoInput", "example_photos", "photo_input", "scene_of"]

#: Pixels a side of an example in the gallery; shown at about half as many, for sharp screens.
THUMBNAIL = 128

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
            raise gr.Error(
                "the data URL's base64 cannot be read; send the whole file, encoded once", print_exception=False
            ) from error

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
        raise gr.Error(
            "this server downloads nothing; send the picture itself, with handle_file(path)", print_exception=False
        )


def scene_of(photo: str | bytes, whole: bool) -> DetectedPhoto:
    """The uploaded photo and its faces; raises ImageError for what is no picture, or is gone already."""
    if isinstance(photo, str):
        try:
            with Path(photo).open(
                "rb"
            ) as file:  # bytes, since messages name a path's file, and gradio chooses that name
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
    """A gallery of the packaged photos; the one that is chosen goes into the photo field.

    The page holds thumbnails of about 2 kB each; a whole photo is sent when it is chosen. `gr.Examples` would load all photos whole.
    """
    files = [_served(example, photo) for example in EXAMPLES.values()]
    gallery = gr.Dataset(
        components=["html"],
        samples=[[_thumbnail(name)] for name in EXAMPLES],
        samples_per_page=len(EXAMPLES),
        type="index",
        label="Examples",
        elem_id=f"{photo.elem_id}-examples",
        elem_classes="eh-examples",
    )
    gallery.click(
        lambda index: gr.update(value=files[index]),
        [gallery],
        [photo],
        postprocess=False,
        api_visibility="private",
        queue=False,
        show_progress="hidden",
    )


def _served(example: ExamplePhoto, photo: PhotoInput) -> Any:
    """The value of the photo field for the example: its file in gradio's cache, out of reach of the sweep of uploads."""
    return processing_utils.move_files_to_cache(
        photo.postprocess(example.path), photo, postprocess=True, keep_in_cache=True
    )


@lru_cache(maxsize=len(EXAMPLES))
def _thumbnail(name: str) -> str:
    """The example's focus as a small picture in HTML, with its title; the note is the tooltip and the alternative text."""
    example, buffer = EXAMPLES[name], io.BytesIO()
    image = load_image(example.path).crop(example.focus).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    image.save(buffer, "WEBP", quality=60, method=6)
    source = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    note = escape(f"{example.note} {example.source}, {example.licence}.")
    return f'<img src="{source}" alt="{escape(example.note)}" title="{note}"><span>{escape(example.title)}</span>'
