"""Face quality: warnings about blur, light, size, pose, and non-faces."""

from __future__ import annotations

from emotion_hub.quality.assess import crop_warnings, detected_warnings
from emotion_hub.quality.deferred import DeferredWarnings
from emotion_hub.quality.face_warning import CODES, NOT_A_FACE, FaceWarning
from emotion_hub.quality.thresholds import THRESHOLDS, Thresholds

__all__ = [
    "CODES",
    "NOT_A_FACE",
    "THRESHOLDS",
    "DeferredWarnings",
    "FaceWarning",
    "Thresholds",
    "crop_warnings",
    "detected_warnings",
]
