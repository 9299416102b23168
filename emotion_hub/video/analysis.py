"""Video analysis (`analyse_video`): from frames to a timeline."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from emotion_hub.errors import VideoError
from emotion_hub.faces import locate
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.video.annotate import AnnotatedVideo, draw_tracked_faces
from emotion_hub.video.frames import DEFAULT_RATE, Frame, probe_video, read_frames
from emotion_hub.video.smoothing import DEFAULT_SECONDS, Smoother
from emotion_hub.video.timeline import Timeline, TrackedFace
from emotion_hub.video.tracking import Tracker

__all__ = ["analyse_video"]

log = logging.getLogger(__name__)


def analyse_video(
    path: str | Path,
    predictor: EmotionPredictor,
    *,
    rate: float | None = DEFAULT_RATE,
    smoothing: float = DEFAULT_SECONDS,
    max_gap: float = 1.0,
    whole: bool = False,
    annotated: str | Path | None = None,
    partial: bool = False,
    progress: bool = False,
) -> Timeline:
    """The timeline of a video: the faces in `rate` frames per second (None: all frames) with their expressions.

    A face keeps its track id until it has not been detected for `max_gap` seconds. `smoothing` is the time constant in
    seconds (see `Smoother`). `whole` takes each frame as one face. `annotated` names an .mp4 file to write, with the
    faces drawn on the frames. Frames are read, used and released one by one. `progress` shows a bar on standard error.

    Raises VideoError for a file that is not a video, and for a damaged or truncated one. With `partial` and at least
    one readable frame it returns the timeline up to the damage instead, with the reason in `damage`.
    """
    frames = read_frames(path, rate)
    info = probe_video(path)
    tracker, smoother = Tracker(max_gap=max_gap), Smoother(smoothing)
    tracked: list[TrackedFace] = []
    count, last, damage = 0, 0.0, None
    encoder_rate = min(rate or info.rate or 25.0, info.rate or math.inf)
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(AnnotatedVideo(annotated, encoder_rate)) if annotated else None
        try:
            for frame in _with_progress(frames, info.duration, progress):
                faces = _tracked_faces(frame, predictor, tracker, smoother, whole)
                tracked += faces
                if video is not None:
                    video.add(draw_tracked_faces(frame.image, faces), frame.time)
                count, last = count + 1, frame.time
        except VideoError as error:
            if not partial or not count:
                raise
            damage = str(error)
            log.warning("%s", damage)
    return Timeline(
        Path(path).name,
        predictor.name,
        predictor.classes.labels,
        rate,
        smoothing,
        count,
        last,
        tuple(tracked),
        damage,
    )


def _tracked_faces(
    frame: Frame, predictor: EmotionPredictor, tracker: Tracker, smoother: Smoother, whole: bool
) -> list[TrackedFace]:
    """The faces of one frame, in the order of their tracks."""
    faces = locate(frame.image, predictor.detector, whole=whole).faces
    tracks = tracker.update(frame.time, [face.bbox for face in faces])  # also without a face, to end old tracks
    if not faces:
        return []
    probs = predictor.probs(predictor.backend.logits(predictor.preprocessor.batch(face.image for face in faces)))
    labels = predictor.classes.labels
    tracked = []
    for face, track, raw in zip(faces, tracks, probs, strict=True):
        smooth = smoother.update(track, frame.time, raw)
        tracked.append(
            TrackedFace(
                frame.index,
                frame.time,
                track,
                face.bbox,
                _by_label(labels, raw),
                _by_label(labels, smooth),
                face.score,
                face.detector,
                tuple(warning.code for warning in face.warnings),
            )
        )
    return sorted(tracked, key=lambda face: face.track)


def _by_label(labels: tuple[str, ...], probs: np.ndarray) -> Mapping[str, float]:
    return dict(zip(labels, map(float, probs), strict=True))


def _with_progress(frames: Iterator[Frame], duration: float | None, progress: bool) -> Iterator[Frame]:
    """The frames, with a progress bar in seconds of the video where `progress` is set."""
    if not progress:
        yield from frames
        return
    from tqdm import tqdm

    form = "{l_bar}{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}]" if duration else "{n:.1f} s [{elapsed}]"
    with tqdm(total=duration, bar_format=form) as bar:
        for frame in frames:
            yield frame
            bar.update(min(frame.time, duration or frame.time) - bar.n)
