"""Study: how YuNet's boxes frame faces, compared with FER2013's framing.

    python -m training.studies.framing --data D

Each 48-pixel face is enlarged 4 times (Pillow bicubic), and its edge pixels are repeated 12 source pixels
outwards, so that a detector can find it. The original frame is known in that picture. The position of a
detector's box therefore determines how to crop a photo to obtain the framing that the networks were trained on:
`Framing(scale, down)` in `emotion_hub.detectors`. Writes figures only, never an image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.detectors import Detection, FaceDetector, Framing, YuNetDetector
from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.errors import InputError
from emotion_hub.images import crop
from training.data.faces import load_split
from training.data.files import write_json
from training.evaluation.robustness import ENLARGE, FRAME, PAD, detections, enlarged

__all__ = ["FACTORS", "accuracy_by_scale", "main", "measure"]

FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5)

Predict = Callable[[list[Image.Image]], np.ndarray]


def measure(
    detector: FaceDetector, faces: Sequence[Image.Image], detected: list[Detection | None] | None = None
) -> dict[str, Any]:
    """The framing for a detector, from the median of its boxes, with quartiles and the detection rate.

    `scale` is 48 / longer side of the box and `down` (frame centre - box centre) / 48, both in pixels of the
    original face. `across` is the same horizontally and should be 0. `relative_spread` is, for each measure of
    the box size, the interquartile range of 48 / size divided by its median. Raises InputError when no face was
    found.
    """
    detected = detections(detector, faces) if detected is None else detected
    boxes = np.array([d.bbox for d in detected if d is not None], dtype=np.float64).reshape(-1, 4) / ENLARGE - PAD
    if not len(boxes):
        raise InputError(
            f"{detector.name} found none of {len(faces)} faces, so there is nothing to measure; use faces that "
            "it can detect"
        )
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    sizes = {
        "width": width,
        "height": height,
        "longer side": np.maximum(width, height),
        "root of area": np.sqrt(width * height),
    }
    spread = {name: _summary(FRAME / size) for name, size in sizes.items()}
    return {
        "detector": detector.name,
        "faces": len(faces),
        "detection_rate": round(len(boxes) / len(faces), 4),
        "scale": _summary(FRAME / sizes["longer side"]),
        "down": _summary((FRAME / 2 - (boxes[:, 1] + boxes[:, 3]) / 2) / FRAME),
        "across": _summary((FRAME / 2 - (boxes[:, 0] + boxes[:, 2]) / 2) / FRAME),
        "relative_spread": {name: round((s["q3"] - s["q1"]) / s["median"], 4) for name, s in spread.items()},
    }


def _summary(values: np.ndarray) -> dict[str, float]:
    """Median and quartiles."""
    return {name: round(float(np.percentile(values, p)), 4) for name, p in (("q1", 25), ("median", 50), ("q3", 75))}


def accuracy_by_scale(
    faces: Sequence[Image.Image],
    labels: np.ndarray,
    detected: list[Detection | None],
    framing: Framing,
    predict: Predict,
    factors: Sequence[float] = FACTORS,
) -> dict[str, Any]:
    """Accuracy on the detected faces, with their original crop and with crops at each factor times `framing.scale`.

    `predict` maps a list of faces to int64 label ids. Crops come from the enlarged, padded face. Where a large
    crop extends beyond it, edge pixels are repeated, where a photo would show hair and background.
    """
    chosen = [i for i, d in enumerate(detected) if d is not None]
    truth = np.asarray(labels)[chosen]
    large = [(enlarged(faces[i]), detected[i]) for i in chosen]
    result: dict[str, Any] = {
        "faces": len(chosen),
        "original": _accuracy(predict([faces[i] for i in chosen]), truth),
        "by_factor": {},
    }
    for factor in factors:
        scaled = Framing(framing.scale * factor, framing.down)
        crops = [crop(image, scaled.square(d.bbox)) for image, d in large if d is not None]
        result["by_factor"][str(factor)] = _accuracy(predict(crops), truth)
    return result


def _accuracy(predictions: np.ndarray, truth: np.ndarray) -> float:
    return round(float(np.mean(np.asarray(predictions) == truth)), 4)


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# Framing study",
        "",
        f"FER2013 `validation`, faces enlarged {ENLARGE} times (bicubic), edges repeated by {PAD} source pixels. "
        "Median (quartiles).",
        "",
        "| detector | faces | found | scale | down | across | smallest spread |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["detectors"]:
        cells = [
            f"{row[k]['median']:.3f} ({row[k]['q1']:.3f} to {row[k]['q3']:.3f})" for k in ("scale", "down", "across")
        ]
        best, spread = min(row["relative_spread"].items(), key=lambda item: item[1])
        lines.append(
            f"| {row['detector']} | {row['faces']} | {row['detection_rate']:.1%} | {' | '.join(cells)} | {best}, "
            f"{spread:.1%} |"
        )
    for row in report["detectors"]:
        if "accuracy" in row:
            accuracy = row["accuracy"]
            lines += [
                "",
                f"{row['detector']}, accuracy of `{report['checkpoint']}` on {accuracy['faces']} detected faces:",
                "",
            ]
            lines += ["| crop | accuracy |", "|---|---|", f"| original 48 pixels | {accuracy['original']:.1%} |"]
            lines += [f"| {factor} x scale | {value:.1%} |" for factor, value in accuracy["by_factor"].items()]
    return "\n".join(lines) + "\n"


def _predictor(checkpoint: str) -> Predict:
    """A function that predicts label ids with a checkpoint, a name or a folder."""
    from emotion_hub.predictor import EmotionPredictor

    predictor = EmotionPredictor.from_pretrained(checkpoint, backend="torch")

    def predict(faces: list[Image.Image]) -> np.ndarray:
        return np.asarray([p.label_id for p in predictor.predict_faces(faces)], dtype=np.int64)

    return predict


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure YuNet, write `<out>.json` and `<out>.md`, return the report."""
    parser = argparse.ArgumentParser(
        prog="python -m training.studies.framing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="FER2013, as a folder of parquet files or a Hub id")
    parser.add_argument("--yunet", type=Path, default=MODEL_FILE, help="another YuNet file (default: the packaged one)")
    parser.add_argument("--checkpoint", help="name or folder of a model: also measure its accuracy by crop size")
    parser.add_argument("--limit", type=int, help="only the first N faces")
    parser.add_argument(
        "--out", type=Path, default=Path("training/studies/framing"), help="path of the report without its suffix"
    )
    args = parser.parse_args(argv)

    split = load_split(args.data, "validation")
    predict = _predictor(args.checkpoint) if args.checkpoint else None
    detector, faces = YuNetDetector(args.yunet), split.faces[: args.limit]
    detected = detections(detector, faces)
    row = measure(detector, faces, detected)
    if predict is not None:
        framing = Framing(row["scale"]["median"], row["down"]["median"])
        row["accuracy"] = accuracy_by_scale(faces, split.labels[: len(faces)], detected, framing, predict)
    report: dict[str, Any] = {"enlarged": ENLARGE, "padded": PAD, "checkpoint": args.checkpoint, "detectors": [row]}
    write_json(args.out.with_suffix(".json"), report, indent=2)
    args.out.with_suffix(".md").write_text(table(report), encoding="utf-8")
    print(table(report))
    return report


if __name__ == "__main__":
    main()
