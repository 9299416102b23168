"""Loop of `predict` and `compare` over the pictures, and annotated copies.

An unreadable picture is reported, and the loop continues with the next one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_hub.cli.inputs import expand, opened
from emotion_hub.cli.tables import Layout, Writer, output
from emotion_hub.errors import ImageError, InputError

if TYPE_CHECKING:
    from emotion_hub.drawing import Box

__all__ = ["box_cell", "process_pictures"]


def process_pictures(
    args: argparse.Namespace,
    process: Callable[[Any], Sequence[Any]],
    layout: Layout,
    boxes: Callable[[Any, int], Box],
) -> int:
    """The exit status after `process(source)` for every picture of `args`: 1 when one could not be read.

    `process` returns the faces of a picture; `boxes(face, n)` is what --annotate draws around the n-th face.
    """
    names = expand(args.images)
    annotated = _Annotated(args.annotate, boxes) if args.annotate else None
    status = 0
    with output(args.out) as file:
        writer = Writer(file, args.format, layout, names)
        for name in _with_progress(names, quiet=args.format == "table" and file.isatty()):
            try:
                source: Any = opened(name)
                # a missing file is reported before a network is loaded
                if annotated or (name != "-" and not os.path.isfile(name)):
                    source = _decoded(source)
                faces = process(source)
            except ImageError as error:
                status = 1
                print(f"error: {name}: {error}", file=sys.stderr)
                writer.add(name, [], str(error))
                continue
            writer.add(name, faces)
            if annotated:
                annotated.write(name, source, faces)
        writer.close()
    return status


def box_cell(bbox: Sequence[int]) -> str:
    """A box as a table shows it: "left,top right,bottom" in pixels."""
    return f"{bbox[0]},{bbox[1]} {bbox[2]},{bbox[3]}"


def _with_progress(names: Sequence[str], *, quiet: bool) -> Iterable[str]:
    """The names, with a progress bar where standard error is a terminal and one second has passed.

    `quiet` shows no bar, for a table on the terminal, whose rows show the progress.
    """
    if quiet or len(names) < 2 or not sys.stderr.isatty():
        return names
    from tqdm import tqdm

    return tqdm(names, unit="picture", delay=1)


def _decoded(source: Any) -> Any:
    """The upright photo. Raises ImageError for a source that cannot be decoded."""
    from emotion_hub.images import load_image

    return load_image(source)


class _Annotated:
    """Writes pictures with boxes into a folder."""

    def __init__(self, folder: str, boxes: Callable[[Any, int], Box]) -> None:
        self.folder, self.boxes = Path(folder), boxes
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"--annotate {folder!r} is a file; name a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._used: set[str] = set()

    def write(self, name: str, photo: Any, faces: Sequence[Any]) -> None:
        """Write the PNG file of a picture; pictures of the same name in two folders get numbers."""
        from emotion_hub.drawing import draw_boxes

        stem = "stdin" if name == "-" else Path(name).stem
        candidates = (stem, *(f"{stem}-{n}" for n in range(2, len(self._used) + 3)))
        unused = next(candidate for candidate in candidates if candidate not in self._used)
        self._used.add(unused)
        draw_boxes(photo, [self.boxes(face, i) for i, face in enumerate(faces)]).save(self.folder / f"{unused}.png")
