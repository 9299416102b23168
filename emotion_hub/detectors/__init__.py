"""Face detectors: the FaceDetector interface, YuNet, and the registry."""

from __future__ import annotations

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.none import WholeImageDetector
from emotion_hub.detectors.registry import DETECTOR_VARIABLE, DETECTORS, default_detector, detector_or, get_detector
from emotion_hub.detectors.yunet import YUNET_VARIABLE, YuNetDetector

__all__ = [
    "DETECTORS",
    "DETECTOR_VARIABLE",
    "YUNET_VARIABLE",
    "Box",
    "Detection",
    "FaceDetector",
    "Framing",
    "WholeImageDetector",
    "YuNetDetector",
    "default_detector",
    "detector_or",
    "get_detector",
]
