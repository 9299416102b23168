"""Study: the embedded checkpoints on whole photos that are not from FER2013.

    python -m training.studies.photos --photos FOLDER

YuNet detects the faces.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import FaceDetector, YuNetDetector
from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.errors import InputError
from emotion_hub.faces import DetectedPhoto, locate
from emotion_hub.predictor import EmotionPredictor
from training.data.files import write_json

__all__ = ["count_faces", "main", "report", "study"]

STUDIES = Path(__file__).parent
Annotation = tuple[int, int, str]


def study(
    photos: Path,
    faces: Mapping[str, Sequence[Annotation]],
    detector: FaceDetector,
    predictors: Mapping[str, EmotionPredictor],
) -> dict[str, Any]:
    """Annotated faces found, boxes on no annotated face, correct predictions by checkpoint, and every prediction.

    Raises InputError for a photo that is missing.
    """
    result: dict[str, Any] = {"found": 0, "elsewhere": 0, "right": dict.fromkeys(predictors, 0), "answers": []}
    for name, annotated in faces.items():
        if not (photos / name).is_file():
            raise InputError(f"there is no photo {name!r} in {photos}; the study needs every photo of photos.toml")
        photo = locate(photos / name, detector)
        by_model = {model: predictor.predict_detected([photo])[0] for model, predictor in predictors.items()}
        boxes = {i: _box_at(photo, x, y) for i, (x, y, _) in enumerate(annotated)}
        result["elsewhere"] += len(set(range(len(photo.faces))) - set(boxes.values()))
        for i, (_, _, label) in enumerate(annotated):
            row: dict[str, Any] = {"photo": name, "face": i, "expected": label}
            box = boxes[i]
            result["answers"].append(row)
            row["found"] = box is not None
            if box is None:
                continue
            result["found"] += 1
            for model, predictions in by_model.items():
                prediction = predictions[box]
                result["right"][model] += prediction.label == label
                row[model] = f"{prediction.label} {prediction.confidence:.2f}"
    return result


def _box_at(photo: DetectedPhoto, x: int, y: int) -> int | None:
    """The index of the largest face whose box contains the point."""
    for i, face in enumerate(photo.faces):
        left, top, right, bottom = face.bbox
        if left <= x < right and top <= y < bottom:
            return i
    return None


def count_faces(photos: Path, detectors: Sequence[FaceDetector]) -> dict[str, dict[str, Any]]:
    """{photo: {detector: {"faces", "milliseconds"}}} for every JPEG file of the folder."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(photos.glob("*.jpg")):
        located = {detector.name: locate(path, detector) for detector in detectors}
        rows[path.name] = {
            name: {"faces": len(photo.faces), "milliseconds": round(photo.timings["detect"])}
            for name, photo in located.items()
        }
    return rows


def report(summary: Mapping[str, Any]) -> str:
    """The study as a page of Markdown."""
    names = list(summary["detectors"])
    models = list(next(iter(summary["detectors"].values()))["right"])
    lines = [
        "# Photos that are not from FER2013",
        "",
        f"{summary['faces']} faces in {summary['photos']} openly licensed photos. The expressions were noted by "
        "eye before "
        "these checkpoints existed.",
        "",
        f"| detector | faces found | other boxes | {' | '.join(f'{m} correct' for m in models)} |",
        f"|---|---|---|{'---|' * len(models)}",
    ]
    for name, result in summary["detectors"].items():
        right = " | ".join(f"{result['right'][m]} of {result['found']}" for m in models)
        lines.append(f"| {name} | {result['found']} | {result['elsewhere']} | {right} |")
    lines += ["", "Wrong predictions:", ""]
    for name, result in summary["detectors"].items():
        for row in result["answers"]:
            errors = "not found"
            if row["found"]:
                errors = ", ".join(f"{m} {row[m]}" for m in models if row[m].split()[0] != row["expected"])
            if errors:
                lines.append(f"- {name}, `{row['photo']}` face {row['face']}, {row['expected']}: {errors}")
    lines += [
        "",
        "## Number of faces found per photo",
        "",
        f"| photo | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for photo, row in summary["counts"].items():
        lines.append(f"| `{photo}` | {' | '.join(str(row[n]['faces']) for n in names)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, write the figures and the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.photos", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, type=Path, help="folder of the photos that photos.toml names")
    parser.add_argument("--yunet", type=Path, default=MODEL_FILE, help="another YuNet file (default: the packaged one)")
    parser.add_argument("--out", type=Path, default=STUDIES / "photos.json")
    args = parser.parse_args(argv)
    faces = {
        name: [tuple(row) for row in rows]
        for name, rows in tomllib.loads((STUDIES / "photos.toml").read_text()).items()
    }
    detectors: list[FaceDetector] = [YuNetDetector(args.yunet)]
    predictors = {name: EmotionPredictor.from_pretrained(name, backend="torch") for name in embedded_checkpoints()}
    results = {detector.name: study(args.photos, faces, detector, predictors) for detector in detectors}
    counts = count_faces(args.photos, detectors)
    summary = {"photos": len(faces), "faces": sum(map(len, faces.values())), "detectors": results, "counts": counts}
    write_json(args.out, summary)
    args.out.with_suffix(".md").write_text(report(summary))
    for name, result in results.items():
        print(
            f"{name}: {result['found']} of {summary['faces']} faces, {result['elsewhere']} other boxes; correct "
            f"{result['right']}"
        )
    return summary


if __name__ == "__main__":
    main()
