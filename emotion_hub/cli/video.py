"""`emotion-hub video`: faces of a video over time."""

from __future__ import annotations

import argparse

from emotion_hub.cli.options import add_backend, add_detector, add_labels, add_model, add_whole

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "analyse a video's faces over time: timeline.csv, timeline.png, annotated.mp4"

EXAMPLES = ("video clip.mp4", "video clip.mp4 --rate 10 --labels six_class --out clip-faces/")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("file", metavar="FILE", help="MP4, MOV, MKV, WebM, AVI, MPEG or Ogg")
    add_model(parser)
    add_labels(parser)
    add_backend(parser)
    parser.add_argument(
        "--rate", type=float, default=5.0, metavar="FPS", help="frames per second to analyse (default: 5)"
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="time constant of the smoothing, 0 for none (default: 0.5)",
    )
    parser.add_argument("--out", metavar="FOLDER", help="folder to write to (default: FILE's name without its suffix)")
    parser.add_argument("--partial", action="store_true", help="keep the part of a damaged file before the damage")
    add_whole(parser, "frame")
    add_detector(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when the file is damaged and --partial kept the part before the damage, else 0."""
    import json
    from pathlib import Path

    from emotion_hub.errors import InputError
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.video import analyse_video, probe_video

    probe_video(args.file)  # no folder is created for a file that is not a video
    out = Path(args.out or Path(args.file).stem)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {str(out)!r} is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    predictor = EmotionPredictor.from_pretrained(args.model, backend=args.backend, labels=args.labels)
    options = {name: getattr(args, name) for name in ("rate", "smoothing", "whole", "partial")}
    timeline = analyse_video(args.file, predictor, annotated=out / "annotated.mp4", progress=True, **options)
    timeline.to_csv(out / "timeline.csv")
    timeline.to_png(out / "timeline.png")
    summary = timeline.summary()
    if args.json:
        print(json.dumps({"out": str(out), **summary}, indent=2))
    else:
        faces = len(timeline.tracks)
        counts = f"{timeline.frames} frames over {timeline.duration:.1f} s, {faces} face{'s' * (faces != 1)}"
        print(f"{timeline.video}: {counts}")
        for track in summary["tracks"]:
            by_share = sorted(track["shares"].items(), key=lambda item: -item[1])
            shares = ", ".join(f"{label} {share:.0%}" for label, share in by_share)
            print(f"  face {track['track']}  {track['begin']:.1f} to {track['end']:.1f} s  {shares}")
        print(f"-> {out}" + (f"  ({timeline.damage})" if timeline.damage else ""))
    return 1 if timeline.damage else 0
