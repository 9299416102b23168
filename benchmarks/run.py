"""Measure all speed figures in one run, and write README's tables.

    python -m benchmarks.run --json

writes benchmarks/results/run.json and its drawing; `--readme` also writes the tables.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import claims, limit, stages, startup
from benchmarks.commands import commands
from benchmarks.page import example_seconds, page_weight
from benchmarks.table import draw, write_readme
from benchmarks.timing import machine
from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, resolve_file
from emotion_hub.detectors.yunet import MODEL_FILE
from emotion_hub.errors import InputError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import STORAGE, export_onnx
from emotion_hub.onnx.files import onnx_file
from training.data.files import write_json

__all__ = ["PARTS", "main"]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "onnxruntime", "numpy", "pillow", "gradio")


def _faces(args: argparse.Namespace) -> dict[str, Any]:
    return {name: stages.ready_face(name) for name in embedded_checkpoints()}


def _photo(args: argparse.Namespace) -> dict[str, Any]:
    return stages.photo_stages(list(embedded_checkpoints()), args.yunet)


def _batches(args: argparse.Namespace) -> dict[str, Any]:
    peak = limit.matmul_peak()
    rows: dict[str, Any] = {"matmul_gflops": peak}
    for name in embedded_checkpoints():
        row = stages.batches(name)
        classifier, speed = EmotionClassifier.from_pretrained(name), row["faces_per_second"]["bare"]
        rows[name] = row | {"limit": limit.share_of_peak(classifier, speed, peak)}
    return rows


def _storages(args: argparse.Namespace) -> dict[str, Any]:
    rows = {}
    for name in embedded_checkpoints():
        classifier, weights = EmotionClassifier.from_pretrained(name), resolve_file(name, WEIGHTS_FILE)
        with tempfile.TemporaryDirectory() as folder:
            paths = {
                storage: export_onnx(
                    classifier, Path(folder) / f"{storage}.onnx", storage=storage, weights_file=weights
                ).path
                for storage in STORAGE
            }
            rows[name] = stages.storages({**paths, "int8": onnx_file(name, int8=True)})
    return rows


def _startup(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "prediction": {name: startup.first_prediction(name) for name in embedded_checkpoints()},
        "app": startup.app_start("native48"),
    }


def _claims(args: argparse.Namespace) -> dict[str, Any]:
    measured = claims.compare()
    return {**measured, "claims": claims.claims(measured)}


#: The parts of the report, in the order of measurement. "seeds" are the claims of the project's source reports.
PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "faces": _faces,
    "photo": _photo,
    "batches": _batches,
    "storages": _storages,
    "startup": _startup,
    "commands": lambda args: commands(),
    "page": lambda args: {**page_weight(), "example_seconds": example_seconds()},
    "seeds": _claims,
}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The whole report.

    Parts that are not selected with --only keep their figures in the existing file, if it is from the same
    processor.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=RESULTS / "run.json",
        help="where to write the figures (default: benchmarks/results/run.json)",
    )
    parser.add_argument(
        "--only", action="append", choices=tuple(PARTS), help="measure this part; may be repeated (default: all)"
    )
    parser.add_argument(
        "--yunet", type=Path, metavar="FILE", default=MODEL_FILE, help="another YuNet file (default: the packaged one)"
    )
    parser.add_argument("--readme", action="store_true", help="write README's tables from the figures")
    args = parser.parse_args(argv)
    here = machine(*PACKAGES)
    earlier = json.loads(args.json.read_text()) if args.json and args.json.is_file() else {}
    if args.only and earlier and earlier["machine"]["processor"] != here["processor"]:
        raise InputError(
            f"{args.json} was measured on {earlier['machine']['processor']}, this is {here['processor']}: leave --only "
            "out and measure all parts"
        )
    report = {"machine": here, **{name: part for name, part in earlier.items() if name in PARTS and args.only}}
    for name in args.only or PARTS:
        print(f"measuring {name} ...", flush=True)
        report[name] = PARTS[name](args)
        if args.json:  # after each part, so that a later failure loses nothing
            write_json(args.json, report)
    if args.json and set(PARTS) <= set(report):
        draw(report, args.json.with_name("stages.png"))
    if args.readme:
        write_readme(report)
    print(json.dumps(report, indent=1))
    return report


if __name__ == "__main__":
    main()
