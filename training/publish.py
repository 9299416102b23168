"""Publish a model, a data set or a Space on the Hub in one commit.

    python -m training.publish model|dataset|space --repo USER/NAME ...

`--dry-run FOLDER` writes the folder and uploads nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emotion_hub.errors import PublishError
from emotion_hub.labels import label_set
from training.data.arguments import add_data, add_labels
from training.data.duplicates import THRESHOLD
from training.publishing.dataset_folder import Terms, write_dataset_folder
from training.publishing.licences import Start
from training.publishing.model_folder import write_model_folder
from training.publishing.repository import Pushed, push_folder
from training.publishing.space_folder import space_variables, write_space_folder

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> Pushed | Path:
    """The pushed commit, or the folder that a dry run wrote."""
    args = _parser().parse_args(argv)
    if args.dry_run is not None:
        args.build(args, args.dry_run)
        print(f"{args.kind} for {args.repo} -> {args.dry_run}; nothing was uploaded")
        return args.dry_run
    is_space = args.kind == "space"
    with tempfile.TemporaryDirectory() as folder:
        args.build(args, Path(folder))
        pushed = push_folder(
            Path(folder),
            args.repo,
            kind=args.kind,
            private=args.private,
            create_pr=args.create_pr,
            message=args.message,
            space_sdk="gradio" if is_space else None,
            variables=_variables(args) if is_space else None,
        )
    commit = f"{'commit' if pushed.changed else 'unchanged at'} {pushed.commit[:12]}"
    print(f"{pushed.url}: {pushed.pull_request or commit}")
    return pushed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(required=True, dest="kind")
    data = kinds.add_parser(
        "dataset", help="parquet files and a card with class counts and the audit; publish only what its terms allow"
    )
    add_data(data)
    data.add_argument("--title", required=True, help="name of the data set")
    data.add_argument("--licence", required=True, help="an identifier of the Hub, such as cc-by-4.0 or other")
    data.add_argument(
        "--source",
        required=True,
        help="source and terms of the pictures, one or more sentences for the card",
    )
    data.add_argument(
        "--annotation",
        required=True,
        help="who labelled them, how, and with which agreement, one or more sentences for the card",
    )
    add_labels(data)
    data.add_argument(
        "--near",
        type=float,
        default=0.0,
        metavar="CORRELATION",
        help="also count near copies, images with at least this correlation, which takes minutes "
        f"({THRESHOLD:g} in training); default 0: off",
    )
    data.set_defaults(build=_dataset)
    model = kinds.add_parser(
        "model", help="a checkpoint: safetensors, files for transformers or timm, ONNX, handler, card"
    )
    model.add_argument(
        "--checkpoint", required=True, help="an embedded name, or a folder with report.json and training.json"
    )
    model.add_argument(
        "--package",
        metavar="REQUIREMENT",
        help="requirement from which pip installs emotion_hub (default: the Git address of this checkout)",
    )
    model.add_argument(
        "--licence",
        help="licence of weights that were fine-tuned from weights unknown to this project: an identifier of the Hub, "
        "such as other",
    )
    model.add_argument(
        "--start-source",
        metavar="TEXT",
        help="origin and terms of the weights they were fine-tuned from, one or more sentences for the card",
    )
    model.set_defaults(build=_model)
    space = kinds.add_parser(
        "space", help="the demo of this repository; the ids of its models become variables of the Space"
    )
    space.add_argument(
        "--native48",
        metavar="ID",
        help="OWNER/NAME or OWNER/NAME@REVISION of the default model for 48-pixel faces (default: the embedded one)",
    )
    space.add_argument("--upscale224", metavar="ID", help="the same for upscaled faces")
    space.add_argument(
        "--models", metavar="ID", action="append", default=[], help="a further model to choose from; may be repeated"
    )
    space.set_defaults(build=_space)
    for kind in (model, data, space):
        kind.add_argument(
            "--repo", required=True, metavar="USER/NAME", help="the repository; it is created if it does not exist"
        )
        kind.add_argument("--private", action="store_true", help="create a new repository as private")
        kind.add_argument("--create-pr", action="store_true", help="propose the commit as a pull request")
        kind.add_argument("--message", default="Publish with emotion_hub", help="the commit's message")
        kind.add_argument("--dry-run", type=Path, metavar="FOLDER", help="write the folder there and upload nothing")
    return parser


def _dataset(args: argparse.Namespace, out: Path) -> None:
    terms = Terms(args.title, args.licence, args.source, args.annotation)
    rows = write_dataset_folder(args.data, out, terms, labels=label_set(args.labels), near=args.near)
    print("rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()))


def _model(args: argparse.Namespace, out: Path) -> None:
    if (args.licence is None) != (args.start_source is None):
        raise PublishError(
            f"--licence {args.licence!r}, --start-source {args.start_source!r}: the card needs both; give the other too"
        )
    start = None if args.licence is None else Start(args.licence, args.start_source)
    files = write_model_folder(args.checkpoint, out, args.repo, package=args.package, start=start)
    print("files: " + ", ".join(files))


def _space(args: argparse.Namespace, out: Path) -> None:
    variables = _variables(args)
    files = write_space_folder(out, variables)
    print(f"{len(files)} files; variables: " + (", ".join(f"{k}={v}" for k, v in variables.items()) or "none"))


def _variables(args: argparse.Namespace) -> dict[str, str]:
    return space_variables(args.native48, args.upscale224, args.models)


if __name__ == "__main__":
    main()
