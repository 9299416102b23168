"""Faces in a photo: detectors behind one protocol, and square crops framed as the training images are.

Two detectors. YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) through OpenCV, when `EMOTION_HUB_YUNET` or an
argument names its ONNX file; otherwise the LBP cascade that scikit-image ships, which misses more and runs slower.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageOps

from emotion_hub.errors import DetectorError, InputError, MissingDependencyError
from emotion_hub.images import crop

__all__ = [
    "READY_MADE_SIDE",
    "YUNET_VARIABLE",
    "Detection",
    "Face",
    "FaceDetector",
    "Framing",
    "LbpDetector",
    "YuNetDetector",
    "default_detector",
    "find_faces",
    "whole_image",
]

YUNET_VARIABLE = "EMOTION_HUB_YUNET"

#: An image with no side longer than this is taken as a face that is cut out already.
READY_MADE_SIDE = 64

#: A shorter side than this holds no expression that a 48-pixel network could read.
SMALLEST_SIDE = 12

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Framing:
    """How to cut a square around a detector's box so that it shows what the training images show.

    The square's side is `scale` times the box's longer side; its centre lies `down` sides below the box's centre. The
    figures come from `python -m training.framing_study`, which measures each detector's boxes on FER2013 faces.
    """

    scale: float
    down: float

    def square(self, bbox: tuple[float, float, float, float]) -> Box:
        """The square (left, top, right, bottom) in whole pixels; it may reach over the image's border."""
        left, top, right, bottom = bbox
        side = max(1, round(self.scale * max(right - left, bottom - top)))
        x = (left + right) / 2 - side / 2
        y = (top + bottom) / 2 + self.down * side - side / 2
        return (round(x), round(y), round(x) + side, round(y) + side)


@dataclass(frozen=True)
class Detection:
    """A detector's answer: `bbox` xyxy in pixels of the image, `score` comparable within one detector only."""

    bbox: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.bbox[2] - self.bbox[0]) * (self.bbox[3] - self.bbox[1])


@runtime_checkable
class FaceDetector(Protocol):
    """Anything that finds faces. Detectors must be safe to call from several threads."""

    name: str
    framing: Framing

    def detect(self, image: Image.Image) -> list[Detection]:
        """The faces of an upright RGB image, in any order; an empty list when there is none."""
        ...


@dataclass(frozen=True)
class Face:
    """A face cut out of a photo.

    `image` is the square RGB crop; `bbox` the detector's box xyxy in whole pixels, inside the photo; `square` the crop's
    box, which may reach over the border (edge pixels are repeated there); `score` and `detector` are None when the whole
    image was taken.
    """

    image: Image.Image
    bbox: Box
    square: Box
    score: float | None = None
    detector: str | None = None


def find_faces(image: Image.Image, detector: FaceDetector | None = None) -> list[Face]:
    """The faces of an upright RGB image, largest first; empty when there is none.

    An image of at most 64 pixels a side is a ready-made crop and is used whole. `detector` defaults to
    `default_detector()`.
    """
    if min(image.size) < SMALLEST_SIDE:
        return []
    if max(image.size) <= READY_MADE_SIDE:
        return [whole_image(image)]
    detector = detector or default_detector()
    found = sorted(detector.detect(image), key=lambda d: d.area, reverse=True)
    faces = []
    for detection in found:
        bbox = _inside(detection.bbox, image)
        if bbox is None:
            continue
        square = detector.framing.square(detection.bbox)
        faces.append(Face(crop(image, square), bbox, square, round(detection.score, 4), detector.name))
    return faces


def whole_image(image: Image.Image) -> Face:
    """The image itself as the face, for callers who know it is one; preprocessing pads it to a square."""
    box = (0, 0, image.width, image.height)
    return Face(image, box, box)


