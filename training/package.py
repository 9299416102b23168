"""Make a checkpoint folder of a finished run.

    python -m training.package --run RUN --out FOLDER --data D
    python -m training.package --out FOLDER --results REPORT.json

`--data` calibrates the probabilities, fits prediction sets and adds an 8-bit ONNX file. `--results` adds
reports on other data, by `training.evaluate` on images of one's own, for the model card; alone it changes nothing else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from emotion_hub.checkpoints import TRAINING_FILE, WEIGHTS_FILE
from training.fit.record_types import TrainingRecord
from training.publishing.card_results import RESULTS_FILE, write_results
from training.publishing.package import package

__all__ = ["main"]


def main(argv: list[str] | None = None) -> Path:
    """Package the run and print the file's size and the calibration; returns the checkpoint's folder."""
    parser = argparse.ArgumentParser(prog="training.package", description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="the --out folder of training.train")
    parser.add_argument(
        "--earlier", type=Path, action="append", default=[], help="a run this one started from; may be repeated"
    )
    parser.add_argument(
        "--data",
        help="the data set of the run: its validation split calibrates the probabilities and fits the prediction sets, "
        "its training faces calibrate the 8-bit file",
    )
    parser.add_argument("--out", required=True, type=Path, help="the checkpoint's folder")
    parser.add_argument(
        "--results",
        type=Path,
        action="append",
        default=[],
        metavar="REPORT",
        help="report of these weights on images of one's own, for the card's section \"Results on other data\"; may be "
        "repeated",
    )
    args = parser.parse_args(argv)
    if args.run is None:
        if not args.results:
            parser.error("give --run to make a checkpoint, or --results to add reports to one")
        write_results(args.out, args.results)
        print(f"wrote {args.out / RESULTS_FILE}")
        return args.out
    folder = package(args.run, args.out, args.earlier, args.data)
    write_results(folder, args.results)
    record: TrainingRecord = json.loads((folder / TRAINING_FILE).read_text())
    print(f"wrote {folder}: {(folder / WEIGHTS_FILE).stat().st_size / 2**20:.2f} MB")
    if calibration := record.get("calibration"):
        nll, ece = calibration["validation"]["nll"], calibration["validation"]["ece"]
        print(
            f"temperature {calibration['temperature']:.4f} on {calibration['validation']['n']} validation images: "
            f"log loss {nll['before']:.4f}, ECE {ece['before']:.4f}, now "
            f"log loss {nll['after']:.4f}, ECE {ece['after']:.4f}"
        )
    return folder


if __name__ == "__main__":
    main()
