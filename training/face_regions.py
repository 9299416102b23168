"""Measure where the parts of a face lie in FER2013's frame.

python -m training.face_regions --data D --yunet FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.detectors import FaceDetector, YuNetDetector
from emotion_hub.errors import InputError
from emotion_hub.explainers.regions import LANDMARKS_FILE
from training.data.faces import load_split
from training.data.files import write_json
from training.evaluation.robustness import ENLARGE, PAD, detections

__all__ = ["main", "mean_landmarks"]

POINTS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")


def mean_landmarks(detector: FaceDetector, faces: Sequence[Image.Image]) -> dict[str, Any]:
    """Mean and standard deviation of the landmarks over the detected faces, (x, y) in pixels of the 48-pixel frame.

    Raises InputError when the detector finds no face or has no landmarks.
    """
    landmarks = [d.landmarks for d in detections(detector, faces) if d is not None]
    if not landmarks or landmarks[0] is None:
        raise InputError(
            f"{detector.name} found {len(landmarks)} of {len(faces)} faces and no landmarks; use YuNet and face images"
        )
    points = np.array(landmarks, dtype=np.float64) / ENLARGE - PAD
    rounded = {"mean": points.mean(axis=0), "sd": points.std(axis=0)}
    return {
        "detector": detector.name,
        "faces": len(faces),
        "found": len(landmarks),
        "points": list(POINTS),
        **{name: values.round(2).tolist() for name, values in rounded.items()},
    }


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the package's landmarks from training faces; returns them."""
    parser = argparse.ArgumentParser(prog="python -m training.face_regions", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set, in any form that training.audit reads")
    parser.add_argument("--yunet", required=True, type=Path, help="YuNet's ONNX file")
    parser.add_argument("--split", default="train", help="the split to measure on (default: train)")
    parser.add_argument(
        "--limit", type=int, default=4000, help="number of faces, evenly spaced over the split (default: 4000)"
    )
    parser.add_argument(
        "--out", type=Path, default=LANDMARKS_FILE, help="the JSON file to write (default: that of the package)"
    )
    args = parser.parse_args(argv)
    split = load_split(args.data, args.split)
    chosen = np.unique(np.linspace(0, len(split) - 1, min(args.limit, len(split))).astype(int))
    result = mean_landmarks(YuNetDetector(args.yunet), [split.faces[i] for i in chosen])
    write_json(args.out, result, indent=2)
    for name, (x, y), (dx, dy) in zip(POINTS, result["mean"], result["sd"], strict=True):
        print(f"{name:20} {x:5.1f} {y:5.1f}  sd {dx:4.1f} {dy:4.1f}")
    print(f"{result['found']} of {result['faces']} faces found -> {args.out}")
    return result


if __name__ == "__main__":
    main()
