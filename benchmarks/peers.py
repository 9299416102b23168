"""Time and accuracy of what a user would pick instead, each in an environment of its own, beside the embedded checkpoints in the same run.

    python -m benchmarks.peers --data FER2013 --baselines FOLDER --work FOLDER [--peer NAME ...] [--faces N] [--json FILE]

Every peer gets the same PNGs of PrivateTest in the same order and answers a label for each; labels are matched and counted here. Times are of one
face at a time, from a PNG's bytes to probabilities, on at most two cores that all are held to, and are taken in rounds that go through the peers in
turn. A peer that cannot be installed or run is a row with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peer_environments import PeerError, call, worker_command
from benchmarks.timing import machine, png, write_json
from emotion_hub.errors import InputError, LabelError
from emotion_hub.labels import FER2013
from training.data.faces import load_split

__all__ = ["OURS", "PEERS", "Peer", "compare", "count_correct", "main", "markdown"]

ROOT = Path(__file__).parent.parent
WORKERS = Path(__file__).parent / "peer_workers"
OURS = "emotion_hub"
CORES, WARM = 2, 20

_READ_ONCE = "not trained on it, epochs and means chosen on PublicTest; each candidate was read once on it, and one of native48's that fell short was trained further"
_CHOSEN = "chosen on it: the training script keeps what does best on the last fifth of the csv, PublicTest and PrivateTest together"


@dataclass(frozen=True)
class Peer:
    """A worker of `peer_workers`, the pins of its environment (None: this interpreter), weights as {name in --baselines: name it looks for},
    and what is known of PrivateTest's part in its training."""

    worker: str
    pins: str | None = None
    weights: dict[str, str] = field(default_factory=dict)
    private_test: str = "unknown"


_KERAS, _TFJS = "oarriaga_fer2013_mini_XCEPTION.102-0.66.hdf5", "face_expression_model-"
PEERS: dict[str, Peer] = {
    OURS: Peer("ours.py", private_test=_READ_ONCE),
    # its emotion_model.hdf5 is mini-Xception's file, byte for byte
    "fer": Peer("fer_package.py", "fer.txt", private_test="mini-Xception's, see there"),
    # github.com/oarriaga/face_classification: src/train_emotion_classifier.py, split_data; README: "test accuracy: 66%"
    "mini-xception": Peer(
        "mini_xception.py",
        "mini_xception.txt",
        {_KERAS: _KERAS},
        f"{_CHOSEN} (its README calls the 66% reached there test accuracy)",
    ),
    # README of github.com/justadudewhohacks/face-api.js
    "face-api": Peer(
        "face_api.js",
        "face_api.json",
        {f"faceapi_{_TFJS}{part}": f"{_TFJS}{part}" for part in ("shard1", "weights_manifest.json")},
        'unknown: trained on "publicly available datasets as well as images scraped from the web"',
    ),
}


def count_correct(labels: Sequence[str], truth: Sequence[int]) -> int:
    """How many of a peer's labels are the true ones, in its own spelling; raises PeerError for a name we do not know or a label missing."""
    if len(labels) != len(truth):
        raise PeerError(f"answered {len(labels)} labels for {len(truth)} faces")
    try:
        return sum(FER2013.index(label) == true for label, true in zip(labels, truth, strict=True))
    except LabelError as error:
        raise PeerError(f"its answer cannot be counted: {error}") from error


def _ask(name: str, command: list[str], faces: Path, weights: Path, folder: Path, limit: int) -> dict[str, Any]:
    """A worker's answer for the first `limit` faces."""
    with tempfile.TemporaryDirectory() as temporary:
        task, answer = Path(temporary) / "task.json", Path(temporary) / "answer.json"
        place = {"faces": str(faces), "weights": str(weights), "environment": str(folder / "env")}
        task.write_text(json.dumps({**place, "limit": limit, "warm": WARM}))
        own = {
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT) if name == OURS else "",
        }
        call([*command, str(task), str(answer)], "its worker", env={**os.environ, **own})
        try:
            return json.loads(answer.read_text())
        except (OSError, ValueError) as error:
            raise PeerError(f"its worker left no readable answer: {error}") from error


