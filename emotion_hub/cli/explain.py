"""`emotion-hub explain`: one image of relevance maps, with their metrics."""

from __future__ import annotations

import argparse
import sys

from emotion_hub.backend_names import AUTO
from emotion_hub.cli.options import add_backend, add_model, add_option, add_whole, named_file

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from emotion_hub.explainers import Explanation

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "explain a prediction: one image with relevance maps, and their metrics"

EXAMPLES = (
    "explain photo.jpg --method gradcam --method lime --out sheet.png",
    "explain photo.jpg --model native48 --model upscale224 --method all",
    "explain photo.jpg --target sad --versus neutral --json",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "image", metavar="IMAGE", help="an image file, or - for standard input; its largest face is explained"
    )
    add_model(parser, several=True, about="; repeat for one row of maps per model")
    parser.add_argument(
        "--method",
        action="append",
        help="gradcam, gradcam++, lime, shap, rollout or all; repeat for more columns (default: gradcam)",
    )
    parser.add_argument("--target", help="the label to explain (default: the predicted one)")
    parser.add_argument("--versus", help="explain why TARGET rather than this label")
    parser.add_argument("--samples", type=int, default=1000, help="number of samples of LIME (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of LIME and SHAP (default: 0)")
    add_option(
        parser,
        "--metrics",
        "--scoring",
        default="fast",
        help="none, fast or full, which runs every method five more times (default: fast)",
    )
    parser.add_argument(
        "--out", default="explanation.png", metavar="PNG", help="the image to write (default: explanation.png)"
    )
    add_whole(parser)
    about = (
        "what runs the network for LIME (default: auto); Grad-CAM, rollout and, where torch is installed, SHAP"
        " always use torch"
    )
    add_backend(parser, about)
    parser.add_argument("--json", action="store_true", help="print the explanations as JSON, without the maps")


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
            samples=args.samples,
            seed=args.seed,
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
