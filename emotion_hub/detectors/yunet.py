"""YuNet face detector on ONNX Runtime; the ONNX file is part of the package.

YuNet: Wu et al. 2023, doi:10.1007/s11633-023-1423-y. Boxes, landmarks and scores are those of OpenCV's
`cv2.FaceDetectorYN`, without OpenCV.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.detectors.base import Detection, Framing
from emotion_hub.errors import CheckpointError, DetectorError, InputError

__all__ = ["MODEL_FILE", "YUNET_VARIABLE", "YuNetDetector", "decode"]

#: The packaged file: OpenCV's face_detection_yunet_2023mar.onnx, changed to take any input size by `python -m
#: training.yunet`.
MODEL_FILE = Path(__file__).with_name("yunet.onnx")

#: The environment variable that names another YuNet file.
YUNET_VARIABLE = "EMOTION_HUB_YUNET"

#: Strides in pixels of the network's three output grids.
STRIDES = (8, 16, 32)

#: Intersection over union above which the box with the lower score is dropped; OpenCV's default.
MAX_IOU = 0.3

_OUTPUTS = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]


class YuNetDetector:
    """YuNet. Threads may share one detector: it keeps no state between calls."""

    name = "YuNet"
    framing = Framing(scale=0.97, down=0.0)  # training/studies/framing.md

    #: Long sides, in pixels, to which a photo is reduced. The second, slower pass finds small faces in large photos.
    PASS_SIDES = (640, 1600)

    def __init__(self, model: str | Path = MODEL_FILE, *, threshold: float = 0.6, threads: int | None = None) -> None:
        """Load the ONNX file `model`; faces with a score below `threshold` are dropped.

        `threads` is the number of threads of one call, by default the machine's cores. Raises InputError for a
        threshold outside 0..1 and DetectorError for a file that is missing or not YuNet.
        """
        if not 0 < threshold < 1:
            raise InputError(f"threshold={threshold!r}: give a score between 0 and 1")
        path = Path(model)
        if not path.is_file():
            raise DetectorError(f"no YuNet file at {str(model)!r}; leave it out to use the packaged one")
        self.threshold = threshold
        self._session, self._fixed_size = _open_session(path, threads)

    def detect(self, image: Image.Image) -> list[Detection]:
        """The faces of an upright RGB image, best score first; scores are the network's, 0..1.

        Faces of about 10 pixels and more are found, measured after the reduction to a side of `PASS_SIDES`. The
        second pass runs on photos whose long side is over twice the first pass's, when no face of the first pass is
        taller than a tenth of that side.
        """
        first, second = self.PASS_SIDES
        long_side = max(image.size)
        detections = self._detect_at(image, min(1.0, first / long_side))
        tallest = max((d.bbox[3] - d.bbox[1] for d in detections), default=0.0)
        if long_side > 2 * first and tallest < 0.1 * long_side and self._fixed_size is None:
            closer = self._detect_at(image, min(1.0, second / long_side))
            if len(closer) >= len(detections):
                return closer
        return detections

    def _detect_at(self, image: Image.Image, scale: float) -> list[Detection]:
        """The faces of the image reduced by `scale`, 0..1, in pixels of the full image."""
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        rows = decode(self._run(_input_pixels(image, self._fixed_size)), self.threshold)
        return [_detection(row, scale) for row in rows]

    def _run(self, pixels: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """The grids that `decode` takes, for float32 pixels (1, 3, H, W)."""
        outputs = [output[0] for output in self._session.run(_OUTPUTS, {"input": pixels})]
        width = pixels.shape[-1]
        return [
            (np.asarray([stride, width // stride]), *outputs[4 * i : 4 * i + 4]) for i, stride in enumerate(STRIDES)
        ]


@lru_cache(maxsize=4)
def _open_session(path: Path, threads: int | None = None) -> tuple[Any, tuple[int, int] | None]:
    """The ONNX Runtime session of a file, and (height, width) for a file that takes only that size.

    Raises DetectorError for a file that is not YuNet.
    """
    from emotion_hub.onnx.runtime import open_session

    try:
        session = open_session(path, threads)
    except CheckpointError as error:
        raise DetectorError(f"{path.name!r} is not YuNet's ONNX file ({error})") from error
    outputs = [output.name for output in session.get_outputs()]
    shape = session.get_inputs()[0].shape
    if set(_OUTPUTS) - set(outputs) or session.get_inputs()[0].name != "input" or len(shape) != 4:
        raise DetectorError(f"{path.name!r} is not YuNet's ONNX file: its outputs are {', '.join(outputs[:4])}, ...")
    return session, (shape[2], shape[3]) if isinstance(shape[2], int) else None


def _input_pixels(image: Image.Image, fixed_size: tuple[int, int] | None) -> np.ndarray:
    """float32, (1, 3, H, W), BGR, 0..255: H and W are `fixed_size`, or the image's rounded up to a multiple of 32.

    The pixels that are added at the right and at the bottom are black.
    """
    height, width = fixed_size or (-(-image.height // 32) * 32, -(-image.width // 32) * 32)
    pixels = np.zeros((1, 3, height, width), np.float32)
    pixels[0, :, : image.height, : image.width] = np.asarray(image)[..., ::-1].transpose(2, 0, 1)[:, :height, :width]
    return pixels


def decode(grids: list[tuple[np.ndarray, ...]], threshold: float) -> np.ndarray:
    """float32, (N, 15), best score first: x, y, width, height, five points (x, y), score, as in `cv2.FaceDetectorYN`.

    Each grid is ((stride, columns), classification, objectness, boxes, points). The score is the square root of
    classification times objectness. The centre of a box is (column + dx, row + dy) times the stride, its size is
    (exp(w), exp(h)) times the stride.
    """
    faces = []
    for (stride, columns), classes, objects, boxes, points in grids:
        scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
        kept = np.flatnonzero(scores >= threshold)
        cell = np.stack([kept % columns, kept // columns], axis=1).astype(np.float32)
        centre, size = (cell + boxes[kept, :2]) * stride, np.exp(boxes[kept, 2:]) * stride
        landmarks = (points[kept].reshape(-1, 5, 2) + cell[:, None]) * stride
        faces.append(np.concatenate([centre - size / 2, size, landmarks.reshape(-1, 10), scores[kept, None]], axis=1))
    rows = np.concatenate(faces).astype(np.float32)
    return _suppress_overlaps(rows[np.argsort(-rows[:, 14], kind="stable")])


def _suppress_overlaps(rows: np.ndarray) -> np.ndarray:
    """Non-maximum suppression of rows in order of score, on boxes in whole pixels, as OpenCV does it."""
    boxes = np.trunc(rows[:, :4])
    left, top, right, bottom = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    areas, kept, remaining = boxes[:, 2] * boxes[:, 3], [], np.ones(len(rows), bool)
    for i in range(len(rows)):
        if not remaining[i]:
            continue
        kept.append(i)
        intersection = np.clip(np.minimum(right, right[i]) - np.maximum(left, left[i]), 0, None)
        intersection *= np.clip(np.minimum(bottom, bottom[i]) - np.maximum(top, top[i]), 0, None)
        remaining &= intersection <= MAX_IOU * (areas + areas[i] - intersection)
    return rows[kept]


def _detection(row: np.ndarray, scale: float) -> Detection:
    """The detection of one row of `decode`, in pixels of the full image."""
    left, top, width, height = (float(v) / scale for v in row[:4])
    points = tuple((float(row[i]) / scale, float(row[i + 1]) / scale) for i in range(4, 14, 2))
    return Detection((left, top, left + width, top + height), float(row[14]), points)