@contextmanager
def _held_to_cores() -> Iterator[int]:
    """How many cores this process and those it starts may use inside."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield len(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, before)


def _measure(
    names: Sequence[str], args: argparse.Namespace, faces: Path, truth: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """{peer: its part of the report}: everybody's labels and times first, then more rounds of times on some of the faces."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    commands: dict[str, list[str]] = {}
    for name in names:
        try:
            commands[name] = worker_command(
                WORKERS / PEERS[name].worker, PEERS[name].pins and WORKERS / PEERS[name].pins, args.work / name / "env"
            )
            _place_weights(PEERS[name], args.baselines, args.work / name / "weights")
        except PeerError as reason:
            commands.pop(name, None)
            found[name] = {"unavailable": str(reason)}
    for turn in range(args.rounds):
        for name in list(commands):
            print(f"round {turn + 1} of {args.rounds}: {name} ...", flush=True)
            limit = min(len(truth), args.timed) if turn else len(truth)
            try:
                answer = _ask(name, commands[name], faces, args.work / name / "weights", args.work / name, limit)
                _add(found[name], answer, truth[:limit])
            except PeerError as reason:
                del commands[name]
                found[name] = {"unavailable": str(reason)}
    return found


def _place_weights(peer: Peer, baselines: Path, folder: Path) -> None:
    for theirs, name in peer.weights.items():
        if not (baselines / theirs).is_file():
            raise PeerError(f"{theirs} is not in {baselines.name}; give the folder that has it with --baselines")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(baselines / theirs, folder / name)


def _add(part: dict[str, Any], answer: dict[str, Any], truth: Sequence[int]) -> None:
    """One round's answer into a peer's part; accuracy is of the first round, which has all faces."""
    rows = part.setdefault("rows", {})
    if not answer["variants"]:
        raise PeerError("its worker answered for no variant")
    for variant, said in answer["variants"].items():
        correct = count_correct(said["labels"], truth)
        row = rows.setdefault(
            variant, {"accuracy": correct / len(truth), "correct": correct, "faces": len(truth), "rounds_ms": []}
        )
        row["rounds_ms"].append(round(statistics.median(said["milliseconds"]), 4))
        row["milliseconds"] = statistics.median(row["rounds_ms"])
    part |= {
        "versions": answer["versions"],
        "threads": answer["threads"],
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 1),
    }


def _key(peer: Peer, faces: str, processor: str, rounds: int) -> str:
    """What a kept result must share with this run to stand in it."""
    files = [WORKERS / peer.worker, WORKERS / "clock.py", *([WORKERS / peer.pins] if peer.pins else [])]
    return hashlib.sha256(repr([faces, processor, rounds, *(file.read_text() for file in files)]).encode()).hexdigest()


def _kept(path: Path, key: str) -> dict[str, Any]:
    if path.is_file() and (kept := json.loads(path.read_text()))["key"] == key:
        return {**kept["part"], "earlier": True}
    return {
        "unavailable": "not asked for, and not measured before with these faces on this machine; run without --peer, or name it too"
    }


