"""Study: how much the crops that YuNet frames vary.

    python -m training.studies.jitter --data D --photos FOLDER

Two measurements. `frames`: 48-pixel faces, enlarged as in training.studies.framing; the framed crop against the
original frame of the data set. This is the change from a training face to the crop that a network is served.
`photos`: the faces of photos after small random shifts, scalings and rotations of the photo; the crop against that of
the unchanged photo. This is the part that a second picture of the same face shows.

training.augmentation.geometry draws `crop` from the first distribution. Writes figures only, never an image.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.detectors import Box, Detection, FaceDetector, YuNetDetector
from emotion_hub.images import load_image
from training.data.faces import load_split
from training.evaluation.robustness import ENLARGE, FRAME, PAD, detections
from training.studies.outcome import write_study

__all__ = ["against_frames", "main", "summary", "under_small_changes"]

#: Small changes of a photo: largest shift in pixels, scales, largest rotation in degrees, and how many are drawn.
SHIFT, SCALES, DEGREES, CHANGES = 8.0, (0.8, 1.25), 5.0, 12

#: Photos are reduced to this long side in pixels; smaller faces than SMALLEST pixels are left out.
LONG_SIDE, SMALLEST = 640, 40

PERCENTILES = (5, 25, 50, 75, 95)


def against_frames(detector: FaceDetector, faces: Sequence[Image.Image]) -> np.ndarray:
    """float64, (found, 3): log zoom, across and down of the framed crop against the face's own frame.

    Zoom is the side of the crop in sides of the frame; across and down are the movement of its centre in the same
    unit, to the right and downwards.
    """
    squares = [detector.framing.square(d.bbox) for d in detections(detector, faces) if d is not None]
    frame = (PAD * ENLARGE, PAD * ENLARGE, (PAD + FRAME) * ENLARGE, (PAD + FRAME) * ENLARGE)
    return np.array([_difference(square, frame) for square in squares]).reshape(-1, 3)


def under_small_changes(
    detector: FaceDetector, photos: Sequence[Image.Image], changes: int = CHANGES, seed: int = 0
) -> np.ndarray:
    """float64, (found, 3): as `against_frames`, of a changed photo's crop against that of the unchanged photo.

    The crop of the changed photo is mapped back first. A face that is no longer found gives no row.
    """
    generator, rows = np.random.default_rng(seed), []
    for photo in tqdm(photos, desc=f"{detector.name}: changed photos", disable=None):
        faces = [face for face in detector.detect(photo) if _side(face) >= SMALLEST]
        for _ in range(changes if faces else 0):
            matrix = _change(photo, generator)
            found = detector.detect(
                photo.transform(photo.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
            )
            scale = math.hypot(matrix[0], matrix[3])
            for face in faces:
                before = detector.framing.square(face.bbox)
                mapped = [_mapped(detector.framing.square(each.bbox), matrix, scale) for each in found]
                differences = [_difference(square, before) for square in mapped]
                near = [row for row in differences if max(map(abs, row)) < 0.5]
                rows += sorted(near, key=lambda row: math.hypot(row[1], row[2]))[:1]
    return np.array(rows).reshape(-1, 3)


def _side(face: Detection) -> float:
    return max(face.bbox[2] - face.bbox[0], face.bbox[3] - face.bbox[1])


def _change(photo: Image.Image, generator: np.random.Generator) -> tuple[float, ...]:
    """Pillow's affine matrix, from the changed to the unchanged photo: rotation and scale about its centre, shift."""
    scale = math.exp(generator.uniform(*np.log(SCALES)))
    angle = math.radians(generator.uniform(-DEGREES, DEGREES))
    across, down = generator.uniform(-SHIFT, SHIFT, 2)
    a, b = math.cos(angle) / scale, math.sin(angle) / scale
    x, y = photo.width / 2, photo.height / 2
    return (a, b, x - a * (x + across) - b * (y + down), -b, a, y + b * (x + across) - a * (y + down))


