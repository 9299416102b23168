"""IMAGE arguments: expand files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from emotion_hub.errors import InputError

__all__ = ["expand", "opened"]


def expand(arguments: Sequence[str]) -> list[str]:
    """The picture names, in order: a folder's pictures by name, including subfolders, a pattern's matches, or the name.

    The name of an existing file is never taken as a pattern. Raises InputError for a folder or pattern without a
    picture.
    """
    names: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-" or path.is_file():
            names.append(argument)
        elif path.is_dir():
            names += _pictures_below(path)
        elif glob.has_magic(argument):
            names += _matches(argument)
        else:
            names.append(argument)  # a missing file is reported when its turn comes, and the others are processed
    return names


def opened(name: str) -> str | IO[bytes]:
    """A source for `load_image`: standard input for "-", else the name."""
    return sys.stdin.buffer if name == "-" else name


def _pictures_below(folder: Path) -> list[str]:
    names = [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and _is_picture(path.name)]
    if not names:
        raise InputError(
            f"the folder {str(folder)!r} has no picture with a suffix of JPEG, PNG, WebP, BMP, GIF or TIFF;"
            " a file that is named itself is read whatever its suffix"
        )
    return names


def _matches(pattern: str) -> list[str]:
    names = [name for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file()]
    if not names:
        raise InputError(f"no file matches the pattern {pattern!r}; ** includes subfolders, as in 'photos/**/*.jpg'")
    return names


def _is_picture(name: str) -> bool:
    from emotion_hub.images import is_image_name

    return is_image_name(name)
