"""`emotion-hub explain`: one image of relevance maps, with their metrics."""

from __future__ import annotations

import argparse
import sys

from emotion_hub.backend_names import AUTO
from emotion_hub.cli.options import add_backend, add_detector, add_model, add_option, add_whole, named_file

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from emotion_hub.explainers import Explanation

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "explain a prediction: one image with relevance maps, and their metrics"

EXAMPLES = (
    "explain photo.jpg --method gradcam --method lime --out sheet.png",
    "explain photo.jpg --model native48 --model upscale224 --method all",
    "explain photo.jpg --target sad --versus neutral --json",
)


class _ListMethods(argparse.Action):
    """Print the explanation methods and end the process, as --version does."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print one line per method, and one per option."""
        from emotion_hub.explainers.registry import METHODS

        for name, method in METHODS.items():
            print(f"{name:12} {method.title}: {method.summary}")
            for option in method.public_options:
                declared = method.options[option]
                bounds = "" if declared.low is None else f" ({declared.low} to {declared.high})"
                print(f"{'':12}   {option}={declared.default}{bounds}: {declared.summary}")
        parser.exit()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "image", metavar="IMAGE", help="an image file, or - for standard input; its largest face is explained"
    )
    add_model(parser, several=True, about="; repeat for one row of maps per model")
    parser.add_argument(
        "--method",
        action="append",
        help="an explanation method, or all; repeat for more columns (default: gradcam); see --list-methods",
    )
    parser.add_argument("--target", help="the label to explain (default: the predicted one)")
    parser.add_argument("--versus", help="explain why TARGET rather than this label")
    parser.add_argument("--list-methods", action=_ListMethods, help="print the methods with their options, and exit")
    parser.add_argument("--samples", type=int, help="number of samples of LIME (default: 1000)")
    parser.add_argument("--seed", type=int, help="the seed of LIME and SHAP (default: 0)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the methods that --list-methods names; repeat for several",
    )
    add_option(
        parser,
        "--metrics",
        "--scoring",
        default="fast",
        help="none, map (without further runs of the network), fast, or full, which runs every method five more times "
        "(default: fast)",
    )
    parser.add_argument(
        "--out", default="explanation.png", metavar="PNG", help="the image to write (default: explanation.png)"
    )
    add_whole(parser)
    add_detector(parser)
    about = (
        "what runs the network for LIME (default: auto); Grad-CAM, rollout and, where torch is installed, SHAP"
        " always use torch"
    )
    add_backend(parser, about)
    parser.add_argument("--json", action="store_true", help="print the explanations as JSON, without the maps")


def _method_options(args: argparse.Namespace) -> dict[str, Any]:
    """The methods' options that were given; raises InputError for one that is not NAME=VALUE."""
    from emotion_hub.errors import InputError

    given = {name: getattr(args, name) for name in ("samples", "seed") if getattr(args, name) is not None}
    for text in args.option:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InputError(f"--option {text!r}: give NAME=VALUE, such as samples=500")
        given[name] = int(value) if value.lstrip("-").isdigit() else value
    return given


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when the image could not be read, else 0."""
    import json

    from tqdm import tqdm

    from emotion_hub.cli.inputs import opened
    from emotion_hub.errors import InputError
    from emotion_hub.explainers.overlay import sheet
    from emotion_hub.explainers.sheet import explain_all
    from emotion_hub.images import load_image
    from emotion_hub.predictor import EmotionPredictor

    target = named_file("--out", args.out, ".png")
    try:
        photo = load_image(opened(args.image))
    except InputError as error:
        print(f"error: {args.image}: {error}", file=sys.stderr)
        return 1
    # the bar appears on a terminal only, after one second
    with tqdm(total=100, delay=1, disable=None, bar_format="{l_bar}{bar}| {elapsed}") as bar:

        def progress(share: float) -> None:
            bar.update(100 * share - bar.n)

        explanations = explain_all(
            photo,
            args.method or ["gradcam"],
            [
                model if args.backend == AUTO else EmotionPredictor.from_pretrained(model, backend=args.backend)
                for model in args.model or ["native48"]
            ],
            args.target,
            versus=args.versus,
            whole=args.whole,
            metrics=args.metrics,
            progress=progress,
            **_method_options(args),
        )
    sheet(explanations).save(target)
    if args.json:
        records = [explanation.to_dict() for explanation in explanations]
        print(json.dumps({"sheet": str(target), "explanations": records}, indent=2))
        return 0
    for explanation in explanations:
        print(_line(explanation))
    print(f"-> {target}")
    return 0


def _line(explanation: Explanation) -> str:
    """One line of text on an explanation."""
    values = ", ".join(
        f"{name} {explanation.scores[name]:.2f}" for name in ("deletion", "insertion") if name in explanation.scores
    )
    target = explanation.target + (f" rather than {explanation.versus}" if explanation.versus else "")
    names = f"{explanation.model:10} {explanation.method:10}"
    return f"{names} {target} ({explanation.confidence:.1%})  {values}  {explanation.milliseconds:.0f} ms"
