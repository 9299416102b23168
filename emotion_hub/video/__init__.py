"""Video analysis: tracked faces, smoothed probabilities, timeline.

Frames are sampled at a rate; the result can be written as CSV, as a plot and as an annotated copy of the video.

    from emotion_hub import EmotionPredictor
    from emotion_hub.video import analyse_video
    analyse_video("clip.mp4", EmotionPredictor.from_pretrained("native48")).to_csv("clip.csv")
"""

from __future__ import annotations

from emotion_hub.video.analysis import analyse_video
from emotion_hub.video.frames import DEFAULT_RATE, VIDEO_SUFFIXES, Frame, VideoInfo, probe_video, read_frames
from emotion_hub.video.smoothing import DEFAULT_SECONDS, Smoother
from emotion_hub.video.timeline import Timeline, TrackedFace
from emotion_hub.video.tracking import Tracker

__all__ = [
    "DEFAULT_RATE",
    "DEFAULT_SECONDS",
    "VIDEO_SUFFIXES",
    "Frame",
    "Smoother",
    "Timeline",
    "TrackedFace",
    "Tracker",
    "VideoInfo",
    "analyse_video",
    "probe_video",
    "read_frames",
]
