"""Study: face warnings, their false alarms, what they catch, and their cost.

python -m training.studies.quality --data FER2013 --photos FOLDER
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from emotion_hub.detectors import YuNetDetector
from emotion_hub.faces import find_faces
from emotion_hub.images import load_image
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.quality import CODES, NOT_A_FACE, THRESHOLDS, FaceWarning, crop_warnings
from training.data.faces import load_split
from training.evaluation.machine import hardware
from training.evaluation.predictions import face_probs
from training.studies.outcome import write_study
from training.studies.quality_cost import cost
from training.studies.quality_sets import (
    FAULTS,
    crops_without_faces,
    cut_photo,
    drawn_images,
    faulty_faces,
    noface_photos,
)
from training.studies.quality_text import table

__all__ = ["main", "study"]

#: Shares of a face that the border of a photo cuts off, and angles in degrees by which photos are rotated.
CUTS, ANGLES = (0.0, 0.1, 0.25, 0.4), (0, 20, 30, 40)


def study(
    predictor: EmotionPredictor, faces: Sequence[Image.Image], labels: np.ndarray, photos: Path, limit: int
) -> dict[str, Any]:
    """The figures: clean faces, `limit` of them with each fault, images without a face, whole photos, and times."""
    clean = _measured(predictor, faces, labels)
    some, truth = list(faces[:limit]), labels[:limit]
    faults = []
    pooled = {code: [(clean[0][:limit], clean[1][:limit])] for code in CODES}
    for fault in FAULTS:
        levels = []
        for strength in fault.strengths:
            measured = _measured(predictor, faulty_faces(some, fault, strength), truth)
            if fault.code is not None:
                pooled[fault.code].append(measured)
            rates = {"any": _any(measured), "rejected": _split(measured, NOT_A_FACE)["flagged"]}
            levels.append({"strength": strength, **_split(measured, fault.code), **rates})
        faults.append({"code": fault.code, "fault": fault.name, "levels": levels})
    return {
        "clean": _rates(clean),
        "faults": faults,
        "pooled": {code: _split(_joined(parts), code) for code, parts in pooled.items() if len(parts) > 1},
        "cut_off": _cut_faces(some),
        "without_face": _without_face(photos),
        "photos": _photos(photos),
        "rotated": _rotated(photos),
        "cost": cost(predictor),
    }


Measured = tuple[list[frozenset[str]], np.ndarray]


def _rates(measured: Measured) -> dict[str, Any]:
    """The share of faces with each warning and with any, and the accuracy with and without each."""
    return {"n": len(measured[0]), "any": _any(measured), "codes": {code: _split(measured, code) for code in CODES}}


def _joined(parts: Sequence[Measured]) -> Measured:
    return [codes for part in parts for codes in part[0]], np.concatenate([part[1] for part in parts])


def _measured(predictor: EmotionPredictor, faces: Sequence[Image.Image], labels: np.ndarray) -> Measured:
    """The codes of each face, and whether its prediction is right."""
    codes = [_codes(crop_warnings(face)) for face in tqdm(faces, desc="warnings", disable=None)]
    return codes, face_probs(predictor, list(faces)).argmax(axis=1) == labels


def _codes(warnings: Sequence[FaceWarning]) -> frozenset[str]:
    return frozenset(warning.code for warning in warnings)


def _split(measured: Measured, code: str | None) -> dict[str, Any]:
    """The share of faces with the code, and the accuracy of all faces, of those with it and of those without it."""
    codes, correct = measured
    flagged = np.array([code in each for each in codes])
    return {
        "n": len(flagged),
        "flagged": _share(flagged),
        "accuracy": _share(correct),
        "accuracy_flagged": _share(correct[flagged]),
        "accuracy_unflagged": _share(correct[~flagged]),
    }


def _any(measured: Measured) -> float | None:
    return _share(np.array([bool(codes) for codes in measured[0]]))


def _share(values: np.ndarray) -> float | None:
    """The mean of booleans; None for none."""
    return round(float(values.mean()), 4) if len(values) else None


def _cut_faces(faces: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """Per share: faces that YuNet still finds in the cut photo, and how many of them are flagged."""
    rows = []
    for share in CUTS:
        found = [find_faces(cut_photo(face, share, i % 4), YuNetDetector()) for i, face in enumerate(faces)]
        largest = [each[0] for each in found if each]
        flagged = np.array(["cut_off" in _codes(face.warnings) for face in largest])
        rows.append({"share": share, "n": len(faces), "found": len(largest), "flagged": _share(flagged)})
    return rows


def _without_face(folder: Path) -> dict[str, Any]:
    """The share of images without a face that are rejected, by kind, and YuNet's wrong detections that are."""
    rng, photos = np.random.default_rng(1), noface_photos(folder)
    crops = list(crops_without_faces(photos, 700, rng))
    kinds = {"crops of photos": crops, **drawn_images(60, rng)}
    rejected = {
        kind: {"n": len(images), "rejected": _share(np.array([NOT_A_FACE in _codes(crop_warnings(i)) for i in images]))}
        for kind, images in kinds.items()
    }
    wrong = []
    for crop in crops:
        side = int(rng.integers(160, 641))
        wrong += find_faces(crop.resize((side, side), Image.Resampling.BICUBIC), YuNetDetector())
    flagged = np.array([bool({NOT_A_FACE, "small"} & _codes(face.warnings)) for face in wrong])
    detected = {"crops": len(crops), "detections": len(wrong), "rejected_or_small": _share(flagged)}
    return {"ready_made": rejected, "detected": detected}


