"""Example photos in this package for the demo, the tests and the benchmarks.

The files were re-encoded with Pillow from openly licensed photos: cropped and resized (Lanczos) where the entry says
so, then saved without metadata as progressive JPEG of quality 75 to 85. The faces and labels in the notes were measured
with YuNet and both embedded networks on these files, and `tests/test_examples.py` checks them; another encoding of the
same photo can get other predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emotion_hub.errors import InputError

__all__ = ["EXAMPLES", "ExamplePhoto", "example_path"]

_FOLDER = Path(__file__).with_name("example_photos")
_SOLVAY = "First Solvay Conference, Brussels 1911, by Benjamin Couprie"
_LONDON = "Face Research Lab London Set, DeBruine and Jones 2017 (doi:10.6084/m9.figshare.5047666)"


@dataclass(frozen=True)
class ExamplePhoto:
    """One photo: the `name` of its file, a short `title`, a `note` on its faces and labels, its source and licence.

    `focus` is the square that thumbnails show: left, top, right, bottom in pixels of the photo.
    """

    name: str
    title: str
    note: str
    source: str
    licence: str
    focus: tuple[int, int, int, int]

    @property
    def path(self) -> Path:
        """The path of the JPEG file in this package."""
        return _FOLDER / f"{self.name}.jpg"


_PHOTOS = (
    ExamplePhoto(
        "astronaut",
        "Smile",
        "A smile: both networks predict happy.",
        "Eileen Collins, by NASA, from scikit-image",
        "public domain",
        (116, 10, 336, 230),
    ),
    ExamplePhoto(
        "grace_hopper",
        "Neutral",
        "A calm face with glasses and a cap: both networks predict neutral.",
        "Grace Hopper, by the US Navy",
        "public domain",
        (120, 70, 420, 370),
    ),
    ExamplePhoto(
        "einstein",
        "Sad",
        "Albert Einstein looks down; a face of 20 pixels, enlarged: both networks predict sad.",
        f"{_SOLVAY}; cropped and enlarged",
        "public domain",
        (25, 30, 205, 210),
    ),
    ExamplePhoto(
        "group",
        "Group",
        "Four people smile, four do not: all eight faces are detected, and both networks predict each correctly.",
        f"{_LONDON}; eight photos in one, resized",
        "CC BY 4.0",
        (0, 0, 400, 400),
    ),
    ExamplePhoto(
        "disputed",
        "Disputed",
        "A smile on which the networks disagree: native48 predicts happy, upscale224 neutral.",
        f"{_LONDON}; resized",
        "CC BY 4.0",
        (40, 40, 270, 270),
    ),
    ExamplePhoto(
        "profile",
        "Profile",
        "A man looks through a camera: his face is detected in profile, and both networks predict sad "
        "without a visible reason.",
        "Cameraman, by Lav Varshney, from scikit-image",
        "CC0",
        (130, 50, 330, 250),
    ),
    ExamplePhoto(
        "solvay",
        "Crowd",
        "24 people: 18 faces are detected, none wider than 21 pixels; the networks disagree on some of them.",
        _SOLVAY,
        "public domain",
        (200, 90, 400, 290),
    ),
    ExamplePhoto(
        "cat",
        "No face",
        "A cat: no face is detected, because the detector looks for human faces.",
        "Chelsea, by Stefan van der Walt, from scikit-image",
        "CC0",
        (60, 0, 360, 300),
    ),
)

#: {name: photo}, in the order in which the demo shows them.
EXAMPLES: dict[str, ExamplePhoto] = {photo.name: photo for photo in _PHOTOS}


def example_path(name: str) -> Path:
    """The path of an example photo's JPEG file; raises InputError listing the names for an unknown one."""
    if name not in EXAMPLES:
        raise InputError(f"there is no example photo {name!r}; choose one of {', '.join(EXAMPLES)}")
    return EXAMPLES[name].path
