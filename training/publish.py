"""Push to the Hub in one commit: `python -m training.publish model|dataset|space --repo USER/NAME ...` (`--dry-run FOLDER` writes, and sends nothing)."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emotion_hub.errors import PublishError
from emotion_hub.labels import FER2013, LABEL_SETS
from training.data.duplicates import THRESHOLD
from training.publishing.cards import Start
from training.publishing.dataset_folder import Terms, write_dataset_folder
from training.publishing.model_folder import write_model_folder
from training.publishing.repository import Pushed, push_folder
from training.publishing.space_folder import space_variables, write_space_folder

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> Pushed | Path:
    """What was pushed, or the folder that a dry run wrote."""
    args = _parser().parse_args(argv)
    if args.dry_run is not None:
        args.build(args, args.dry_run)
        print(f"{args.kind} for {args.repo} -> {args.dry_run}; nothing was sent")
        return args.dry_run
    with tempfile.TemporaryDirectory() as folder:
        args.build(args, Path(folder))
        extra = {"private": args.private, "create_pr": args.create_pr, "message": args.message}
        if args.kind == "space":
            extra |= {"space_sdk": "gradio", "variables": _variables(args)}
        done = push_folder(Path(folder), args.repo, kind=args.kind, **extra)
    what = done.pull_request or (f"commit {done.commit[:12]}" if done.changed else f"unchanged at {done.commit[:12]}")
    print(f"{done.url}: {what}")
    return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(required=True, dest="kind")
    data = kinds.add_parser(
        "dataset", help="parquet with ClassLabel, a card with counts and the audit; publish only what its terms allow"
    )
    data.add_argument(
        "--data",
        required=True,
        help="what training.audit reads: a Hub id, a parquet or image folder, fer2013.csv, manifests",
    )
    data.add_argument("--title", required=True, help="the data set's name")
    data.add_argument("--licence", required=True, help="an identifier of the Hub's, such as cc-by-4.0 or other")
    data.add_argument(
        "--source",
        required=True,
        help="where the pictures come from and under which terms: a sentence or more for the card",
    )
    data.add_argument(
        "--annotation",
        required=True,
        help="who labelled them, how, and how much they agreed: a sentence or more for the card",
    )
    data.add_argument(
        "--labels",
        choices=tuple(LABEL_SETS),
        default=FER2013.name,
        help="label set; rows with other labels are counted and left out",
    )
    data.add_argument(
        "--near",
        type=float,
        metavar="CORRELATION",
        help=f"look for near copies too, which takes minutes ({THRESHOLD:g} is what training uses)",
    )
    data.set_defaults(build=_dataset)
    model = kinds.add_parser(
        "model", help="a checkpoint for every reader: safetensors, transformers' or timm's files, ONNX, handler, card"
    )
    model.add_argument(
        "--checkpoint", required=True, help="an embedded name, or a folder with its report.json and training.json"
    )
    model.add_argument(
        "--package",
        metavar="REQUIREMENT",
        help="what pip installs emotion_hub from (default: the Git address of this checkout)",
    )
    model.add_argument(
        "--licence",
        help="of weights that started from others' which this project does not know: an identifier of the Hub's, such as other",
    )
    model.add_argument(
        "--start-source",
        metavar="TEXT",
        help="whose weights they started from and under which terms: a sentence or more for the card",
    )
    model.set_defaults(build=_model)
    space = kinds.add_parser("space", help="this repository's demo; the models' ids become variables of the Space")
    space.add_argument(
        "--native48",
        metavar="ID",
        help="OWNER/NAME or OWNER/NAME@REVISION that reads 48-pixel faces first (default: the embedded one)",
    )
    space.add_argument("--upscale224", metavar="ID", help="the same of the upscaled faces")
    space.add_argument(
        "--models", metavar="ID", action="append", default=[], help="one more to choose from; may be repeated"
    )
    space.set_defaults(build=_space)
    for kind in (model, data, space):
        kind.add_argument(
            "--repo", required=True, metavar="USER/NAME", help="the repository; it is made if it is not there"
        )
        kind.add_argument("--private", action="store_true", help="make a new repository private")
        kind.add_argument("--create-pr", action="store_true", help="propose the commit as a pull request")
        kind.add_argument("--message", default="Publish with emotion_hub", help="the commit's message")
        kind.add_argument(
            "--dry-run", type=Path, metavar="FOLDER", help="write the exact folder there and send nothing"
        )
    return parser


def _dataset(args: argparse.Namespace, out: Path) -> None:
    terms = Terms(args.title, args.licence, args.source, args.annotation)
    rows = write_dataset_folder(args.data, out, terms, labels=LABEL_SETS[args.labels], near=args.near)
    print("rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()))


def _model(args: argparse.Namespace, out: Path) -> None:
    told = (args.licence, args.start_source)
    if None in told and any(value is not None for value in told):
        raise PublishError(
            f"--licence {args.licence!r}, --start-source {args.start_source!r}: the card needs both; give the other one too"
        )
    start = None if None in told else Start(*told)
    print("files: " + ", ".join(write_model_folder(args.checkpoint, out, args.repo, package=args.package, start=start)))


def _space(args: argparse.Namespace, out: Path) -> None:
    variables = _variables(args)
    print(
        f"{len(write_space_folder(out, variables))} files; variables: "
        + (", ".join(f"{k}={v}" for k, v in variables.items()) or "none")
    )


def _variables(args: argparse.Namespace) -> dict[str, str]:
    return space_variables(args.native48, args.upscale224, args.models)


if __name__ == "__main__":
    main()