def _mapped(square: Box, matrix: Sequence[float], scale: float) -> tuple[float, ...]:
    """A square of the changed photo in the unchanged photo, upright again; `scale` is the matrix's."""
    x, y = (square[0] + square[2]) / 2, (square[1] + square[3]) / 2
    a, b, c, d, e, f = matrix
    x, y, half = a * x + b * y + c, d * x + e * y + f, scale * (square[2] - square[0]) / 2
    return (x - half, y - half, x + half, y + half)


def _difference(square: Sequence[float], frame: Sequence[float]) -> tuple[float, float, float]:
    side = frame[2] - frame[0]
    across, down = (((square[i] + square[i + 2]) - (frame[i] + frame[i + 2])) / 2 / side for i in (0, 1))
    return math.log((square[2] - square[0]) / side), across, down


def summary(rows: np.ndarray) -> dict[str, Any]:
    """Per column of `against_frames`: mean, standard deviation, percentiles; and the correlations of the columns.

    `spread` is the standard deviation of the normal distribution with the same 5th and 95th percentile.
    """
    result: dict[str, Any] = {"crops": len(rows)}
    for name, column in zip(("log_zoom", "across", "down"), rows.T, strict=True):
        points = np.percentile(column, PERCENTILES)
        result[name] = {
            "mean": round(float(column.mean()), 4),
            "deviation": round(float(column.std()), 4),
            "spread": round(float(points[-1] - points[0]) / 3.29, 4),
            "percentiles": [round(float(point), 4) for point in points],
        }
    pairs = np.corrcoef(rows.T)
    result["correlation"] = {
        "log_zoom, across": round(float(pairs[0, 1]), 3),
        "log_zoom, down": round(float(pairs[0, 2]), 3),
        "across, down": round(float(pairs[1, 2]), 3),
    }
    return result


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# Jitter of framed crops",
        "",
        f"{report['detector']}. Written by `python -m training.studies.jitter`. log zoom: logarithm of the crop's "
        "side in sides of the reference; across, down: movement of its centre in the same unit. spread: standard "
        "deviation of the normal distribution with the same 5th and 95th percentile.",
        "",
        f"| reference | crops | figure | mean | deviation | spread | {', '.join(map(str, PERCENTILES))} % |",
        "|---|---|---|---|---|---|---|",
    ]
    for what in ("frames", "photos"):
        for name in ("log_zoom", "across", "down"):
            row = report[what][name]
            points = ", ".join(f"{point:+.3f}" for point in row["percentiles"])
            lines.append(
                f"| {what} | {report[what]['crops']} | {name} | {row['mean']:+.3f} | {row['deviation']:.3f} | "
                f"{row['spread']:.3f} | {points} |"
            )
    lines += [
        "",
        f"`frames`: the first {report['faces']} faces of FER2013 `validation`, against their own frame. `photos`: "
        f"{report['pictures']} photos with faces of at least {SMALLEST} pixels, {CHANGES} changes each (shift up to "
        f"{SHIFT:g} pixels, scale {SCALES[0]:g} to {SCALES[1]:g}, rotation up to {DEGREES:g} degrees), against the "
        "crop of the unchanged photo.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure YuNet's crops, write the figures and the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.jitter", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013, as a folder of parquet files or a Hub id")
    parser.add_argument("--photos", required=True, type=Path, help="a folder of photos")
    parser.add_argument("--limit", type=int, default=1500, help="only the first N faces (default: 1500)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".json"),
        help="where to write the figures; the page is written beside them",
    )
    args = parser.parse_args(argv)
    detector, faces = YuNetDetector(), load_split(args.data, "validation").faces[: args.limit]
    photos = []
    for path in sorted(args.photos.glob("*.jpg")):
        photo = load_image(path)
        photo.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        photos.append(photo)
    report: dict[str, Any] = {
        "detector": detector.name,
        "faces": len(faces),
        "pictures": len(photos),
        "frames": summary(against_frames(detector, faces)),
        "photos": summary(under_small_changes(detector, photos)),
    }
    return write_study(report, table(report), args.out)


if __name__ == "__main__":
    main()
