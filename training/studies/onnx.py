"""Study: accuracy of ONNX files with 32-bit, 16-bit and 8-bit weights.

python -m training.studies.onnx --data D
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, file_hash, resolve_file
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import STORAGE, export_onnx
from emotion_hub.onnx.files import onnx_file
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import SPLITS, load_split
from training.data.files import write_json
from training.evaluation.machine import hardware
from training.evaluation.metrics import brief, expected_calibration_error
from training.evaluation.predictions import face_probs
from training.explanations.study import bootstrap

__all__ = ["main", "study"]

STUDIES = Path(__file__).parent


def study(checkpoint: str, data: str, split: str, folder: Path) -> dict[str, Any]:
    """The figures of one checkpoint's ONNX files on the split.

    They are bytes, accuracy, macro F1, calibration error, and the differences from float32. float32 and float16
    files are exported to `folder`; the int8 file is that of the checkpoint, which must have one.
    """
    classifier = EmotionClassifier.from_pretrained(checkpoint)
    weights, measured = resolve_file(checkpoint, WEIGHTS_FILE), load_split(data, split, classifier.labels)
    paths: dict[str, Path] = {}
    differences: dict[str, float] = {}
    for storage in STORAGE:
        export = export_onnx(
            classifier, folder / f"{storage}.onnx", storage=storage, weights_file=weights, faces=measured.faces[:64]
        )
        paths[storage], differences[storage] = export.path, export.difference
    paths["int8"] = onnx_file(checkpoint, int8=True)
    rows: dict[str, dict[str, Any]] = {}
    probs_of: dict[str, np.ndarray] = {}
    for storage, path in paths.items():
        predictor = EmotionPredictor.from_onnx(path, name=Path(checkpoint).name)
        probs = probs_of[storage] = face_probs(predictor, measured.faces, what=f"{split}, {storage}")
        rows[storage] = {
            "bytes": path.stat().st_size,
            **brief(measured.labels, probs),
            "ece": expected_calibration_error(measured.labels, probs),
        }
        if storage in differences:
            rows[storage]["largest_difference_of_a_logit_from_torch"] = differences[storage]
        if storage != "float32":
            correct32, correct = (probs_of[s].argmax(1) == measured.labels for s in ("float32", storage))
            change = bootstrap(correct.astype(float) - correct32)
            assert change is not None  # the split has images
            rows[storage]["change"] = {"accuracy": change["mean"], "interval": [change["low"], change["high"]]}
            rows[storage]["same_label"] = float((probs_of["float32"].argmax(1) == probs.argmax(1)).mean())
            rows[storage]["share_of_float16"] = path.stat().st_size / paths["float16"].stat().st_size
    return {"model": classifier.config.model, "sha256": file_hash(weights), "files": rows}


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# 32-bit, 16-bit and 8-bit weights",
        "",
        f"Each checkpoint as an ONNX file, on the {report['n']:,} images of {report['split']}. Written by "
        "`python -m training.studies.onnx`.",
        "The difference in accuracy from float32 has a 95% interval, paired over the images.",
        "",
        "| checkpoint | weights | MB | share of float16 | accuracy | difference from float32, points | same "
        "label | ECE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, figures in report["checkpoints"].items():
        for storage, row in figures["files"].items():
            share = f"{row['share_of_float16']:.3f}" if storage == "int8" else "–"
            change = "–"
            if "change" in row:
                low, high = row["change"]["interval"]
                change = f"{100 * row['change']['accuracy']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
            same = f"{row['same_label']:.1%}" if "same_label" in row else "–"
            lines.append(
                f"| `{name}` | {storage} | {row['bytes'] / 2**20:.2f} | {share} | {row['accuracy']:.2%} | "
                f"{change} | {same} | {row['ece']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure the checkpoints, write and print the page, and return the figures."""
    parser = argparse.ArgumentParser(prog="training.studies.onnx", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set the checkpoints were trained on")
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument(
        "--checkpoint",
        action="append",
        help="embedded name, folder or Hub id; may be repeated (default: the embedded ones)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=STUDIES / "onnx.json",
        help="where to write the figures; the page is written beside them",
    )
    args = parser.parse_args(argv)
    report: dict[str, Any] = {"split": args.split, "data": Path(args.data).name, "checkpoints": {}}
    for checkpoint in args.checkpoint or embedded_checkpoints():
        with tempfile.TemporaryDirectory() as folder:
            report["checkpoints"][Path(checkpoint).name] = study(str(checkpoint), args.data, args.split, Path(folder))
    from emotion_hub.onnx.runtime import onnxruntime

    report["n"] = next(iter(report["checkpoints"].values()))["files"]["float32"]["n"]
    report["environment"] = {
        "onnxruntime": onnxruntime.__version__,
        "machine": hardware(),
        "python": platform.python_version(),
    }
    write_json(args.out, report)
    args.out.with_suffix(".md").write_text(table(report))
    print(table(report))
    return report


if __name__ == "__main__":
    main()