def _photos(folder: Path) -> dict[str, Any]:
    """Detected faces of all photos, at full and at half size, and how many have each warning."""
    rows = {}
    for scale in (1.0, 0.5):
        faces = [face for path in sorted(folder.glob("*.jpg")) for face in _found(load_image(path), scale, 0)]
        counts = Counter(code for face in faces for code in _codes(face.warnings))
        rows[f"{scale:g}"] = {"faces": len(faces), "codes": {code: counts[code] for code in CODES if counts[code]}}
    return rows


def _rotated(folder: Path) -> list[dict[str, Any]]:
    """Photos of one face rotated by an angle: the share of the faces that are found and flagged as tilted."""
    rows = []
    for angle in ANGLES:
        paths = sorted(folder.glob("single_*.jpg"))
        found = [_found(load_image(path), 1.0, turn) for path in paths for turn in {angle, -angle}]
        flagged = np.array(["tilted" in _codes(faces[0].warnings) for faces in found if faces])
        rows.append({"angle": angle, "n": len(found), "found": len(flagged), "flagged": _share(flagged)})
    return rows


def _found(photo: Image.Image, scale: float, angle: int) -> list[Any]:
    size = (round(photo.width * scale), round(photo.height * scale))
    changed = photo.resize(size, Image.Resampling.LANCZOS).rotate(angle, Image.Resampling.BICUBIC)
    return find_faces(changed, YuNetDetector())


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write `<out>.json` and `<out>.md`, return the report."""
    parser = argparse.ArgumentParser(prog="python -m training.studies.quality", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013, as a folder of parquet files or a Hub id")
    parser.add_argument("--photos", required=True, type=Path, help="folder of photos, some named noface_*.jpg")
    parser.add_argument("--checkpoint", default="native48", help="name or folder of a model (default: native48)")
    parser.add_argument("--limit", type=int, default=400, help="number of faces with each fault (default: 400)")
    parser.add_argument("--clean", type=int, default=2000, help="number of unchanged faces (default: 2000)")
    parser.add_argument("--test", action="store_true", help="also read the rates on the test split")
    parser.add_argument(
        "--out", type=Path, default=Path("training/studies/quality"), help="path of the report without its suffix"
    )
    parser.add_argument("--cost-only", action="store_true", help="measure the cost again and keep the other figures")
    args = parser.parse_args(argv)

    predictor = EmotionPredictor.from_pretrained(args.checkpoint, backend="onnx", threads=1)
    if args.cost_only:
        report = {**json.loads(args.out.with_suffix(".json").read_text()), "cost": cost(predictor)}
        return write_study(report, table(report), args.out.with_suffix(".json"), indent=2)
    split = load_split(args.data, "validation", predictor.labels)
    rows = np.random.default_rng(0).permutation(len(split))[: args.clean]
    report = {
        "checkpoint": args.checkpoint,
        "thresholds": dataclasses.asdict(THRESHOLDS),
        **study(predictor, [split.faces[i] for i in rows], split.labels[rows], args.photos, args.limit),
        "machine": hardware(),
    }
    if args.test:
        test = load_split(args.data, "test", predictor.labels)
        report["test"] = _rates(_measured(predictor, test.faces, test.labels))
    return write_study(report, table(report), args.out.with_suffix(".json"), indent=2)


if __name__ == "__main__":
    main()