def compare(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each of our rows against each of the peers': how many times as fast, points of accuracy ahead, and whether ahead in both."""
    rows = [
        (name, variant, row) for name, part in report["peers"].items() for variant, row in part.get("rows", {}).items()
    ]
    found = []
    for ours in (r for r in rows if r[0] == OURS):
        for theirs in (r for r in rows if r[0] != OURS):
            faster, points = (
                theirs[2]["milliseconds"] / ours[2]["milliseconds"],
                100 * (ours[2]["accuracy"] - theirs[2]["accuracy"]),
            )
            found.append(
                {
                    "ours": ours[1],
                    "peer": theirs[1],
                    "times_as_fast": faster,
                    "points_ahead": points,
                    "ahead": faster > 1 and points > 0,
                }
            )
    return found


def markdown(report: dict[str, Any]) -> str:
    """The table, a row a variant, and under it what is known of PrivateTest's part in each peer's training and what all was measured with."""
    here, lines, notes = (
        report["machine"],
        ["| | bytes to probabilities, ms a face | accuracy on PrivateTest |", "|---|---|---|"],
        [],
    )
    for name, part in report["peers"].items():
        for variant, row in part.get("rows", {}).items():
            lines.append(f"| {variant} | {row['milliseconds']:.2f} | {row['accuracy']:.1%} |")
        if "unavailable" in part:
            lines.append(f"| {name} | not measured: {part['unavailable'].replace('|', '/')} | |")
            continue
        versions = ", ".join(f"{package} {version}" for package, version in part["versions"].items())
        earlier = f" Measured earlier, {part['measured']}." if part.get("earlier") else ""
        notes.append(
            f"- {name}: {versions}; {part['threads']}. PrivateTest and its weights: {PEERS[name].private_test}.{earlier}"
        )
    lines += [
        "",
        f"{here['processor']}, {report['cores']} cores for everybody, load {here['load']} at the start; {report['faces']} faces, one at a time, ",
    ]
    lines[-1] += f"the median of {report['rounds']} rounds in turn."
    return "\n".join([*lines, "", *notes])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write the figures where --json says, the table beside them; returns the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013, in any form that training reads")
    parser.add_argument("--baselines", required=True, type=Path, help="folder with the peers' weights")
    parser.add_argument("--work", required=True, type=Path, help="environments and the last results are kept here")
    parser.add_argument(
        "--peer",
        action="append",
        choices=tuple(PEERS),
        help="measure this one and ours, the rest from the last run; may be repeated",
    )
    parser.add_argument("--faces", type=int, help="the first N faces only (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of times (default: 3)")
    parser.add_argument("--timed", type=int, default=300, help="faces in the rounds after the first (default: 300)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures here, and the table as .md beside it"
    )
    args = parser.parse_args(argv)
    args.work = args.work.resolve()
    if min(args.rounds, args.timed, 1 if args.faces is None else args.faces) < 1:
        raise InputError(f"--faces {args.faces}, --rounds {args.rounds}, --timed {args.timed}: each is at least 1")
    split, here = load_split(args.data, "test"), machine()
    pngs, truth = [png(face) for face in split.faces[: args.faces]], split.labels[: args.faces].tolist()
    digest = hashlib.sha256(b"".join(pngs) + bytes(truth)).hexdigest()
    keys = {name: _key(peer, digest, here["processor"], args.rounds) for name, peer in PEERS.items()}
    chosen = [
        name for name in PEERS if not args.peer or name in (OURS, *args.peer)
    ]  # ours are in every run: they are what ratios are taken of
    with tempfile.TemporaryDirectory() as folder, _held_to_cores() as cores:
        for i, content in enumerate(pngs):
            (Path(folder) / f"{i:06d}.png").write_bytes(content)
        measured = _measure(chosen, args, Path(folder), truth)
    for name, part in measured.items():
        if "rows" in part:
            (args.work / name).mkdir(parents=True, exist_ok=True)
            (args.work / name / "result.json").write_text(
                json.dumps({"key": keys[name], "part": part}, indent=1) + "\n"
            )
    parts = {
        name: measured[name] if name in measured else _kept(args.work / name / "result.json", keys[name])
        for name in PEERS
    }
    report = {"machine": here, "cores": cores, "faces": len(truth), "rounds": args.rounds, "peers": parts}
    report["ahead"] = compare(report)
    if args.json:
        write_json(args.json, report)
        args.json.with_suffix(".md").write_text(markdown(report) + "\n")
    print(markdown(report))
    return report


if __name__ == "__main__":
    main()
