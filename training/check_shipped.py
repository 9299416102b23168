"""Check the accuracy of the shipped checkpoints against their reports.

    python -m training.check_shipped [--data FER2013]

Measures each checkpoint on PrivateTest with ONNX Runtime. The exit status is 1 when an accuracy is more than 0.3
percentage points lower than in `report.json`. Without `--data`, FER2013 is looked for in $EMOTION_HUB_DATA/fer2013 and
../shared/data/fer2013; where it is missing, the check is skipped.
"""

from __future__ import annotations

import argparse
import sys

from emotion_hub.checkpoints import embedded_checkpoints
from training.evaluation.shipped import VARIABLE, AccuracyCheck, check_accuracy, find_fer2013

__all__ = ["main"]


def main(argv: list[str] | None = None) -> list[AccuracyCheck]:
    """Measure and print one line per checkpoint; returns the checks, [] when FER2013 is missing."""
    parser = argparse.ArgumentParser(
        prog="training.check_shipped", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="FER2013: a Hub id, a folder of parquet files or images, or fer2013.csv")
    args = parser.parse_args(argv)
    data = args.data or find_fer2013()
    if data is None:
        print(f"accuracy of the shipped checkpoints: skipped, there is no fer2013; set {VARIABLE} to its parent folder")
        return []
    checks = check_accuracy(data, embedded_checkpoints())
    print("\n".join(map(str, checks)))
    if not all(check.passed for check in checks):
        sys.exit(1)
    return checks


if __name__ == "__main__":
    main()
