"""`emotion-hub serve`: the HTTP API, with the demo."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from importlib.util import find_spec

from emotion_hub.cli.options import add_detector

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "serve predictions over HTTP"

EXAMPLES = (
    "serve",
    "serve --host 0.0.0.0 --port 8000 --model native48 --model OWNER/NAME --no-demo",
    "serve --backend onnx-int8 --queue 128 --batch 64",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser.

    Options that are not given are not set at all: `ServeConfig` is the only place that has the defaults.
    """
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for all interfaces (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="0 for any free port (default: 8000)")
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        help="embedded name, folder or Hub id; repeat for several models (default: the embedded ones)",
    )
    parser.add_argument(
        "--default", metavar="MODEL", help="the model of requests without one (default: native48, or the first)"
    )
    parser.add_argument(
        "--backend",
        help="auto, torch, onnx or onnx-int8 (default: auto, which is onnx for models that have its file, else torch)",
    )
    add_detector(parser)
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="require this key; prefer the variable EMOTION_HUB_API_KEY, which other users of the machine cannot see",
    )
    parser.add_argument(
        "--cors",
        action="append",
        metavar="ORIGIN",
        help="allow requests from pages of this origin; repeat for several origins, * for all",
    )
    parser.add_argument(
        "--queue", type=int, metavar="N", help="maximum number of requests in flight; others get 503 (default: 64)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that decode pictures and detect faces (default: one per core)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="maximum number of faces per batch of a network (default: 32)",
    )
    parser.add_argument(
        "--batch-wait",
        type=float,
        metavar="MS",
        help="milliseconds that a batch waits for more faces (default: 3)",
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="deadline of a request in seconds (default: 30)")
    parser.add_argument(
        "--body-timeout",
        type=float,
        metavar="S",
        help="deadline in seconds for receiving a request's body (default: 20)",
    )
    parser.add_argument(
        "--explain-timeout", type=float, metavar="S", help="deadline of an explanation in seconds (default: 120)"
    )
    parser.add_argument(
        "--max-body",
        type=int,
        metavar="BYTES",
        help="largest request body (default: enough for a 10 MB picture in base64)",
    )
    parser.add_argument("--no-demo", action="store_true", default=False, help="do not serve the demo at /demo")


def run(args: argparse.Namespace) -> int:
    """The exit status, after the server has stopped."""
    from emotion_hub.serve.command import config_of, serve

    given = {name: value for name, value in vars(args).items() if name not in ("run", "no_demo", "detector")}
    with_demo = not args.no_demo and find_spec("gradio") is not None
    return serve(config_of(given), _demo if with_demo else None)


@contextmanager
def _demo() -> Iterator[tuple[Any, dict[str, Any]]]:
    """The demo and its launch options, while its folder for uploads exists."""
    from emotion_hub.ui import build_demo, launch_options
    from emotion_hub.ui.uploads import upload_folder

    with upload_folder():
        yield build_demo(), launch_options()
