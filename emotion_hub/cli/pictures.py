"""The loop of `predict` and `compare`: read each picture, answer, write, and go on after one that cannot be read."""

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

__all__ = ["answer_pictures", "box_cell"]


def answer_pictures(
    args: argparse.Namespace,
    answer: Callable[[Any], Sequence[Any]],
    layout: Layout,
    boxes: Callable[[Any, int], Box],
) -> int:
    """The exit status after `answer(source)` for every picture of `args`: 1 when one could not be read.

    `boxes(face, n)` is what --annotate draws around the n-th face.
    """
    names = expand(args.images)
    annotated = _Annotated(args.annotate, boxes) if args.annotate else None
    status = 0
    with output(args.out) as file:
        writer = Writer(file, args.format, layout, names)
        for name in _shown(names, quiet=args.format == "table" and file.isatty()):
            try:
                source: Any = opened(name)
                if annotated or (
                    name != "-" and not os.path.isfile(name)
                ):  # a missing file is reported before a network is loaded
                    source = _decoded(source)
                faces = answer(source)
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
    """A box as a table shows it: left,top and right,bottom in pixels."""
    return f"{bbox[0]},{bbox[1]} {bbox[2]},{bbox[3]}"


def _shown(names: Sequence[str], *, quiet: bool) -> Iterable[str]:
    """The names, with a bar on a terminal's standard error once a second has passed; `quiet` where the rows show the progress themselves."""
    if quiet or len(names) < 2 or not sys.stderr.isatty():
        return names
    from tqdm import tqdm

    return tqdm(names, unit="picture", delay=1)


def _decoded(source: Any) -> Any:
    """The upright photo. Raises ImageError for what is not a picture."""
    from emotion_hub.images import load_image

    return load_image(source)


class _Annotated:
    """Pictures with boxes, in a folder."""

    def __init__(self, folder: str, boxes: Callable[[Any, int], Box]) -> None:
        self.folder, self.boxes = Path(folder), boxes
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"--annotate {folder!r} is a file; name a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._taken: set[str] = set()

    def write(self, name: str, photo: Any, faces: Sequence[Any]) -> None:
        from emotion_hub.drawing import draw_boxes

        stem = "stdin" if name == "-" else Path(name).stem
        free = next(
            f"{stem}{end}"
            for end in ("", *(f"-{n}" for n in range(2, len(self._taken) + 3)))
            if f"{stem}{end}" not in self._taken
        )
        self._taken.add(free)  # pictures of one name in two folders
        draw_boxes(photo, [self.boxes(face, i) for i, face in enumerate(faces)]).save(self.folder / f"{free}.png")
