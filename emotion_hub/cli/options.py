"""Options that several commands share. For the sake of `--help`, this and the commands' modules import at their top what parsing needs and nothing more."""

from __future__ import annotations

import argparse

from emotion_hub.backend_names import AUTO, BACKENDS

TYPE_CHECKING = False  # as in emotion_hub
if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FORMATS",
    "RUNS",
    "add_annotate",
    "add_backend",
    "add_format",
    "add_labels",
    "add_model",
    "add_picture_options",
    "add_pictures",
    "add_whole",
    "named_file",
]

#: What `predict` and `compare` write.
FORMATS = ("table", "json", "csv", "ndjson")


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """IMAGE..., read by `emotion_hub.cli.inputs`."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder (with the pictures below it), a pattern such as '*.jpg', or - for standard input",
    )


def add_model(parser: argparse.ArgumentParser, *, several: bool = False, about: str = "") -> None:
    """--model, once or repeated."""
    text = f"embedded name, folder or Hub id{about} (default: native48)"
    if several:
        parser.add_argument("--model", action="append", help=text)
    else:
        parser.add_argument("--model", default="native48", help=text)


#: What --backend is for.
RUNS = "what runs the network (default: auto, which is onnx where the checkpoint has an ONNX file, else torch)"


def add_backend(parser: argparse.ArgumentParser, about: str = RUNS) -> None:
    """--backend; auto is `emotion_hub.backends.default_backend`."""
    parser.add_argument("--backend", default=AUTO, choices=(AUTO, *BACKENDS), help=about)


def add_labels(parser: argparse.ArgumentParser) -> None:
    """--labels, as in `EmotionPredictor.with_labels`."""
    about = "answer over six_class, or over expressions separated by commas: others are left out and the rest adds up to 1 again"
    parser.add_argument("--labels", metavar="SET", help=about)


def add_whole(parser: argparse.ArgumentParser, what: str = "image") -> None:
    """--no-detect; --whole is its name of release 0.1."""
    parser.add_argument(
        "--no-detect",
        "--whole",
        dest="whole",
        action="store_true",
        help=f"take the whole {what} as the face; nothing is detected",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """--format, --json and --out, used by `emotion_hub.cli.tables`."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table (default), json (a list of {image, faces}), csv (a row per face), or ndjson",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--out", metavar="FILE", help="write to this file instead of standard output")


def add_annotate(parser: argparse.ArgumentParser) -> None:
    """--annotate FOLDER, used by `emotion_hub.cli.pictures`."""
    parser.add_argument(
        "--annotate",
        metavar="FOLDER",
        help="also write each picture there as a PNG with its faces boxed and named; made if it does not exist",
    )


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """What `predict` and `compare` take besides pictures and models."""
    add_labels(parser)
    add_whole(parser)
    add_backend(parser)
    add_format(parser)
    add_annotate(parser)


def named_file(option: str, value: str, *suffixes: str) -> Path:
    """The path of a file to write. Raises InputError for another suffix, where some are given, and for a folder that does not exist."""
    from pathlib import Path

    from emotion_hub.errors import InputError

    path = Path(value)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{option} {value!r}: the file's name ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"{option} {value!r}: there is no folder {str(path.parent)!r}; make it first")
    return path
