"""The embedded checkpoints on whole photos from elsewhere, through YuNet: `python -m training.studies.photos --photos FOLDER`."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import FaceDetector, YuNetDetector
from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.errors import InputError
from emotion_hub.predictor import DetectedPhoto, EmotionPredictor, locate

__all__ = ["count_faces", "main", "report", "study"]

STUDIES = Path(__file__).parent
Annotation = tuple[int, int, str]


def study(
    photos: Path,
    faces: Mapping[str, Sequence[Annotation]],
    detector: FaceDetector,
    predictors: Mapping[str, EmotionPredictor],
) -> dict[str, Any]:
    """Faces found, boxes on no noted face, and right answers by checkpoint, each answer listed."""
    result: dict[str, Any] = {"found": 0, "elsewhere": 0, "right": dict.fromkeys(predictors, 0), "answers": []}
    for name, expected in faces.items():
        if not (photos / name).is_file():
            raise InputError(f"there is no photo {name!r} in {photos}; the study needs every photo of photos.toml")
        scene = locate(photos / name, detector)
        answers = {model: predictor.predict_detected([scene])[0] for model, predictor in predictors.items()}
        hits = {i: _inside(scene, x, y) for i, (x, y, _) in enumerate(expected)}
        result["elsewhere"] += len(set(range(len(scene.faces))) - set(hits.values()))
        for i, (_, _, label) in enumerate(expected):
            if hits[i] is None:
                result["answers"].append({"photo": name, "face": i, "expected": label, "found": False})
                continue
            said = {model: predictions[hits[i]] for model, predictions in answers.items()}
            result["found"] += 1
            for model, prediction in said.items():
                result["right"][model] += prediction.label == label
            row = {model: f"{p.label} {p.confidence:.2f}" for model, p in said.items()}
            result["answers"].append({"photo": name, "face": i, "expected": label, "found": True, **row})
    return result


def _inside(scene: DetectedPhoto, x: int, y: int) -> int | None:
    """The largest face whose box holds the point."""
    for i, face in enumerate(scene.faces):
        left, top, right, bottom = face.bbox
        if left <= x < right and top <= y < bottom:
            return i
    return None


def count_faces(photos: Path, detectors: Sequence[FaceDetector]) -> dict[str, dict[str, Any]]:
    """{photo: {detector: {"faces", "milliseconds"}}} for every JPEG of the folder."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(photos.glob("*.jpg")):
        scenes = {detector.name: locate(path, detector) for detector in detectors}
        rows[path.name] = {
            name: {"faces": len(scene.faces), "milliseconds": round(scene.timings["detect"])}
            for name, scene in scenes.items()
        }
    return rows


def report(summary: Mapping[str, Any]) -> str:
    """The study as Markdown."""
    names = list(summary["detectors"])
    models = list(next(iter(summary["detectors"].values()))["right"])
    lines = [
        "# Photos from elsewhere",
        "",
        f"{summary['faces']} faces in {summary['photos']} openly licensed photos, expressions noted by eye before these checkpoints existed.",
        "",
        f"| detector | faces found | boxes elsewhere | {' | '.join(f'{m} right' for m in models)} |",
        f"|---|---|---|{'---|' * len(models)}",
    ]
    for name, result in summary["detectors"].items():
        right = " | ".join(f"{result['right'][m]} of {result['found']}" for m in models)
        lines.append(f"| {name} | {result['found']} | {result['elsewhere']} | {right} |")
    lines += ["", "Wrong answers:", ""]
    for name, result in summary["detectors"].items():
        for row in result["answers"]:
            said = (
                "not found"
                if not row["found"]
                else ", ".join(f"{m} {row[m]}" for m in models if row[m].split()[0] != row["expected"])
            )
            if said:
                lines.append(f"- {name}, `{row['photo']}` face {row['face']}, {row['expected']}: {said}")
    lines += [
        "",
        "## Faces found in every photo",
        "",
        f"| photo | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for photo, row in summary["counts"].items():
        lines.append(f"| `{photo}` | {' | '.join(str(row[n]['faces']) for n in names)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> dict[str, Any]:
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
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(summary, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(report(summary))
    for name, result in results.items():
        print(
            f"{name}: {result['found']} of {summary['faces']} faces, {result['elsewhere']} boxes elsewhere; right {result['right']}"
        )
    return summary


if __name__ == "__main__":
    main()
