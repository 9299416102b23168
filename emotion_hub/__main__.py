"""The command line: `python -m emotion_hub predict IMAGE...`, `compare IMAGE...`, `explain IMAGE`,
`score SOURCE`, `video FILE`, `export CHECKPOINT`, `models`, `serve`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_hub import __version__
from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import EmotionHubError, InputError, MissingDependencyError
from emotion_hub.prediction import BACKENDS, Comparison, Prediction

if TYPE_CHECKING:
    from emotion_hub.explainers import Explanation

__all__ = ["main"]

AUTO = "auto"


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
        _backend_option(command)
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

    _serve_options(commands.add_parser("serve", help="answer over HTTP", argument_default=argparse.SUPPRESS))

    export = commands.add_parser("export", help="a checkpoint as an ONNX file, checked against torch; or its 8-bit form")
    export.add_argument("checkpoint", help="embedded name, folder or Hub id")
    export.add_argument("--out", metavar="ONNX", help="the file (default: model.onnx in the checkpoint's folder, or CHECKPOINT.onnx here)")
    export.add_argument("--opset", type=int, help="17, or an older one down to 11 (default: 17, and 11 where that fails)")
    export.add_argument("--storage", choices=("float32", "float16", "int8"), default="float32", help="how the weights are stored (default: float32)")
    export.add_argument("--faces", metavar="FOLDER", help="training faces, at least 32 pictures below it, that set the ranges of int8")
    export.set_defaults(run=_export)

    many = commands.add_parser("score", help="every picture of a folder, archive, manifest, data set or video into one parquet file")
    many.add_argument("source", metavar="SOURCE", help="folder, .zip, .tar(.gz), .csv with a path column, .parquet, video, or a data set's Hub id")
    many.add_argument("--out", required=True, metavar="PARQUET", help="the result; the same command after a kill goes on where it was")
    many.add_argument("--model", action="append", help="embedded name, folder or Hub id; again for more rows a face (default: native48)")
    _backend_option(many)
    many.add_argument("--batch-size", type=int, default=64, metavar="N", help="faces that go through a network at once (default: 64)")
    many.add_argument("--whole", action="store_true", help="take each picture as one face")
    many.add_argument("--workers", type=int, metavar="N", help="threads that read pictures, or Ray's actors (default: one a core)")
    many.add_argument("--engine", default="local", choices=["local", "ray"], help="ray: the cluster of RAY_ADDRESS, or this machine (default: local)")
    many.add_argument("--split", help="the split of a data set (default: all)")
    many.add_argument("--column", help="the column of the picture, or of its path in a manifest")
    many.add_argument("--rate", type=float, default=5.0, metavar="FPS", help="frames a second of a video (default: 5)")
    many.add_argument("--restart", action="store_true", help="drop the parts or the result that an earlier run left at --out")
    many.add_argument("--json", "--json-summary", action="store_true", help="print the summary as JSON")
    many.set_defaults(run=_score)

    video = commands.add_parser("video", help="a video's faces over time: timeline.csv, timeline.png, annotated.mp4")
    video.add_argument("file", metavar="FILE", help="MP4, MOV, MKV, WebM, AVI, MPEG or Ogg")
    video.add_argument("--model", default="native48", help="embedded name, folder or Hub id (default: native48)")
    _backend_option(video)
    video.add_argument("--rate", type=float, default=5.0, metavar="FPS", help="frames a second to look at (default: 5)")
    video.add_argument("--smoothing", type=float, default=0.5, metavar="SECONDS", help="time constant of the smoothing, 0 for none (default: 0.5)")
    video.add_argument("--out", metavar="FOLDER", help="where the files go (default: FILE's name without its suffix)")
    video.add_argument("--partial", action="store_true", help="of a damaged file keep what comes before the damage")
    video.add_argument("--whole", action="store_true", help="take each frame as one face")
    video.add_argument("--json", action="store_true", help="print the summary as JSON")
    video.set_defaults(run=_video)

    models = commands.add_parser("models", help="the embedded checkpoints and the networks")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=_models)
    return parser


def _backend_option(command: argparse.ArgumentParser) -> None:
    about = "what runs the network (default: auto, which is onnx where the checkpoint has or can get that file, else torch)"
    command.add_argument("--backend", default=AUTO, choices=(AUTO, *BACKENDS), help=about)


def _backend(args: argparse.Namespace, *models: str) -> str:
    """The backend that was named, or the default one for these checkpoints."""
    from emotion_hub.predictor import usual_backend

    if args.backend != AUTO:
        return args.backend
    return "onnx" if all(usual_backend(model) == "onnx" for model in models) else "torch"


def _serve_options(server: argparse.ArgumentParser) -> None:
    """What is left out is not set at all, so that the defaults stand in `ServeConfig` alone."""
    server.add_argument("--host", help="address to listen on; 0.0.0.0 for every one (default: 127.0.0.1)")
    server.add_argument("--port", type=int, help="0 for any free one (default: 8000)")
    server.add_argument("--model", dest="models", action="append", help="embedded name, folder or Hub id; again for more (default: the embedded ones)")
    server.add_argument("--default", metavar="MODEL", help="which model answers when none is named (default: native48, or the first)")
    server.add_argument("--backend", help="torch, onnx or onnx-int8 (default: onnx for models that have its file or can be exported, else torch)")
    server.add_argument("--api-key", metavar="KEY", help="ask for this key; better set EMOTION_HUB_API_KEY, which other users cannot see")
    server.add_argument("--cors", action="append", metavar="ORIGIN", help="let this origin's pages call; again for more, * for every page")
    server.add_argument("--queue", type=int, metavar="N", help="requests in the house at once; more are told to come back (default: 64)")
    server.add_argument("--workers", type=int, metavar="N", help="threads that decode and find faces (default: one a core)")
    server.add_argument("--batch", type=int, metavar="N", help="faces that go through a network together, at most (default: 32)")
    server.add_argument("--batch-wait", type=float, metavar="MS", help="milliseconds to wait for others to join a batch (default: 3)")
    server.add_argument("--timeout", type=float, metavar="S", help="seconds a request may take (default: 30)")
    server.add_argument("--body-timeout", type=float, metavar="S", help="seconds a request's body may take to arrive (default: 20)")
    server.add_argument("--explain-timeout", type=float, metavar="S", help="seconds an explanation may take (default: 120)")
    server.add_argument("--max-body", type=int, metavar="BYTES", help="the largest request (default: a 10 MB picture in base64)")
    server.add_argument("--no-demo", action="store_true", default=False, help="do not serve the demo at /demo")
    server.set_defaults(run=_serve)


def _predict(args: argparse.Namespace) -> int:
    from emotion_hub.predictor import EmotionPredictor

    predictor = EmotionPredictor.from_pretrained(args.model, backend=_backend(args, args.model))
    return _each(args, lambda source: predictor.predict(source, whole=args.whole), _prediction_line)


def _compare(args: argparse.Namespace) -> int:
    from emotion_hub.predictor import compare, embedded_predictor

    sides = {name: embedded_predictor(name, _backend(args, name)) for name in ("native48", "upscale224")}
    return _each(args, lambda source: compare(source, whole=args.whole, **sides), _comparison_line)


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


def _score(args: argparse.Namespace) -> int:
    """Exit status 1 when a picture could not be read."""
    from emotion_hub.scoring import score

    given = ("batch_size", "whole", "workers", "engine", "split", "column", "rate", "restart")
    options = {name: getattr(args, name) for name in given}
    models = args.model or ["native48"]
    done = score(args.source, args.out, models=models, backend=_backend(args, *models), progress=True, **options)
    if args.json:
        print(json.dumps(done.to_dict(), indent=2))
    else:
        print(f"{done.pictures} pictures ({done.resumed} from an earlier run): {done.faces} faces, {done.faceless} without one, {done.errors} unreadable")
        print(f"-> {done.out}")
    return 1 if done.errors else 0


def _video(args: argparse.Namespace) -> int:
    """Exit status 1 when the file is damaged and --partial kept its beginning."""
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.video import analyse_video, probe_video

    probe_video(args.file)  # before a folder is made for what is no video
    out = Path(args.out or Path(args.file).stem)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {str(out)!r} is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    predictor = EmotionPredictor.from_pretrained(args.model, backend=_backend(args, args.model))
    options = {name: getattr(args, name) for name in ("rate", "smoothing", "whole", "partial")}
    found = analyse_video(args.file, predictor, annotated=out / "annotated.mp4", progress=True, **options)
    found.to_csv(out / "timeline.csv")
    found.to_png(out / "timeline.png")
    if args.json:
        print(json.dumps({"out": str(out), **found.summary()}, indent=2))
    else:
        print(f"{found.video}: {found.frames} frames over {found.duration:.1f} s, {len(found.tracks)} face{'s' * (len(found.tracks) != 1)}")
        for track in found.summary()["tracks"]:
            shares = ", ".join(f"{label} {share:.0%}" for label, share in sorted(track["shares"].items(), key=lambda item: -item[1]))
            print(f"  face {track['track']}  {track['begin']:.1f} to {track['end']:.1f} s  {shares}")
        print(f"-> {out}" + (f"  ({found.damage})" if found.damage else ""))
    return 1 if found.damage else 0


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


def _export(args: argparse.Namespace) -> int:
    from emotion_hub.onnx_command import export_file

    out, lines = export_file(args.checkpoint, args.out, opset=args.opset, storage=args.storage, faces=args.faces)
    print("\n".join([*lines, f"-> {out}"]))
    return 0


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


def _serve(args: argparse.Namespace) -> int:
    try:
        from emotion_hub.serve.command import config_of, serve
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"the server needs a package that is missing ({error.name}): pip install 'emotion-hub[serve]'") from error
    given = {name: value for name, value in vars(args).items() if name not in ("run", "no_demo")}
    with_demo = not args.no_demo and find_spec("gradio") is not None
    return serve(config_of(given), _demo if with_demo else None)


@contextmanager
def _demo() -> Iterator[tuple[Any, dict[str, Any]]]:
    from emotion_hub.ui import build_demo, launch_options
    from emotion_hub.ui.uploads import upload_folder

    with upload_folder():
        yield build_demo(), launch_options()


if __name__ == "__main__":
    sys.exit(main())