def _inside(bbox: tuple[float, float, float, float], image: Image.Image) -> Box | None:
    """The box in whole pixels cut to the image, or None when nothing of it is inside."""
    left, top = max(0, round(bbox[0])), max(0, round(bbox[1]))
    right, bottom = min(image.width, round(bbox[2])), min(image.height, round(bbox[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None


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
            raise DetectorError(f"no YuNet file at {str(model)!r}; {YUNET_VARIABLE} or the argument must name face_detection_yunet_2023mar.onnx")
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
    return Detection((left, top, left + width, top + height), float(row[14]))


class LbpDetector:
    """scikit-image's LBP cascade for frontal faces, asked several times and believed when the answers agree.

    One pass of the cascade misses faces and sees some in fur and gravel, but a face draws many neighbouring windows
    and draws them again when the picture is mirrored, turned a little or widened; a texture draws few. So the windows
    of all looks are counted, and a spot that draws enough is a face. Each look shrinks the
    picture under a fixed 24-pixel window, as the cascade was trained; scikit-image's own way, a growing window,
    truncates its features to whole pixels. Thread safe: calls take turns.
    """

    name = "LBP cascade"
    framing = Framing(scale=1.03, down=0.0)  # training/studies/framing.md

    #: Mirrored, degrees turned, widening, and by what part of a step the pyramid starts lower.
    LOOKS = ((True, 0, 0.9, 0.75), (False, 8, 1.0, 0.25), (True, 0, 1.22, 0.0), (False, -8, 1.0, 0.75))
    #: Geometric mean of the sides in pixels at which a photo is looked at, and how far it is enlarged for that at most.
    AT = (400, 1.0)
    #: A crowd, where the largest face takes less than this part of the longer side, is looked at again, three times.
    CROWD, CROWD_AT = 0.1, (600, 1.6)
    #: Windows a look that make a spot certain (score 1), and the least score of a face. On the photos this was set with,
    #: also rescaled, mirrored, darkened and cropped, textures reach 0.35; faces start at 0.42, but one mirrored one at 0.33.
    CERTAIN, MIN_SCORE = 10, 0.4
    #: Of two spots that overlap by more than this part of the smaller, the clearer one stays.
    MAX_OVERLAP = 0.3

    WINDOW = 24
    STEP = 1.15
    #: Edge pixels repeated around each level, so that a face filling the picture has room.
    MARGIN = 6

    def __init__(self) -> None:
        """Load the cascade from scikit-image's wheel; raises MissingDependencyError without scikit-image."""
        try:
            from skimage.data import lbp_frontal_face_cascade_filename
            from skimage.feature import Cascade
        except ImportError as error:
            raise MissingDependencyError("the fallback face detector needs scikit-image: pip install scikit-image") from error
        self._cascade = Cascade(lbp_frontal_face_cascade_filename())
        self._lock = threading.Lock()

    def detect(self, image: Image.Image) -> list[Detection]:
        """Upright frontal faces, clearest first; `score` is 1 from ten windows a look on, and lower in proportion."""
        gray = image.convert("L")
        found = self._agreed(gray, self.LOOKS, self.AT)
        largest = max((d.bbox[2] - d.bbox[0] for d in found), default=math.inf)
        if largest < self.CROWD * max(image.size):
            closer = self._agreed(gray, self.LOOKS[:3], self.CROWD_AT)
            found = closer if len(closer) >= len(found) else found
        return found

    def _agreed(self, gray: Image.Image, looks: tuple[tuple[bool, int, float, float], ...], at: tuple[int, float]) -> list[Detection]:
        """The spots that drew enough windows, in all looks or all but one, without those that overlap a clearer one."""
        scale = min(at[1], at[0] / math.sqrt(gray.width * gray.height))
        hits = np.concatenate([self._look(gray, scale, *look, number) for number, look in enumerate(looks)])
        certain = self.CERTAIN * len(looks)
        found: list[Detection] = []
        for spot in _spots(hits, math.ceil(self.MIN_SCORE * certain)):
            x, y, side = np.median(spot[:, :3], axis=0).tolist()
            bbox = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
            seen = len(np.unique(spot[:, 3])) >= len(looks) - 1
            if seen and all(_overlap(bbox, other.bbox) <= self.MAX_OVERLAP for other in found):
                found.append(Detection(bbox, min(1.0, len(spot) / certain)))
        return found

    def _look(self, gray: Image.Image, scale: float, mirrored: bool, degrees: int, widening: float, start: float, number: int) -> np.ndarray:
        """float64, (N, 4): centre x, centre y and side in photo pixels of each accepted window, and the look's number."""
        stretch = math.sqrt(widening)
        width, height = max(1, round(gray.width * scale * stretch)), max(1, round(gray.height * scale / stretch))
        view = gray.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        if mirrored:
            view = ImageOps.mirror(view)
        if degrees:
            view = view.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=round(float(np.asarray(view).mean())))
        windows = self._windows(view, self.STEP**-start)
        if degrees:
            cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            x, y = windows[:, 0] - width / 2, windows[:, 1] - height / 2
            windows[:, 0], windows[:, 1] = cos * x - sin * y + width / 2, sin * x + cos * y + height / 2
        if mirrored:
            windows[:, 0] = width - windows[:, 0]
        across, down = gray.width / width, gray.height / height
        return np.column_stack([windows * (across, down, math.sqrt(across * down)), np.full(len(windows), float(number))])

    def _windows(self, view: Image.Image, scale: float) -> np.ndarray:
        """float64, (N, 3): centre x, centre y and side, in pixels of `view`, of the windows that the cascade accepts."""
        windows = []
        smallest = self.WINDOW - 4
        while min(view.size) * scale >= smallest:
            size = (round(view.width * scale), round(view.height * scale))
            level = np.asarray(view.resize(size, Image.Resampling.BILINEAR)).astype(np.float32)
            # whole numbers around zero keep the cascade's float32 integral image exact; LBP is blind to the offset
            level = np.pad(level - round(float(level.mean())), self.MARGIN, mode="edge")
            with self._lock:  # one window size; a threshold of 1 keeps scikit-image from merging the windows
                accepted = self._cascade.detect_multi_scale(level, 1.2, 1.0, (self.WINDOW, self.WINDOW), (self.WINDOW + 1, self.WINDOW + 1), 1, 1.0)
            across, down = view.width / size[0], view.height / size[1]
            middle = self.WINDOW / 2 - self.MARGIN
            windows += [((w["c"] + middle) * across, (w["r"] + middle) * down, self.WINDOW * across) for w in accepted]
            scale /= self.STEP
        return np.asarray(windows, dtype=np.float64).reshape(-1, 3)


def _spots(hits: np.ndarray, least: int) -> list[np.ndarray]:
    """Groups of at least `least` of the (N, 4) hits that lie around one of them, largest first; each hit in one group."""
    x, y, side = (hits[:, k].astype(np.float32) for k in range(3))
    smaller = np.minimum(side[:, None], side)
    near = (abs(x[:, None] - x) < 0.25 * smaller) & (abs(y[:, None] - y) < 0.25 * smaller) & (np.maximum(side[:, None], side) < 1.3 * smaller)
    free = np.ones(len(hits), dtype=bool)
    counts = near.sum(axis=0)
    spots = []
    while len(hits) and counts.max() >= least:
        members = near[counts.argmax()] & free
        spots.append(hits[members])
        counts -= near[members].sum(axis=0)
        free &= ~members
        counts[~free] = 0
    return spots


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The part of the smaller box that lies in the other, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0.0) * max(height, 0.0) / smaller


def default_detector() -> FaceDetector:
    """YuNet when `EMOTION_HUB_YUNET` names its file, else the LBP cascade; one object a process and file.

    Raises DetectorError when the variable names a file that is not YuNet: a set variable is never ignored.
    """
    return _detector(os.environ.get(YUNET_VARIABLE, ""))


@lru_cache(maxsize=4)
def _detector(path: str) -> FaceDetector:
    return YuNetDetector(path) if path else LbpDetector()
