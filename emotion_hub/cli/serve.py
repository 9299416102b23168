"""`emotion-hub serve`: predictions over HTTP."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from importlib.util import find_spec

TYPE_CHECKING = False  # as in emotion_hub
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "predictions over HTTP"

EXAMPLES = (
    "serve",
    "serve --host 0.0.0.0 --port 8000 --model native48 --model OWNER/NAME --no-demo",
    "serve --backend onnx-int8 --queue 128 --batch 64",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments. What is left out is not set at all, so that the defaults stand in `ServeConfig` alone."""
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for every one (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="0 for any free one (default: 8000)")
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        help="embedded name, folder or Hub id; again for more (default: the embedded ones)",
    )
    parser.add_argument(
        "--default", metavar="MODEL", help="the model for requests that name none (default: native48, or the first)"
    )
    parser.add_argument(
        "--backend",
        help="auto, torch, onnx or onnx-int8 (default: auto, which is onnx for models that have its file, else torch)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="require this key; better set EMOTION_HUB_API_KEY, which other users cannot see",
    )
    parser.add_argument(
        "--cors",
        action="append",
        metavar="ORIGIN",
        help="let this origin's pages call; again for more, * for every page",
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
        help="maximum number of faces that go through a network together (default: 32)",
    )
    parser.add_argument(
        "--batch-wait", type=float, metavar="MS", help="milliseconds to wait for others to join a batch (default: 3)"
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds a request may take (default: 30)")
    parser.add_argument(
        "--body-timeout", type=float, metavar="S", help="seconds a request's body may take to arrive (default: 20)"
    )
    parser.add_argument(
        "--explain-timeout", type=float, metavar="S", help="seconds an explanation may take (default: 120)"
    )
    parser.add_argument(
        "--max-body", type=int, metavar="BYTES", help="the largest request (default: a 10 MB picture in base64)"
    )
    parser.add_argument("--no-demo", action="store_true", default=False, help="do not serve the demo at /demo")


def run(args: argparse.Namespace) -> int:
    """The exit status, once the server has stopped."""
    from emotion_hub.serve.command import config_of, serve

    given = {name: value for name, value in vars(args).items() if name not in ("run", "no_demo")}
    with_demo = not args.no_demo and find_spec("gradio") is not None
    return serve(config_of(given), _demo if with_demo else None)


@contextmanager
def _demo() -> Iterator[tuple[Any, dict[str, Any]]]:
    from emotion_hub.ui import build_demo, launch_options
    from emotion_hub.ui.uploads import upload_folder

    with upload_folder():
        yield build_demo(), launch_options()
