"""Face detectors behind one protocol; YuNet is the one that ships."""

from __future__ import annotations

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.default import default_detector
from emotion_hub.detectors.yunet import YUNET_VARIABLE, YuNetDetector

__all__ = ["YUNET_VARIABLE", "Box", "Detection", "FaceDetector", "Framing", "YuNetDetector", "default_detector"]
