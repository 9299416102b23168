"""A video to a timeline: frames at a rate, faces tracked, probabilities smoothed."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emotion_hub.errors import VideoError
from emotion_hub.faces import Face
from emotion_hub.predictor import EmotionPredictor, locate
from emotion_hub.video.annotate import AnnotatedVideo, draw_sightings
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
    """The timeline of a video: who is where in `rate` frames a second (None: all) and with which expression.

    A face keeps its track id until it was not seen for `max_gap` seconds. `smoothing` is the time constant in seconds (see `Smoother`). `whole` takes
    each frame as one face. `annotated` names an .mp4 to write the frames to, with what was found drawn on them. A damaged or cut file raises
    VideoError; with `partial` the timeline up to there comes back instead, if a frame could be read, and says so in `damage`. Frames are read, used
    and let go one by one. `progress` shows a bar on standard error.
    """
    frames = read_frames(path, rate)
    info = probe_video(path)
    tracker, smoother = Tracker(max_gap=max_gap), Smoother(smoothing)
    sightings: list[TrackedFace] = []
    count, last, damage = 0, 0.0, None
    plan = min(rate or info.rate or 25.0, info.rate or math.inf)
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(AnnotatedVideo(annotated, plan)) if annotated else None
        try:
            for frame in _shown(frames, info.duration, progress):
                found = _see(frame, predictor, tracker, smoother, whole)
                sightings += found
                if video is not None:
                    video.add(draw_sightings(frame.image, found), frame.time)
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
        tuple(sightings),
        damage,
    )


def _see(
    frame: Frame, predictor: EmotionPredictor, tracker: Tracker, smoother: Smoother, whole: bool
) -> list[TrackedFace]:
    """The faces of one frame, in the order of their tracks."""
    faces = locate(frame.image, predictor.detector, whole=whole).faces
    tracks = tracker.update(frame.time, [face.bbox for face in faces])  # also without a face: time goes on
    if not faces:
        return []
    probs = predictor.probs(predictor.backend.logits(predictor.preprocessor.batch(face.image for face in faces)))
    labels = predictor.classes.labels
    found = []
    for face, track, raw in zip(faces, tracks, probs, strict=True):
        smooth = smoother.update(track, frame.time, raw)
        found.append(
            _sighting(
                frame,
                face,
                track,
                dict(zip(labels, _floats(raw), strict=True)),
                dict(zip(labels, _floats(smooth), strict=True)),
            )
        )
    return sorted(found, key=lambda sighting: sighting.track)


def _sighting(frame: Frame, face: Face, track: int, raw: dict[str, float], smooth: dict[str, float]) -> TrackedFace:
    return TrackedFace(frame.index, frame.time, track, face.bbox, raw, smooth, face.score, face.detector)


def _floats(values: np.ndarray) -> list[float]:
    return [float(value) for value in values]


def _shown(frames: Iterator[Frame], duration: float | None, progress: bool) -> Iterator[Frame]:
    """The frames, with a bar in seconds of the video when asked for."""
    if not progress:
        yield from frames
        return
    from tqdm import tqdm

    form = "{l_bar}{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}]" if duration else "{n:.1f} s [{elapsed}]"
    with tqdm(total=duration, bar_format=form) as bar:
        for frame in frames:
            yield frame
            bar.update(min(frame.time, duration or frame.time) - bar.n)
