"""Photo field, example photos and face detection in an uploaded photo."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path

import gradio as gr
from PIL import Image

from emotion_hub.errors import ImageError
from emotion_hub.examples import EXAMPLES
from emotion_hub.faces import DetectedPhoto, locate
from emotion_hub.gradio_compat import cached_value
from emotion_hub.images import MAX_BYTES, load_image
from emotion_hub.ui.photo_field import PhotoInput
from emotion_hub.ui.render import data_url

__all__ = ["detected_photo", "example_photos", "photo_input"]

#: Side of an example's thumbnail in pixels; it is shown at about half this size, for high-resolution screens.
THUMBNAIL = 128

DELETED = "The photo has been deleted from the server, as announced. Upload it again."


def detected_photo(photo: str | bytes, whole: bool) -> DetectedPhoto:
    """The uploaded photo and its faces. Raises ImageError for a file that cannot be decoded or has been deleted."""
    if isinstance(photo, str):
        try:
            # bytes, because messages would show the file name that gradio chose
            with Path(photo).open("rb") as file:
                photo = file.read(MAX_BYTES + 1)
        except OSError:  # deleted by the clean-up; the system's message would show the server's folders
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
    """A gallery of the packaged photos; a click puts the photo into the photo field.

    The page holds thumbnails of about 2 kB each; a whole photo is sent when it is chosen. `gr.Examples` would load all
    photos at full size.
    """
    files = [cached_value(photo, example.path) for example in EXAMPLES.values()]
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


@lru_cache(maxsize=len(EXAMPLES))
def _thumbnail(name: str) -> str:
    """The example's focus as a thumbnail in HTML, with its title; the note is the tooltip and the alternative text."""
    example = EXAMPLES[name]
    image = load_image(example.path).crop(example.focus).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    source = data_url(image, "WEBP", quality=60, method=6)
    note = escape(f"{example.note} {example.source}, {example.licence}.")
    return f'<img src="{source}" alt="{escape(example.note)}" title="{note}"><span>{escape(example.title)}</span>'
