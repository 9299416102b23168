"""Registry of face detectors, and the default detector."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from emotion_hub.detectors.base import FaceDetector
from emotion_hub.detectors.yunet import MODEL_FILE, YUNET_VARIABLE, YuNetDetector
from emotion_hub.errors import DetectorError
from emotion_hub.lazy import load_attribute

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "DETECTOR_VARIABLE",
    "default_detector",
    "detector_or",
    "get_detector",
    "packaged_yunet",
]

#: The environment variable with the name of the default detector.
DETECTOR_VARIABLE = "EMOTION_HUB_DETECTOR"

#: The default detector where that variable is not set.
DEFAULT_DETECTOR = "yunet"


def packaged_yunet() -> FaceDetector:
    """YuNet from the packaged file, or from the file that `EMOTION_HUB_YUNET` names."""
    path = os.environ.get(YUNET_VARIABLE, "")
    if path and not Path(path).is_file():
        raise DetectorError(
            f"{YUNET_VARIABLE}={path!r} names no file; give it the path of a YuNet ONNX file, or unset it to use the "
            "packaged one"
        )
    return _yunet(path or str(MODEL_FILE))


@lru_cache(maxsize=4)
def _yunet(path: str) -> FaceDetector:
    return YuNetDetector(path)


#: {name: "module:function" in `emotion_hub.detectors`}, called without arguments. Threads may share the detector.
DETECTORS: dict[str, str] = {
    "none": "none:WholeImageDetector",
    "yunet": "registry:packaged_yunet",
}


def get_detector(detector: FaceDetector | str) -> FaceDetector:
    """The detector of a registered name; a detector is returned as it is. Raises DetectorError for an unknown name."""
    if not isinstance(detector, str):
        return detector
    return _build(detector, f"no face detector {detector!r}")


def detector_or(detector: FaceDetector | str | None, default: FaceDetector | None) -> FaceDetector | None:
    """`get_detector` of the detector, or `default` where it is None."""
    return default if detector is None else get_detector(detector)


def default_detector() -> FaceDetector:
    """The detector that `EMOTION_HUB_DETECTOR` names, or YuNet where it is not set or empty.

    Raises DetectorError when it names an unknown detector, and when `EMOTION_HUB_YUNET` names no file or a file that
    is not YuNet.
    """
    name = os.environ.get(DETECTOR_VARIABLE) or DEFAULT_DETECTOR
    return _build(name, f"{DETECTOR_VARIABLE}={name!r} names no face detector")


def _build(name: str, unknown: str) -> FaceDetector:
    """The registered detector; raises DetectorError that begins with `unknown` for a name that is not registered."""
    if name not in DETECTORS:
        raise DetectorError(f"{unknown}; choose from {', '.join(DETECTORS)}")
    return load_attribute("emotion_hub.detectors", DETECTORS[name])()
