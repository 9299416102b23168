"""Annotated video: frames with each face's box, track and expression."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from emotion_hub.drawing import Box, colour_of, draw_boxes
from emotion_hub.errors import InputError, missing_extra
from emotion_hub.video.timeline import TrackedFace

__all__ = ["AnnotatedVideo", "draw_tracked_faces"]

#: Unit of timestamps in seconds: one millisecond.
_CLOCK = Fraction(1, 1000)


def draw_tracked_faces(image: Image.Image, faces: Sequence[TrackedFace]) -> Image.Image:
    """A copy of the upright RGB frame with a box and a line of text per face."""
    boxes = [
        Box(face.bbox, f"{face.track}: {face.label} {face.smooth[face.label]:.0%}", colour_of(face.track))
        for face in faces
    ]
    return draw_boxes(image, boxes)


class AnnotatedVideo:
    """Writes an H.264 MP4 file that browsers play, frame by frame with its own times; a context manager.

    The file appears when the `with` block ends without an error. The pixel format needs even sides: an odd row or
    column at the end is cut off. Sound is not copied.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        """`rate` is the encoder's planned frame rate per second. Raises InputError for a suffix other than .mp4."""
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise InputError(f"{self.path.name!r}: the annotated video must be an .mp4 file")
        try:
            import av
        except ImportError as error:
            raise missing_extra("writing videos", "video", error) from error
        self._av, self._rate = av, Fraction(rate).limit_denominator(1000)
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.mp4")
        self._container: Any = None
        self._stream: Any = None
        self._last = -1

    def __enter__(self) -> AnnotatedVideo:
        # faststart: the index comes first, so that a browser starts playing before it has the whole file
        self._container = self._av.open(str(self._partial), "w", options={"movflags": "faststart"})
        return self

    def add(self, image: Image.Image, time: float) -> None:
        """Append a frame that is shown from `time` (seconds) on; the first one sets the size of all."""
        if self._stream is None:
            self._stream = self._container.add_stream(
                "libx264", rate=self._rate, options={"crf": "23", "preset": "veryfast"}
            )
            self._stream.width, self._stream.height = (max(2, side - side % 2) for side in image.size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = _CLOCK
        size = (self._stream.width, self._stream.height)
        if image.size != size:
            fits = all(0 <= side - target <= 1 for side, target in zip(image.size, size, strict=True))
            image = image.crop((0, 0, *size)) if fits else image.resize(size)
        frame = self._av.VideoFrame.from_image(image)
        self._last = max(self._last + 1, round(time / _CLOCK))  # two frames must not have the same time
        frame.pts, frame.time_base = self._last, _CLOCK
        self._container.mux(self._stream.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if kind is None and self._stream is not None:
                os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)
