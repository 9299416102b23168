"""The command line: `python -m emotion_hub predict IMAGE...`, `compare IMAGE...`, `explain IMAGE`, `models`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_hub import __version__
from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import EmotionHubError, InputError
from emotion_hub.prediction import Comparison, Prediction

if TYPE_CHECKING:
    from emotion_hub.explainers import Explanation

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 when every image was read, 1 when one was not, 2 for a wrong call."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except EmotionHubError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emotion_hub", description="Facial expressions from 48-pixel faces and their 224-pixel upscales.")
    parser.add_argument("--version", action="version", version=f"emotion_hub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="the expression of every face in each image")
    predict.add_argument("--model", default="native48", help="embedded name, folder or Hub id (default: native48)")
    predict.set_defaults(run=_predict)

    both = commands.add_parser("compare", help="native48 and upscale224 side by side")
    both.set_defaults(run=_compare)

    for command in (predict, both):
        command.add_argument("images", nargs="+", metavar="IMAGE", help="an image file, or - for standard input")
        command.add_argument("--whole", action="store_true", help="take the whole image as the face")
        command.add_argument("--json", action="store_true", help="print a JSON list of {image, faces}")

    why = commands.add_parser("explain", help="why a network said it: a sheet of relevance maps with their scores")
    why.add_argument("image", metavar="IMAGE", help="an image file, or - for standard input; its largest face is explained")
    why.add_argument("--model", action="append", help="embedded name, folder or Hub id; again for a second row (default: native48)")
    why.add_argument("--method", action="append", help="gradcam, gradcam++, lime, shap, rollout or all; again for more columns (default: gradcam)")
    why.add_argument("--target", help="the label to explain (default: the predicted one)")
    why.add_argument("--versus", help="explain why TARGET rather than this label")
    why.add_argument("--samples", type=int, default=1000, help="LIME's samples (default: 1000)")
    why.add_argument("--seed", type=int, default=0, help="the seed of LIME and SHAP (default: 0)")
    why.add_argument("--scoring", default="fast", help="none, fast or full, which runs every method five more times (default: fast)")
    why.add_argument("--out", default="explanation.png", metavar="PNG", help="the sheet (default: explanation.png)")
    why.add_argument("--whole", action="store_true", help="take the whole image as the face")
    why.add_argument("--json", action="store_true", help="print the explanations as JSON, without the maps")
    why.set_defaults(run=_explain)

    models = commands.add_parser("models", help="the embedded checkpoints and the networks")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=_models)
    return parser


def _predict(args: argparse.Namespace) -> int:
    from emotion_hub.predictor import EmotionPredictor

    predictor = EmotionPredictor.from_pretrained(args.model)
    return _each(args, lambda source: predictor.predict(source, whole=args.whole), _prediction_line)


def _compare(args: argparse.Namespace) -> int:
    from emotion_hub.predictor import compare

    return _each(args, lambda source: compare(source, whole=args.whole), _comparison_line)


def _explain(args: argparse.Namespace) -> int:
    from emotion_hub.explainers.overlay import sheet
    from emotion_hub.explainers.several import explain_all
    from emotion_hub.images import load_image

    target = Path(args.out)
    if target.suffix.lower() != ".png" or not target.parent.is_dir():
        raise InputError(f"--out {args.out!r}: name a .png file in a folder that exists")
    try:
        photo = load_image(sys.stdin.buffer if args.image == "-" else args.image)
    except InputError as error:
        print(f"error: {args.image}: {error}", file=sys.stderr)
        return 1
    found = explain_all(
        photo,
        args.method or ["gradcam"],
        args.model or ["native48"],
        args.target,
        versus=args.versus,
        whole=args.whole,
        scoring=args.scoring,
        samples=args.samples,
        seed=args.seed,
    )
    sheet(found).save(target)
    if args.json:
        print(json.dumps({"sheet": str(target), "explanations": [explanation.to_dict() for explanation in found]}, indent=2))
        return 0
    for explanation in found:
        print(_explanation_line(explanation))
    print(f"-> {target}")
    return 0


def _explanation_line(explanation: Explanation) -> str:
    scores = ", ".join(f"{name} {explanation.scores[name]:.2f}" for name in ("deletion", "insertion") if name in explanation.scores)
    why = explanation.target + (f" rather than {explanation.versus}" if explanation.versus else "")
    return f"{explanation.model:10} {explanation.method:10} {why} ({explanation.confidence:.1%})  {scores}  {explanation.milliseconds:.0f} ms"


def _each(args: argparse.Namespace, answer: Any, line: Any) -> int:
    """Run `answer` on every image; an image that cannot be read is reported and the others go on."""
    results, status = [], 0
    for name in args.images:
        try:
            faces = answer(sys.stdin.buffer if name == "-" else name)
        except InputError as error:
            status = 1
            results.append({"image": name, "error": str(error), "faces": []})
            if not args.json:
                print(f"error: {name}: {error}", file=sys.stderr)
            continue
        results.append({"image": name, "faces": [face.to_dict() for face in faces]})
        if not args.json:
            print(f"{name}: {len(faces)} face{'s' * (len(faces) != 1)}")
            for face in faces:
                print("  " + line(face))
    if args.json:
        print(json.dumps(results, indent=2))
    return status


def _prediction_line(face: Prediction) -> str:
    return f"{face.label:9} {face.confidence:6.1%}  box {face.bbox}  {face.timings['total']:.1f} ms"


def _comparison_line(face: Comparison) -> str:
    small, large = face.native48.prediction, face.upscale224.prediction
    verdict = "agree" if face.agree else "differ"
    return (
        f"native48 {small.label} {small.confidence:.1%} | upscale224 {large.label} {large.confidence:.1%} | {verdict}"
        f" | inference {small.timings['inference']:.1f} and {large.timings['inference']:.1f} ms"
    )


def _models(args: argparse.Namespace) -> int:
    from emotion_hub.models import list_models  # here, because it loads torch

    rows = [checkpoint_summary(name) for name in embedded_checkpoints()]
    if args.json:
        print(json.dumps({"checkpoints": rows, "networks": list_models()}, indent=2))
        return 0
    print("checkpoints in this package:")
    for row in rows:
        accuracy = "not measured" if row["accuracy"] is None else f"{row['accuracy']:.2%} on {row['split']} (n={row['n']})"
        print(f"  {row['name']:12} {row['model']:16} {accuracy}")
    print("networks for create_model: " + ", ".join(list_models()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
