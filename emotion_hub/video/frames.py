"""Frame reading: a video's frames at a chosen rate, upright and timed.

No other module of the project opens videos.
"""

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

#: Frames per second that are analysed: an expression lasts half a second or more.
DEFAULT_RATE = 5.0

#: Maximum number of frames from one file: more than five hours at the default rate.
MAX_FRAMES = 100_000

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".3gp")

#: Container formats that hold the frames themselves. A playlist names other files, which an untrusted video could make
#: this process open.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg"

#: A stream was cut short when it ends earlier than its header states, by this share of its duration and by at least
#: this many seconds.
_CUT_SHARE, _CUT_SECONDS = 0.02, 0.5

#: A frame is out of order when its time is at most this many frames before the last one's; if the time is earlier
#: still, the clock has restarted.
_OUT_OF_ORDER = 3


@dataclass(frozen=True)
class VideoInfo:
    """A video's header: upright size in pixels, codec, duration in seconds, number of frames, mean frames per second.

    Values that the header lacks are None.
    """

    width: int
    height: int
    codec: str
    duration: float | None = None
    frames: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Frame:
    """A frame: its position among the frames taken, seconds since the video's first frame, the upright RGB picture."""

    index: int
    time: float
    image: Image.Image


def probe_video(path: str | Path) -> VideoInfo:
    """The header of a video, with the size of its first frame. Raises VideoError for a file that is not a video."""
    with _opened(path) as (container, stream, name):
        frame = next(_decoded(container, stream, name), None)
        if frame is None:
            raise VideoError(f"{name} holds no frame; export the video again")
        width, height = _upright(frame, stream, name).size
        rate = float(stream.average_rate) if stream.average_rate else None
        duration = _declared_duration(container, stream)
        return VideoInfo(width, height, stream.codec_context.name, duration, stream.frames or None, rate)


def read_frames(path: str | Path, rate: float | None = DEFAULT_RATE) -> Iterator[Frame]:
    """The frames of a video, `rate` per second by their timestamps; every frame where `rate` is None.

    The first frame at or after each multiple of 1/rate seconds is taken, so a variable frame rate has no effect.
    Rotation and pixel aspect ratio are applied. Times never decrease: where timestamps restart, as in joined parts,
    they are continued. One frame is in memory at a time.

    Raises InputError for an invalid rate, and VideoError for a file that is not a video, for frames over the pixel
    limit of pictures, for more than MAX_FRAMES, and at the position where the file is damaged or truncated, after the
    frames before it.
    """
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(f"rate={rate!r}: give frames per second above 0, or None for every frame")
    return _sampled(path, rate)


def _sampled(path: str | Path, rate: float | None) -> Iterator[Frame]:
    with _opened(path) as (container, stream, name):
        step = 1 / float(stream.average_rate or 25)
        first: float | None = None
        last = 0.0
        count, due, offset = 0, 0.0, 0.0
        for frame in _decoded(container, stream, name):
            expected = 0.0 if first is None else last + step
            time = expected if frame.time is None else frame.time + offset
            if first is None:
                first = time
            elif time < last:
                if last - time > _OUT_OF_ORDER * step:  # joined parts, each with its own clock
                    log.warning(
                        "%s: its timestamps restart after %.2f s; the following frames are timed from there",
                        name,
                        last - first,
                    )
                    offset += last + step - time
                    time = expected
                else:
                    time = last
            last = time
            if (since := time - first) + 1e-6 < due:
                continue
            if count == MAX_FRAMES:
                raise VideoError(
                    f"{name} gives more than {MAX_FRAMES} frames; take fewer per second (now {rate or 'all'}), or cut"
                    " the video into parts"
                )
            yield Frame(count, since, _upright(frame, stream, name))
            count += 1
            if rate is not None:
                due = (math.floor(since * rate + 1e-6) + 1) / rate
        if first is None:
            raise VideoError(f"{name} holds no frame; export the video again")
        declared = _declared_duration(container, stream)
        end = max(last, last - first)  # a container may count its duration from 0 although its first frame comes later
        if declared is not None and declared - end > max(_CUT_SECONDS, _CUT_SHARE * declared) + step:
            raise VideoError(
                f"{name} is cut short: its header states {declared:.1f} s and it ends at {end:.1f} s;"
                " download or export it again"
            )


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any, str]]:
    """The container, its first video stream and the file's name for messages. Raises VideoError for other files."""
    try:
        import av
    except ImportError as error:
        raise missing_extra("reading videos", "video", error) from error
    name = repr(Path(path).name[:200])
    if not os.path.isfile(path):  # Path's own method raises for a name that is too long
        raise VideoError(f"there is no video file {str(path)[:200]!r}; check the path")
    with Path(path).open("rb") as file:  # a file object, so that the library opens no other file and no network address
        try:
            container = av.open(file, options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"})
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            raise VideoError(
                f"{name} cannot be read as a video ({_reason(error)});"
                " give an MP4, MOV, MKV, WebM, AVI, MPEG or Ogg file"
            ) from error
        with container:
            if not container.streams.video:
                kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
                raise VideoError(f"{name} has no video stream, only {kinds}; give a video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{name} uses a codec that is not supported here; convert it to H.264")
            _check_size(stream.codec_context.width, stream.codec_context.height, name)
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may change its size later
            yield container, stream, name


def _decoded(container: Any, stream: Any, name: str) -> Iterator[Any]:
    """Every undamaged frame. Raises VideoError for an error of the library, with the time that was reached."""
    import av

    time, count = 0.0, 0
    try:
        for frame in container.decode(stream):
            time, count = frame.time if frame.time is not None else time, count + 1
            if frame.is_corrupt:
                log.warning("%s: the frame at %.2f s is damaged and skipped", name, time)
                continue
            yield frame
    except (av.error.FFmpegError, IndexError) as error:
        where = f"after {count} frames, at {time:.1f} s" if count else "at its first frame"
        raise VideoError(f"{name} is damaged {where} ({_reason(error)}); download or export it again") from error


def _upright(frame: Any, stream: Any, name: str) -> Image.Image:
    """The frame as an RGB picture with square pixels, rotated as the file states."""
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = max(1, round(frame.width * aspect)), frame.height
    _check_size(width, height, name)
    if width == frame.width:
        pixels = frame.to_ndarray(format="rgb24")
    else:
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)))


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        size = f"{width}x{height} = {width * height / 1e6:.0f} megapixels"
        raise VideoError(f"{name} has frames of {size}; the limit is {MAX_PIXELS // 10**6}. Scale it down")


def _declared_duration(container: Any, stream: Any) -> float | None:
    """The duration of the video stream by the header, in seconds; None where it is unknown.

    The file's own duration is used where it has no other stream.
    """
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
