"""`emotion-hub batch`: every picture of a source into one file of rows."""

from __future__ import annotations

import argparse

from emotion_hub.cli.options import add_backend, add_labels, add_model

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "every picture of a folder, archive, manifest, data set or video into one file: CSV, JSON lines or parquet"

EXAMPLES = (
    "batch photos/ --out faces.csv",
    "batch album.zip --out faces.ndjson --model native48 --model upscale224",
    "batch rows.csv --column path --out faces.parquet --workers 8",
    "batch s3-mirror/ --out faces.parquet --engine ray",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder, .zip, .tar(.gz), .csv with a path column, .parquet, video, or a data set's Hub id",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=".csv, .ndjson, .jsonl or .parquet; the same command after a kill continues",
    )
    add_model(parser, several=True, about="; again for more rows per face")
    add_labels(parser)
    add_backend(parser)
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="faces that go through a network at once (default: 64)"
    )
    parser.add_argument(
        "--no-detect",
        "--whole",
        dest="whole",
        action="store_true",
        help="take each picture as one face; nothing is detected",
    )
    parser.add_argument(
        "--full-decode",
        action="store_true",
        help="decode large JPEGs in full, not at the reduced size that their faces allow",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that read pictures, or Ray's actors (default: one per core)"
    )
    parser.add_argument(
        "--engine",
        default="local",
        choices=["local", "ray"],
        help="ray: the cluster of RAY_ADDRESS, or this machine (default: local)",
    )
    parser.add_argument("--split", help="the split of a data set (default: all)")
    parser.add_argument("--column", help="the column of the picture, or of its path in a manifest")
    parser.add_argument(
        "--rate", type=float, default=5.0, metavar="FPS", help="frames per second of a video (default: 5)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="drop the parts or the result that an earlier run left at --out"
    )
    parser.add_argument("--json", "--json-summary", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when a picture could not be read."""
    import json

    from emotion_hub.batch import predict_many

    given = (
        "backend",
        "batch_size",
        "whole",
        "full_decode",
        "workers",
        "engine",
        "split",
        "column",
        "rate",
        "restart",
        "labels",
    )
    options = {name: getattr(args, name) for name in given}
    summary = predict_many(args.source, args.out, models=args.model or ["native48"], progress=True, **options)
    if args.json:
        print(json.dumps(summary.to_dict(), indent=2))
    else:
        counts = f"{summary.faces} faces, {summary.faceless} without one, {summary.errors} unreadable"
        print(f"{summary.pictures} pictures ({summary.resumed} from an earlier run): {counts}")
        print(f"-> {summary.out}")
    return 1 if summary.errors else 0
