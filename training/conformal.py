"""Fit the prediction sets of a checkpoint on validation.

    python -m training.conformal --checkpoint C --data D --report

Writes the thresholds to `config.json` of the checkpoint; weights and ONNX files stay as they are. With `--report` the
sets are measured on the test split, and only the part `prediction_sets` of `report.json` is replaced.
"""

from __future__ import annotations

import argparse

from emotion_hub.checkpoints import local_folder
from emotion_hub.errors import InputError
from emotion_hub.prediction_sets import PredictionSets
from training.evaluation.conformal import COVERAGE
from training.evaluation.summary import coverage_table
from training.publishing.prediction_sets import add_to_report, fit_checkpoint, write_config

__all__ = ["main"]


def main(argv: list[str] | None = None) -> PredictionSets:
    """Fit, write and print the thresholds, and the figures on test if they are asked for; returns the rule."""
    parser = argparse.ArgumentParser(
        prog="training.conformal", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="embedded name or folder; its config.json is changed")
    parser.add_argument("--data", required=True, help="the data set that the checkpoint was trained on")
    parser.add_argument(
        "--coverage", type=float, default=COVERAGE, help=f"nominal coverage, above 0 and below 1 (default {COVERAGE:g})"
    )
    parser.add_argument(
        "--report", action="store_true", help="also measure the sets on test, for the checkpoint's report.json"
    )
    args = parser.parse_args(argv)
    folder = local_folder(args.checkpoint)
    if folder is None:
        raise InputError(f"--checkpoint {args.checkpoint!r} is no embedded name and no folder; give one of them")
    sets = fit_checkpoint(folder, args.data, args.coverage)
    write_config(folder, sets)
    thresholds = ", ".join(f"{label} {value:g}" for label, value in sets.thresholds.items())
    print(f"{args.checkpoint}: nominal coverage {sets.coverage:g}; thresholds of 1 - p(label): {thresholds}")
    if args.report:
        print("\n".join(coverage_table(add_to_report(folder, args.data))))
    return sets


if __name__ == "__main__":
    main()
