"""YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) on ONNX Runtime; the file ships in the package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.detectors.base import Detection, Framing
from emotion_hub.errors import CheckpointError, DetectorError, InputError

__all__ = ["MODEL_FILE", "YUNET_VARIABLE", "YuNetDetector", "decode"]

#: The packaged file: OpenCV's face_detection_yunet_2023mar.onnx for any input size, written by `python -m training.yunet`.
MODEL_FILE = Path(__file__).with_name("yunet.onnx")

#: The environment variable that names another YuNet file.
YUNET_VARIABLE = "EMOTION_HUB_YUNET"

#: Pixels between two positions of each of the network's three grids.
STRIDES = (8, 16, 32)

#: Boxes that overlap a better one by more than this share of their union are dropped; OpenCV's value.
OVERLAP = 0.3


class YuNetDetector:
    """Thread safe: the session is shared, and nothing is kept between calls."""

    name = "YuNet"
    framing = Framing(scale=0.97, down=0.0)  # training/studies/framing.md

    #: Long sides in pixels at which a photo is looked at. The second, slower look is for small faces in large photos.
    LOOKS = (640, 1600)

    def __init__(self, model: str | Path = MODEL_FILE, *, threshold: float = 0.6) -> None:
        """Load the ONNX file; raises DetectorError when it is missing or is not YuNet."""
        if not 0 < threshold < 1:
            raise InputError(f"threshold={threshold!r}: a score lies between 0 and 1")
        path = Path(model)
        if not path.is_file():
            raise DetectorError(f"no YuNet file at {str(model)!r}; leave it out to use the packaged one")
        self.threshold = threshold
        self._session, self._fixed = _opened(path)

    def detect(self, image: Image.Image) -> list[Detection]:
        """Faces of about 10 pixels and more (at the look's size), best score first; `score` is the network's, 0..1."""
        longest = max(image.size)
        found = self._look(image, min(1.0, self.LOOKS[0] / longest))
        largest = max((d.bbox[3] - d.bbox[1] for d in found), default=0.0)
        if longest > 2 * self.LOOKS[0] and largest < 0.1 * longest and self._fixed is None:
            closer = self._look(image, min(1.0, self.LOOKS[1] / longest))
            found = closer if len(closer) >= len(found) else found
        return found

    def _look(self, image: Image.Image, scale: float) -> list[Detection]:
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        rows = decode(self._run(_pixels(image, self._fixed)), self.threshold)
        return [_detection(row, scale) for row in rows]

    def _run(self, pixels: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        names = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
        outputs = [output[0] for output in self._session.run(names, {"input": pixels})]
        columns = pixels.shape[-1]
        return [
            (np.asarray([stride, columns // stride]), *outputs[4 * i : 4 * i + 4]) for i, stride in enumerate(STRIDES)
        ]


@lru_cache(maxsize=4)
def _opened(path: Path) -> tuple[Any, tuple[int, int] | None]:
    """The session of a file, and its (height, width) where it takes only one; raises DetectorError for another network."""
    from emotion_hub.onnx.runtime import open_session

    try:
        session = open_session(path)
    except CheckpointError as error:
        raise DetectorError(f"{path.name!r} is not YuNet's ONNX file ({error})") from error
    wanted = {f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")}
    shape = session.get_inputs()[0].shape
    if (
        wanted - {output.name for output in session.get_outputs()}
        or session.get_inputs()[0].name != "input"
        or len(shape) != 4
    ):
        raise DetectorError(
            f"{path.name!r} is not YuNet's ONNX file: its outputs are {', '.join(output.name for output in session.get_outputs()[:4])}, ..."
        )
    return session, (shape[2], shape[3]) if isinstance(shape[2], int) else None


def _pixels(image: Image.Image, fixed: tuple[int, int] | None) -> np.ndarray:
    """float32, (1, 3, H, W), BGR levels 0..255, black at the right and the bottom up to the next multiple of 32."""
    height, width = fixed or (-(-image.height // 32) * 32, -(-image.width // 32) * 32)
    pixels = np.zeros((1, 3, height, width), np.float32)
    pixels[0, :, : image.height, : image.width] = np.asarray(image)[..., ::-1].transpose(2, 0, 1)[:, :height, :width]
    return pixels


def decode(grids: list[tuple[np.ndarray, ...]], threshold: float) -> np.ndarray:
    """float32, (N, 15), as `cv2.FaceDetectorYN`: x, y, width, height, five points, score; best score first.

    Each grid is ((stride, columns), classification, objectness, boxes, points). A score is the root of the first two's product; a position's centre is
    (column + dx, row + dy) times the stride, its size exp(w), exp(h) times the stride.
    """
    found = []
    for (stride, columns), classes, objects, boxes, points in grids:
        scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
        kept = np.flatnonzero(scores >= threshold)
        cell = np.stack([kept % columns, kept // columns], axis=1).astype(np.float32)
        centre, size = (cell + boxes[kept, :2]) * stride, np.exp(boxes[kept, 2:]) * stride
        five = (points[kept].reshape(-1, 5, 2) + cell[:, None]) * stride
        found.append(np.concatenate([centre - size / 2, size, five.reshape(-1, 10), scores[kept, None]], axis=1))
    rows = np.concatenate(found).astype(np.float32)
    return _without_overlaps(rows[np.argsort(-rows[:, 14], kind="stable")])


def _without_overlaps(rows: np.ndarray) -> np.ndarray:
    """The rows that no better one overlaps; boxes are compared in whole pixels, as OpenCV does."""
    boxes = np.trunc(rows[:, :4])
    left, top, right, bottom = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    areas, kept, alive = boxes[:, 2] * boxes[:, 3], [], np.ones(len(rows), bool)
    for i in range(len(rows)):
        if not alive[i]:
            continue
        kept.append(i)
        shared = np.clip(np.minimum(right, right[i]) - np.maximum(left, left[i]), 0, None)
        shared *= np.clip(np.minimum(bottom, bottom[i]) - np.maximum(top, top[i]), 0, None)
        alive &= shared <= OVERLAP * (areas + areas[i] - shared)
    return rows[kept]


def _detection(row: np.ndarray, scale: float) -> Detection:
    left, top, width, height = (float(v) / scale for v in row[:4])
    points = tuple((float(row[i]) / scale, float(row[i + 1]) / scale) for i in range(4, 14, 2))
    return Detection((left, top, left + width, top + height), float(row[14]), points)
