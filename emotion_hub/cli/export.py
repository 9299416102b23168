"""`emotion-hub export`: write a checkpoint as an ONNX file."""

from __future__ import annotations

import argparse

from emotion_hub.cli.options import add_option

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "export a checkpoint as an ONNX file and compare it with torch, or quantize it to 8 bits"

EXAMPLES = (
    "export native48 --out native48.onnx",
    "export runs/mine --dtype float16 --out mine.onnx",
    "export runs/mine --dtype int8 --faces training_faces/",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("checkpoint", help="embedded name, folder or Hub id")
    parser.add_argument(
        "--out",
        metavar="ONNX",
        help="the file (default: model.onnx in the checkpoint's folder, or CHECKPOINT.onnx in the working folder)",
    )
    parser.add_argument(
        "--opset", type=int, help="ONNX operator set, 11 to 17 (default: 17, or 11 where 17 cannot be exported)"
    )
    add_option(
        parser,
        "--dtype",
        "--storage",
        dest="storage",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="data type of the stored weights (default: float32)",
    )
    parser.add_argument(
        "--faces",
        metavar="FOLDER",
        help="folder with at least 32 pictures of training faces, which calibrate the value ranges of int8",
    )


def run(args: argparse.Namespace) -> int:
    """The exit status: always 0."""
    from emotion_hub.cli.export_file import export_file

    out, lines = export_file(args.checkpoint, args.out, opset=args.opset, storage=args.storage, faces=args.faces)
    print("\n".join([*lines, f"-> {out}"]))
    return 0
