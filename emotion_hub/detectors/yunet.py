"""YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) through OpenCV."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.detectors.base import Detection, Framing
from emotion_hub.errors import DetectorError, InputError, MissingDependencyError

__all__ = ["YUNET_FILE", "YUNET_REPOSITORY", "YUNET_SHA256", "YUNET_VARIABLE", "YuNetDetector"]

#: Where the file is on the Hub.
YUNET_REPOSITORY, YUNET_FILE = "opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx"

#: What that file's content hashes to; what the Hub gives must be this.
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

#: The environment variable that names YuNet's ONNX file.
YUNET_VARIABLE = "EMOTION_HUB_YUNET"


class YuNetDetector:
    """YuNet, the 2023mar ONNX file of `opencv/face_detection_yunet`. Thread safe: calls take turns."""

    name = "YuNet"
    framing = Framing(scale=0.97, down=0.0)  # training/studies/framing.md

    #: Long sides in pixels at which a photo is looked at. The second, slower look is for small faces in large photos.
    LOOKS = (640, 1600)

    def __init__(self, model: str | Path, *, threshold: float = 0.6) -> None:
        """Load the ONNX file; raises DetectorError when it is missing or not YuNet."""
        try:
            import cv2
        except ImportError as error:
            raise MissingDependencyError("YuNet needs OpenCV: pip install opencv-python-headless") from error
        if not 0 < threshold < 1:
            raise InputError(f"threshold={threshold!r}: a score lies between 0 and 1")
        path = Path(model)
        if not path.is_file():
            raise DetectorError(f"no YuNet file at {str(model)!r}; {YUNET_VARIABLE} or the argument must name {YUNET_FILE}")
        self._lock = threading.Lock()
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns each time that its engine chooses the target
        try:
            data = np.fromfile(path, dtype=np.uint8)
            self._net = cv2.FaceDetectorYN.create("onnx", data, np.empty(0, np.uint8), (320, 320), threshold, 0.3, 5000)
            self._net.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise DetectorError(f"{path.name!r} is not YuNet's ONNX file ({str(error).strip().splitlines()[-1]})") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, image: Image.Image) -> list[Detection]:
        """Faces of about 10 pixels and more (at the look's size); `score` is the network's, 0..1."""
        longest = max(image.size)
        found = self._look(image, min(1.0, self.LOOKS[0] / longest))
        largest = max((d.bbox[3] - d.bbox[1] for d in found), default=0.0)
        if longest > 2 * self.LOOKS[0] and largest < 0.1 * longest:
            closer = self._look(image, min(1.0, self.LOOKS[1] / longest))
            found = closer if len(closer) >= len(found) else found
        return found

    def _look(self, image: Image.Image, scale: float) -> list[Detection]:
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        with self._lock:
            self._net.setInputSize(image.size)
            _, rows = self._net.detect(pixels)
        return [_detection(row, scale) for row in ([] if rows is None else rows)]


def _detection(row: Any, scale: float) -> Detection:
    left, top, width, height = (float(v) / scale for v in row[:4])
    points = tuple((float(row[i]) / scale, float(row[i + 1]) / scale) for i in range(4, 14, 2))
    return Detection((left, top, left + width, top + height), float(row[14]), points)
