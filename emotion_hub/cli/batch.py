"""`emotion-hub batch`: predict all pictures of a source into one result file."""

from __future__ import annotations

import argparse

from emotion_hub.cli.options import add_backend, add_detector, add_labels, add_model, add_option, add_whole

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = (
    "predict every picture of a folder, archive, manifest, data set or video into one file: CSV, JSON lines or parquet"
)

EXAMPLES = (
    "batch photos/ --out faces.csv",
    "batch album.zip --out faces.ndjson --model native48 --model upscale224",
    "batch rows.csv --column path --out faces.parquet --workers 8",
    "batch s3-mirror/ --out faces.parquet --engine ray",
)

#: Options that `predict_many` takes under the same names.
_FORWARDED = (
    "backend",
    "batch_size",
    "whole",
    "full_decode",
    "check_crops",
    "workers",
    "engine",
    "split",
    "column",
    "rate",
    "restart",
    "labels",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder, .zip, .tar(.gz), .csv with a path column, .parquet, video, or a data set's Hub id",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=".csv, .ndjson, .jsonl or .parquet; after an interruption, the same command continues the run",
    )
    add_model(parser, several=True, about="; repeat for several models, which adds rows per face")
    add_labels(parser)
    add_backend(parser)
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="faces per batch of a network (default: 64)"
    )
    add_whole(parser, "picture")
    add_detector(parser)
    parser.add_argument(
        "--full-decode",
        action="store_true",
        help="decode large JPEGs at full size, not at the reduced size that is enough for their faces",
    )
    parser.add_argument(
        "--check-crops",
        action="store_true",
        help="also fill the column of warnings (blurred, not_a_face, ...) for ready-made crops, which takes about as "
        "long as a small network",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="threads that decode pictures, or Ray's actors (default: one per core)",
    )
    parser.add_argument(
        "--engine",
        default="local",
        choices=["local", "ray"],
        help="ray: the cluster of RAY_ADDRESS, or this machine (default: local)",
    )
    parser.add_argument("--split", help="the split of a data set (default: all)")
    parser.add_argument("--column", help="the column with the picture, or with its path in a manifest")
    parser.add_argument(
        "--rate", type=float, default=5.0, metavar="FPS", help="frames per second of a video (default: 5)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="delete the parts or the result of an earlier run at --out"
    )
    add_option(parser, "--json", "--json-summary", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when at least one picture could not be read, else 0."""
    import json

    from emotion_hub.batch import predict_many

    options = {name: getattr(args, name) for name in _FORWARDED}
    summary = predict_many(args.source, args.out, models=args.model or ["native48"], progress=True, **options)
    if args.json:
        print(json.dumps(summary.to_dict(), indent=2))
    else:
        counts = f"{summary.faces} faces, {summary.faceless} pictures without a face, {summary.errors} unreadable"
        print(f"{summary.pictures} pictures ({summary.resumed} from an earlier run): {counts}")
        print(f"-> {summary.out}")
    return 1 if summary.errors else 0
