"""A video's frames at a chosen rate, upright and timed: the only reader of videos in the project."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError, VideoError, first_line, missing_extra
from emotion_hub.images import MAX_PIXELS

__all__ = ["DEFAULT_RATE", "MAX_FRAMES", "VIDEO_SUFFIXES", "Frame", "VideoInfo", "probe_video", "read_frames"]

log = logging.getLogger(__name__)

#: Frames a second that are looked at: an expression lasts half a second or more.
DEFAULT_RATE = 5.0

#: Frames that are taken out of one file: more than five hours at the default rate.
MAX_FRAMES = 100_000

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".3gp")

#: Containers that hold the picture themselves. A playlist names other files, which a video from elsewhere must not make us open.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg"

#: A stream that ends this share (and at least this many seconds) before its header says was cut short.
_CUT_SHARE, _CUT_SECONDS = 0.02, 0.5

#: A frame is out of order when its time is before the last one's by no more frames than this; by more, the clock has started again.
_OUT_OF_ORDER = 3


@dataclass(frozen=True)
class VideoInfo:
    """What the header says: upright size in pixels, seconds and frames (None where it does not), codec and mean frames a second."""

    width: int
    height: int
    codec: str
    duration: float | None = None
    frames: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Frame:
    """A frame that was taken: its position among those taken, seconds since the video's first frame, and the upright RGB picture."""

    index: int
    time: float
    image: Image.Image


def probe_video(path: str | Path) -> VideoInfo:
    """What a video's header says, its size from the first frame. Raises VideoError for what is no video."""
    with _opened(path) as (container, stream, shown):
        frame = next(_decoded(container, stream, shown), None)
        if frame is None:
            raise VideoError(f"{shown} holds no frame; export the video again")
        width, height = _upright(frame, stream, shown).size
        rate = float(stream.average_rate) if stream.average_rate else None
        return VideoInfo(
            width, height, stream.codec_context.name, _declared(container, stream), stream.frames or None, rate
        )


def read_frames(path: str | Path, rate: float | None = DEFAULT_RATE) -> Iterator[Frame]:
    """Frames of a video, `rate` a second by their timestamps; every frame where `rate` is None.

    The first frame at or after each multiple of 1/rate seconds is taken, so a variable frame rate changes nothing. Rotation and pixel shape are
    applied. Times never fall: where timestamps start again, as in parts that were joined, they go on. One frame is in memory at a time. Raises
    VideoError for what is no video, for frames over the pixel limit of pictures, for more than MAX_FRAMES, and at the frame where the file turns out
    damaged or cut short: the frames before it have been given by then.
    """
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(f"rate={rate!r}: give frames a second above 0, or None for every frame")
    return _taken(path, rate)


def _taken(path: str | Path, rate: float | None) -> Iterator[Frame]:
    with _opened(path) as (container, stream, shown):
        step = 1 / float(stream.average_rate or 25)
        first = last = None
        taken, due, offset = 0, 0.0, 0.0
        for frame in _decoded(container, stream, shown):
            time = frame.time + offset if frame.time is not None else (0.0 if last is None else last + step)
            if last is not None and time < last:
                if last - time > _OUT_OF_ORDER * step:  # parts that were joined, each with a clock of its own
                    log.warning(
                        "%s: its timestamps start again after %.2f s; what follows is timed on from there",
                        shown,
                        last - first,
                    )
                    offset += last + step - time
                    time = last + step
                else:
                    time = last
            first = time if first is None else first
            last = time
            if (since := time - first) + 1e-6 < due:
                continue
            if taken == MAX_FRAMES:
                raise VideoError(
                    f"{shown} gives more than {MAX_FRAMES} frames; take fewer a second (now {rate or 'all'}), or cut the video into parts"
                )
            yield Frame(taken, since, _upright(frame, stream, shown))
            taken += 1
            if rate is not None:
                due = (math.floor(since * rate + 1e-6) + 1) / rate
        if first is None:
            raise VideoError(f"{shown} holds no frame; export the video again")
        declared = _declared(container, stream)
        ended = max(last, last - first)  # a container's length may count from 0 where its first frame comes later
        if declared is not None and declared - ended > max(_CUT_SECONDS, _CUT_SHARE * declared) + step:
            raise VideoError(
                f"{shown} is cut short: it says {declared:.1f} s and ends at {ended:.1f} s; download or export it again"
            )


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any, str]]:
    try:
        import av
    except ImportError as error:
        raise missing_extra("reading videos", "video", error) from error
    shown = repr(Path(path).name[:200])
    if not os.path.isfile(path):  # Path's own method raises for a name that is too long
        raise VideoError(f"there is no video file {str(path)[:200]!r}; check the path")
    with Path(path).open("rb") as file:  # a file object: the library opens nothing by name, and no network
        try:
            container = av.open(file, options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"})
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            raise VideoError(
                f"{shown} cannot be read as a video ({_reason(error)}); give an MP4, MOV, MKV, WebM, AVI, MPEG or Ogg file"
            ) from error
        with container:
            if not container.streams.video:
                raise VideoError(
                    f"{shown} has no picture, only {', '.join(s.type for s in container.streams) or 'nothing'}; give a video"
                )
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{shown} is written in a codec that is not known here; convert it to H.264")
            _check_size(stream.codec_context.width, stream.codec_context.height, shown)
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may change its size later
            yield container, stream, shown


def _decoded(container: Any, stream: Any, shown: str) -> Iterator[Any]:
    """Every whole frame; errors of the library become ours, with the time that was reached."""
    import av

    time, count = 0.0, 0
    try:
        for frame in container.decode(stream):
            time, count = frame.time if frame.time is not None else time, count + 1
            if frame.is_corrupt:
                log.warning("%s: the frame at %.2f s is damaged and left out", shown, time)
                continue
            yield frame
    except (av.error.FFmpegError, IndexError) as error:
        where = f"after {count} frames, at {time:.1f} s" if count else "at its first frame"
        raise VideoError(f"{shown} is damaged {where} ({_reason(error)}); download or export it again") from error


def _upright(frame: Any, stream: Any, shown: str) -> Image.Image:
    """The frame as people see it: square pixels, turned as the file says."""
    shape = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = max(1, round(frame.width * shape)), frame.height
    _check_size(width, height, shown)
    pixels = (
        frame.to_ndarray(format="rgb24", width=width, height=height)
        if width != frame.width
        else frame.to_ndarray(format="rgb24")
    )
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)))


def _check_size(width: int, height: int, shown: str) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{shown} has frames of {width}x{height} = {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS // 10**6}. Scale it down"
        )


def _declared(container: Any, stream: Any) -> float | None:
    """Seconds that the header promises for the picture; a file's own length counts where nothing but the picture is in it."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
