"""Example photos that ship with the package, for the demo, the tests and the benchmarks.

The files were re-encoded with Pillow from openly licensed photos: cropped and resized (Lanczos) where the entry says so, then saved from bare pixels,
hence without metadata, as progressive JPEG of quality 75 to 85. What a note says of faces and labels was measured with YuNet and both embedded networks on
these files, and `tests/test_examples.py` checks it; another encoding of the same photo may get another answer.
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
    """One photo: its file's `name`, a short `title`, a `note` on what it shows, and where it comes from.

    `focus` is the square to show where the photo is shown small: left, top, right, bottom in its pixels.
    """

    name: str
    title: str
    note: str
    source: str
    licence: str
    focus: tuple[int, int, int, int]

    @property
    def path(self) -> Path:
        """The JPEG file in this package."""
        return _FOLDER / f"{self.name}.jpg"


_PHOTOS = (
    ExamplePhoto(
        "astronaut",
        "Smile",
        "A smile: both networks say happy.",
        "Eileen Collins, by NASA, from scikit-image",
        "public domain",
        (116, 10, 336, 230),
    ),
    ExamplePhoto(
        "grace_hopper",
        "Neutral",
        "A calm face with glasses and a cap: both networks say neutral.",
        "Grace Hopper, by the US Navy",
        "public domain",
        (120, 70, 420, 370),
    ),
    ExamplePhoto(
        "einstein",
        "Sad",
        "Albert Einstein looks down; a face of 20 pixels, enlarged: both networks say sad.",
        f"{_SOLVAY}; cropped and enlarged",
        "public domain",
        (25, 30, 205, 210),
    ),
    ExamplePhoto(
        "group",
        "Group",
        "Four people smile, four do not: all eight are found, and both networks are right about each.",
        f"{_LONDON}; eight photos in one, resized",
        "CC BY 4.0",
        (0, 0, 400, 400),
    ),
    ExamplePhoto(
        "disputed",
        "Disputed",
        "A smile on which the networks disagree: native48 says happy, upscale224 neutral.",
        f"{_LONDON}; resized",
        "CC BY 4.0",
        (40, 40, 270, 270),
    ),
    ExamplePhoto(
        "profile",
        "Profile",
        "A man looks through a camera: his face is found in profile, and both networks say sad, for no visible reason.",
        "Cameraman, by Lav Varshney, from scikit-image",
        "CC0",
        (130, 50, 330, 250),
    ),
    ExamplePhoto(
        "solvay",
        "Crowd",
        "24 people: 18 faces are found, none wider than 21 pixels; the networks disagree on some of them.",
        _SOLVAY,
        "public domain",
        (200, 90, 400, 290),
    ),
    ExamplePhoto(
        "cat",
        "No face",
        "A cat: no face is found, since the detector looks for people.",
        "Chelsea, by Stefan van der Walt, from scikit-image",
        "CC0",
        (60, 0, 360, 300),
    ),
)

#: Every example photo by its name, in the order in which the demo shows them.
EXAMPLES: dict[str, ExamplePhoto] = {photo.name: photo for photo in _PHOTOS}


def example_path(name: str) -> Path:
    """The JPEG file of an example photo; raises InputError, with the names there are, for another name."""
    if name not in EXAMPLES:
        raise InputError(f"there is no example photo {name!r}; choose one of {', '.join(EXAMPLES)}")
    return EXAMPLES[name].path
