"""Command-line options that several commands share.

This module and the commands' modules import only what parsing needs at their top, so that `--help` is quick.
"""

from __future__ import annotations

import argparse

from emotion_hub.backend_names import AUTO, BACKENDS

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

__all__ = [
    "BACKEND_HELP",
    "FORMATS",
    "add_annotate",
    "add_backend",
    "add_detector",
    "add_format",
    "add_labels",
    "add_model",
    "add_option",
    "add_picture_options",
    "add_pictures",
    "add_whole",
    "named_file",
]

#: Output formats of `predict` and `compare`.
FORMATS = ("table", "json", "csv", "ndjson")


def add_option(parser: argparse.ArgumentParser, name: str, *old_names: str, **settings: Any) -> None:
    """Add an option with its `add_argument` settings; `old_names` work too and are not shown in `--help`."""
    settings.setdefault("dest", name.removeprefix("--").replace("-", "_"))
    parser.add_argument(name, **settings)
    for old_name in old_names:
        parser.add_argument(old_name, **{**settings, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS})


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add IMAGE..., which `emotion_hub.cli.inputs` expands."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder (including subfolders), a pattern such as '*.jpg', or - for standard input",
    )


def add_model(parser: argparse.ArgumentParser, *, several: bool = False, about: str = "") -> None:
    """Add --model, which is given once or, with `several`, repeated."""
    text = f"embedded name, folder or Hub id{about} (default: native48)"
    if several:
        parser.add_argument("--model", action="append", help=text)
    else:
        parser.add_argument("--model", default="native48", help=text)


#: Help text of --backend.
BACKEND_HELP = "what runs the network (default: auto, which is onnx where the checkpoint has an ONNX file, else torch)"


def add_backend(parser: argparse.ArgumentParser, about: str = BACKEND_HELP) -> None:
    """Add --backend; auto is `emotion_hub.backends.default_backend`."""
    parser.add_argument("--backend", default=AUTO, choices=(AUTO, *BACKENDS), help=about)


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add --labels, as in `EmotionPredictor.with_labels`."""
    about = (
        "predict over the label set six_class, or over expressions separated by commas: the other labels are left out"
        " and the probabilities are renormalised to 1"
    )
    parser.add_argument("--labels", metavar="SET", help=about)


def add_whole(parser: argparse.ArgumentParser, what: str = "image") -> None:
    """Add --no-detect, whose name in release 0.1 was --whole; `what` names the input."""
    add_option(
        parser,
        "--no-detect",
        "--whole",
        dest="whole",
        action="store_true",
        help=f"take the whole {what} as one face; no face is detected",
    )


def add_detector(parser: argparse.ArgumentParser) -> None:
    """Add --detector, which `emotion_hub.cli.main` makes the default detector of the process."""
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="yunet, or none, which takes every image as a face (default: EMOTION_HUB_DETECTOR, or yunet)",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add --format, --json and --out, used by `emotion_hub.cli.tables`."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table (default), json (a list of {image, faces}), csv (one row per face), or ndjson",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--out", metavar="FILE", help="write to this file instead of standard output")


def add_annotate(parser: argparse.ArgumentParser) -> None:
    """Add --annotate FOLDER, used by `emotion_hub.cli.pictures`."""
    parser.add_argument(
        "--annotate",
        metavar="FOLDER",
        help="also write each picture to this folder as PNG, with boxes and labels of its faces",
    )


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `predict` and `compare` share."""
    add_labels(parser)
    add_whole(parser)
    add_detector(parser)
    add_backend(parser)
    add_format(parser)
    add_annotate(parser)


def named_file(option: str, value: str, *suffixes: str) -> Path:
    """The path of a file to write.

    Raises InputError for a suffix other than `suffixes`, where some are given, and for a folder that does not exist.
    """
    from pathlib import Path

    from emotion_hub.errors import InputError

    path = Path(value)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{option} {value!r}: the file's name must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"{option} {value!r}: there is no folder {str(path.parent)!r}; create it first")
    return path
