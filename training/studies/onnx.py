"""What storing weights in 16 or 8 bits costs: `python -m training.studies.onnx --data D` exports the checkpoints three ways and measures each on a split."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, file_hash, resolve_file
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import STORAGE, export_onnx
from emotion_hub.onnx.files import onnx_file
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import SPLITS, load_split
from training.evaluation.machine import hardware
from training.evaluation.measure import face_probs
from training.evaluation.metrics import brief, expected_calibration_error
from training.explanations.study import bootstrap

__all__ = ["main", "study"]

STUDIES = Path(__file__).parent


def study(checkpoint: str, data: str, split: str, folder: Path) -> dict[str, Any]:
    """One checkpoint's files and their figures on the split: bytes, accuracy, macro F1, calibration error, and how they differ from float32.

    float32 and float16 are exported to `folder`; int8 is the checkpoint's own file, which it must have.
    """
    classifier = EmotionClassifier.from_pretrained(checkpoint)
    weights, measured = resolve_file(checkpoint, WEIGHTS_FILE), load_split(data, split, classifier.labels)
    paths, differences = {}, {}
    for storage in STORAGE:
        made = export_onnx(
            classifier, folder / f"{storage}.onnx", storage=storage, weights_file=weights, faces=measured.faces[:64]
        )
        paths[storage], differences[storage] = made.path, made.difference
    paths["int8"] = onnx_file(checkpoint, int8=True)
    rows, answers = {}, {}
    for storage, path in paths.items():
        probs = answers[storage] = face_probs(
            EmotionPredictor.from_onnx(path, name=Path(checkpoint).name), measured.faces, what=f"{split}, {storage}"
        )
        rows[storage] = {
            "bytes": path.stat().st_size,
            **brief(measured.labels, probs),
            "ece": expected_calibration_error(measured.labels, probs),
        }
        if storage in differences:
            rows[storage]["largest_difference_of_a_logit_from_torch"] = differences[storage]
        if storage != "float32":
            before, now = (answers[s].argmax(1) == measured.labels for s in ("float32", storage))
            change = bootstrap(now.astype(float) - before)
            rows[storage]["change"] = {"accuracy": change["mean"], "interval": [change["low"], change["high"]]}
            rows[storage]["same_label"] = float((answers["float32"].argmax(1) == probs.argmax(1)).mean())
            rows[storage]["share_of_float16"] = path.stat().st_size / paths["float16"].stat().st_size
    return {"model": classifier.config.model, "sha256": file_hash(weights), "files": rows}


def table(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    lines = [
        "# Weights in 32, 16 and 8 bits",
        "",
        f"Each checkpoint as an ONNX file, on the {report['n']:,} images of {report['split']}. Written by `python -m training.studies.onnx`.",
        "The difference of accuracy to float32 has a 95% interval, paired over the images.",
        "",
        "| checkpoint | weights | MB | of float16 | accuracy | against float32, points | same label | ECE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in report["checkpoints"].items():
        for storage, row in found["files"].items():
            share = f"{row['share_of_float16']:.3f}" if storage == "int8" else "–"
            change = "–"
            if "change" in row:
                low, high = row["change"]["interval"]
                change = f"{100 * row['change']['accuracy']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
            same = f"{row['same_label']:.1%}" if "same_label" in row else "–"
            lines.append(
                f"| `{name}` | {storage} | {row['bytes'] / 2**20:.2f} | {share} | {row['accuracy']:.2%} | {change} | {same} | {row['ece']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="training.studies.onnx", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the data set the checkpoints were trained on")
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument(
        "--checkpoint",
        action="append",
        help="embedded name, folder or Hub id; may be repeated (default: the embedded ones)",
    )
    parser.add_argument(
        "--out", type=Path, default=STUDIES / "onnx.json", help="where to write the figures; the page goes beside it"
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
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(table(report))
    print(table(report))
    return report


if __name__ == "__main__":
    main()
