"""From the IMAGE arguments to pictures: files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from emotion_hub.errors import InputError

__all__ = ["expand", "opened"]


def expand(arguments: Sequence[str]) -> list[str]:
    """The names of the pictures, in order: a folder's by name and below it, a pattern's matches, anything else as it is.

    A name that exists is no pattern, whatever characters it has. Raises InputError for a folder or pattern without a picture.
    """
    names: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-" or path.is_file():
            names.append(argument)
        elif path.is_dir():
            names += _below(path)
        elif glob.has_magic(argument):
            names += _matches(argument)
        else:
            names.append(argument)  # missing: reported in its turn, and the others are done
    return names


def opened(name: str) -> str | IO[bytes]:
    """What `load_image` takes for a name that `expand` gave."""
    return sys.stdin.buffer if name == "-" else name


def _below(folder: Path) -> list[str]:
    found = [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and _is_picture(path.name)]
    if not found:
        raise InputError(
            f"the folder {str(folder)!r} has no picture (JPEG, PNG, WebP, BMP, GIF or TIFF by its suffix); name a file to read it whatever its suffix"
        )
    return found


def _matches(pattern: str) -> list[str]:
    found = [name for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file()]
    if not found:
        raise InputError(f"no file matches the pattern {pattern!r}; ** goes into folders, as in 'photos/**/*.jpg'")
    return found


def _is_picture(name: str) -> bool:
    from emotion_hub.batch.pictures import is_image_name

    return is_image_name(name)
