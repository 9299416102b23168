"""Photo field, example photos and face detection in an uploaded photo."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from emotion_hub.errors import ImageError
from emotion_hub.examples import EXAMPLES, ExamplePhoto
from emotion_hub.faces import DetectedPhoto, Face, locate
from emotion_hub.gradio_compat import cached_value
from emotion_hub.images import MAX_BYTES, load_image
from emotion_hub.ui.html.basics import data_url, message
from emotion_hub.ui.photo_field import PhotoInput

__all__ = [
    "FIRST",
    "NO_FACE",
    "NO_PHOTO",
    "REFUSED",
    "WAITING",
    "answered_faces",
    "chosen_face",
    "detected_photo",
    "example_photos",
    "face_choices",
    "photo_input",
]

#: Side of an example's thumbnail in pixels; it is shown a little smaller.
THUMBNAIL = 96

#: The example that the page shows on arrival.
FIRST: ExamplePhoto = EXAMPLES["disputed"]

WAITING = message("Add a photo with a face: drop or paste a file, take a snapshot, or choose an example.")
REFUSED = "This picture cannot be read."
NO_PHOTO = "the photo is missing; pass photo=handle_file(path)"
NO_FACE = (
    "No face was found. Try a photo that shows it from the front, or open Advanced and take the whole picture as the"
    " face."
)
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
    """The photo field: upload, webcam, clipboard. It shows the first example."""
    return PhotoInput(
        str(FIRST.path),
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        image_mode=None,
        label=f"Photo, up to {MAX_BYTES // 2**20} MB",
        placeholder="Drop a photo here or click to choose one",
        buttons=["fullscreen"],
        height=300,
        elem_id=elem_id,
    )


def face_choices(count: int) -> Any:
    """An update of the field that chooses a face, which is visible where there are several."""
    return gr.update(choices=[str(number + 1) for number in range(max(1, count))], visible=count > 1)


def answered_faces(answer: Any) -> Any:
    """`face_choices` for an answer with one JSON object per face; `gr.skip()` is returned unchanged."""
    return face_choices(len(answer["json"])) if "json" in answer else answer


def chosen_face(photo: DetectedPhoto, number: str | None) -> Face:
    """The face of this number, from 1; the largest one for a number that the photo does not have."""
    index = int(number or 1) - 1
    return photo.faces[index if index < len(photo.faces) else 0]


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
    source = data_url(image, "WEBP", quality=55, method=6)
    note = escape(f"{example.note} {example.source}, {example.licence}.")
    return f'<img src="{source}" alt="{escape(example.note)}" title="{note}"><span>{escape(example.title)}</span>'
