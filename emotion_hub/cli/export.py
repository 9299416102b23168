"""`emotion-hub export`: a checkpoint as an ONNX file."""

from __future__ import annotations

import argparse

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "a checkpoint as an ONNX file, compared with torch; or its 8-bit form"

EXAMPLES = (
    "export native48 --out native48.onnx",
    "export runs/mine --dtype float16 --out mine.onnx",
    "export runs/mine --dtype int8 --faces training_faces/",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("checkpoint", help="embedded name, folder or Hub id")
    parser.add_argument(
        "--out",
        metavar="ONNX",
        help="the file (default: model.onnx in the checkpoint's folder, or CHECKPOINT.onnx here)",
    )
    parser.add_argument(
        "--opset", type=int, help="17, or an older one down to 11 (default: 17, and 11 where that fails)"
    )
    parser.add_argument(
        "--dtype",
        "--storage",
        dest="storage",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="how the weights are stored (default: float32)",
    )
    parser.add_argument(
        "--faces", metavar="FOLDER", help="training faces, at least 32 pictures below it, that set the ranges of int8"
    )


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    from emotion_hub.cli.export_file import export_file

    out, lines = export_file(args.checkpoint, args.out, opset=args.opset, storage=args.storage, faces=args.faces)
    print("\n".join([*lines, f"-> {out}"]))
    return 0
