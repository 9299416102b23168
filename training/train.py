"""Train one network by a recipe.

    python -m training.train --recipe R.toml --data D --out O

The state is saved after every epoch; the same command resumes a run that was stopped or killed. The epoch to keep
is chosen on `validation` without the images it shares with `test`. If D has one sub-folder of images per label and no
splits, they are made once, in O/data (see training.data.own_folder). For several processes, GPUs or machines, use the
launcher: `accelerate launch --num_processes 2 -m training.train ...`.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import PartialState

from emotion_hub.errors import MissingDependencyError
from emotion_hub.labels import LABEL_SETS, label_set
from training.data.own_folder import folder_labels, own_splits
from training.fit.recipe import load_recipe
from training.fit.record_types import RunHistory
from training.fit.run_folder import weights_file
from training.fit.session import load_run_data, run

__all__ = ["main"]


def main(argv: list[str] | None = None) -> RunHistory:
    """Train, and return the history of the run."""
    parser = argparse.ArgumentParser(prog="training.train", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="a .toml file of training/runs/")
    parser.add_argument(
        "--data",
        required=True,
        help="a Hub id, a folder of parquet files, images or manifests, or fer2013.csv (see training.data.sources)",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the run's state and results")
    parser.add_argument(
        "--labels",
        metavar="SET",
        help=f"{', '.join(LABEL_SETS)} or labels separated by commas, instead of the recipe's; for one's own images "
        "the default is the names of their folders",
    )
    parser.add_argument(
        "--no-detect",
        dest="detect",
        action="store_false",
        help="one's own images are cropped faces; do not search them for faces",
    )
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="starting weights, if the recipe needs some: a file, or an embedded name, a folder or a Hub id",
    )
    parser.add_argument(
        "--teacher", action="append", default=[], help="a checkpoint to learn from (recipe: distill); may be repeated"
    )
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that prepare batches; 0 prepares them in the main process"
    )
    parser.add_argument(
        "--log",
        choices=("none", "tensorboard", "trackio"),
        default="none",
        help="where to log curves, in addition to history.json",
    )
    parser.add_argument(
        "--stop-after", type=float, metavar="SECONDS", help="save and stop after this time; the same command resumes"
    )
    args = parser.parse_args(argv)
    if args.log != "none" and find_spec(args.log) is None:
        raise MissingDependencyError(f"--log {args.log} needs a package that is not installed: pip install {args.log}")
    if args.threads:
        torch.set_num_threads(args.threads)
    labels = label_set(args.labels) if args.labels else None
    recipe = load_recipe(args.recipe, labels=labels, default_labels=folder_labels(args.data))
    init = weights_file(args.init) if args.init else None
    args.out.mkdir(parents=True, exist_ok=True)
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        source = own_splits(args.data, args.out, recipe.labels, detect=args.detect)
        data = load_run_data(source, recipe, args.out / "near.npz")
    return run(
        recipe,
        data,
        args.out,
        init=init,
        teachers=args.teacher,
        stop_after=args.stop_after,
        report_to=args.log,
        workers=args.workers,
    )


if __name__ == "__main__":
    main()
