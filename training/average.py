"""Average the weights of runs that were fine-tuned from the same weights.

    python -m training.average --run A --run B --weight .3 --weight .7 --data D --out OUT

OUT becomes the folder of a run: `training.package` packages it, and its best.safetensors can start `training.train`. A
single run with `--weight 1` keeps its weights and gets batch-norm statistics of clean instead of augmented faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.fit.average import average_runs
from training.fit.record_types import RunHistory

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> RunHistory:
    """Average, write the run to --out and print its validation figures; returns its history."""
    parser = argparse.ArgumentParser(prog="training.average", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", required=True, type=Path, action="append", help="an --out folder of training.train; may be repeated"
    )
    parser.add_argument(
        "--weight",
        required=True,
        type=float,
        action="append",
        help="the share of each run, in the same order; the shares sum to 1",
    )
    parser.add_argument(
        "--data",
        required=True,
        help="the data set of the runs: statistics come from its training split, figures from its validation split",
    )
    parser.add_argument("--out", required=True, type=Path, help="where to write history.json and best.safetensors")
    args = parser.parse_args(argv)
    history = average_runs(args.run, args.weight, args.data, args.out)
    [epoch] = history["epochs"]
    print(
        f"{args.out.name}: validation {epoch['val_accuracy']:.4f}, macro F1 {epoch['val_macro_f1']:.4f}, "
        f"loss {epoch['val_loss']:.4f}"
    )
    return history


if __name__ == "__main__":
    main()
