"""Speed and accuracy of other emotion-recognition packages.

    python -m benchmarks.peers --data FER2013 --baselines FOLDER --work FOLDER [--peer NAME ...] [--faces N] [--json F]

Every peer runs in its own environment, and emotion_hub in the same run. Each gets the same PNG files of
PrivateTest in the same order and returns a label for each; labels are matched and counted here. Times are
measured for one face at a time, from the bytes of the PNG to probabilities, on at most two cores, in rounds that
alternate between the peers. A peer that cannot be installed or run is a row with the reason.
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
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.peer_environments import PeerError, call, limited_cores, worker_command
from benchmarks.peer_list import OURS, PEERS, Peer
from benchmarks.timing import machine, png
from emotion_hub.errors import InputError, LabelError
from emotion_hub.labels import FER2013
from training.data.faces import load_split
from training.data.files import write_json

__all__ = ["OURS", "PEERS", "Peer", "compare", "count_correct", "main", "markdown"]

ROOT = Path(__file__).parent.parent
WORKERS = Path(__file__).parent / "peer_workers"
CORES, WARM = 2, 20


def count_correct(labels: Sequence[str], truth: Sequence[int]) -> int:
    """How many of a peer's labels are correct; raises PeerError for an unknown or missing label."""
    if len(labels) != len(truth):
        raise PeerError(f"it returned {len(labels)} labels for {len(truth)} faces")
    try:
        return sum(FER2013.index(label) == true for label, true in zip(labels, truth, strict=True))
    except LabelError as error:
        raise PeerError(f"its labels cannot be counted: {error}") from error


def _run_worker(name: str, command: list[str], faces: Path, weights: Path, folder: Path, limit: int) -> dict[str, Any]:
    """A worker's results for the first `limit` faces."""
    with tempfile.TemporaryDirectory() as temporary:
        task, answer = Path(temporary) / "task.json", Path(temporary) / "answer.json"
        paths = {"faces": str(faces), "weights": str(weights), "environment": str(folder / "env")}
        task.write_text(json.dumps({**paths, "limit": limit, "warm": WARM}))
        variables = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
        variables["PYTHONPATH"] = str(ROOT) if name == OURS else ""
        call([*command, str(task), str(answer)], "its worker", env={**os.environ, **variables})
        try:
            return json.loads(answer.read_text())
        except (OSError, ValueError) as error:
            raise PeerError(f"its worker wrote no readable result: {error}") from error


def _measure(
    names: Sequence[str], args: argparse.Namespace, faces: Path, truth: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """{peer: its part of the report}.

    The first round measures labels and times of all faces, further rounds the times of some of them.
    """
    parts: dict[str, dict[str, Any]] = {name: {} for name in names}
    commands: dict[str, list[str]] = {}
    for name in names:
        try:
            pins = PEERS[name].pins
            command = worker_command(
                WORKERS / PEERS[name].worker, WORKERS / pins if pins else None, args.work / name / "env"
            )
            _copy_weights(PEERS[name], args.baselines, args.work / name / "weights")
            commands[name] = command
        except PeerError as reason:
            parts[name] = {"unavailable": str(reason)}
    for turn in range(args.rounds):
        for name in list(commands):
            print(f"round {turn + 1} of {args.rounds}: {name} ...", flush=True)
            limit = min(len(truth), args.timed) if turn else len(truth)
            try:
                result = _run_worker(name, commands[name], faces, args.work / name / "weights", args.work / name, limit)
                _add_round(parts[name], result, truth[:limit])
            except PeerError as reason:
                del commands[name]
                parts[name] = {"unavailable": str(reason)}
    return parts


def _copy_weights(peer: Peer, baselines: Path, folder: Path) -> None:
    for source, target in peer.weights.items():
        if not (baselines / source).is_file():
            raise PeerError(f"{source} is not in {baselines.name}; give the folder that has it with --baselines")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(baselines / source, folder / target)


def _add_round(part: dict[str, Any], result: dict[str, Any], truth: Sequence[int]) -> None:
    """Add the results of one round to a peer's part; the accuracy is that of the first round, which has all faces."""
    rows = part.setdefault("rows", {})
    if not result["variants"]:
        raise PeerError("its worker measured no variant")
    for variant, measured in result["variants"].items():
        correct = count_correct(measured["labels"], truth)
        row = rows.setdefault(
            variant, {"accuracy": correct / len(truth), "correct": correct, "faces": len(truth), "rounds_ms": []}
        )
        row["rounds_ms"].append(round(statistics.median(measured["milliseconds"]), 4))
        row["milliseconds"] = statistics.median(row["rounds_ms"])
    part |= {
        "versions": result["versions"],
        "threads": result["threads"],
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 1),
    }


def _key(peer: Peer, faces: str, processor: str, rounds: int) -> str:
    """Digest of everything on which a result depends: a stored result with another digest is not used."""
    files = [WORKERS / peer.worker, WORKERS / "clock.py", *([WORKERS / peer.pins] if peer.pins else [])]
    return hashlib.sha256(repr([faces, processor, rounds, *(file.read_text() for file in files)]).encode()).hexdigest()


def _kept(path: Path, key: str) -> dict[str, Any]:
    if path.is_file() and (kept := json.loads(path.read_text()))["key"] == key:
        return {**kept["part"], "earlier": True}
    return {
        "unavailable": "not selected, and not measured before with these faces on "
        "this machine; run without --peer, or name "
        "it too"
    }


def compare(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each variant of emotion_hub against each variant of the peers: speedup and points of accuracy ahead.

    `ahead` is true for a variant that is ahead in both.
    """
    rows = [
        (name, variant, row) for name, part in report["peers"].items() for variant, row in part.get("rows", {}).items()
    ]
    comparisons = []
    for (own, own_variant, own_row), (name, variant, row) in product(rows, rows):
        if own == OURS and name != OURS:
            speedup = row["milliseconds"] / own_row["milliseconds"]
            points = 100 * (own_row["accuracy"] - row["accuracy"])
            comparisons.append(
                {
                    "ours": own_variant,
                    "peer": variant,
                    "times_as_fast": speedup,
                    "points_ahead": points,
                    "ahead": speedup > 1 and points > 0,
                }
            )
    return comparisons


def markdown(report: dict[str, Any]) -> str:
    """The table, a row per variant, followed by notes on versions, threads and PrivateTest."""
    machine_record, notes = report["machine"], []
    lines = ["| | bytes to probabilities, ms per face | accuracy on PrivateTest |", "|---|---|---|"]
    for name, part in report["peers"].items():
        for variant, row in part.get("rows", {}).items():
            lines.append(f"| {variant} | {row['milliseconds']:.2f} | {row['accuracy']:.1%} |")
        if "unavailable" in part:
            lines.append(f"| {name} | not measured: {part['unavailable'].replace('|', '/')} | |")
            continue
        versions = ", ".join(f"{package} {version}" for package, version in part["versions"].items())
        earlier = f" Measured earlier, {part['measured']}." if part.get("earlier") else ""
        notes.append(
            f"- {name}: {versions}; {part['threads']}. PrivateTest in its training: "
            f"{PEERS[name].private_test}.{earlier}"
        )
    lines += [
        "",
        f"{machine_record['processor']}, {report['cores']} cores for each, load {machine_record['load']} at the start; "
        f"{report['faces']} faces, one at a time, the median of {report['rounds']} alternating rounds.",
    ]
    return "\n".join([*lines, "", *notes])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the table, and write the figures to --json and the table beside them; returns the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013, in any form that training.data.sources lists")
    parser.add_argument("--baselines", required=True, type=Path, help="folder with the peers' weights")
    parser.add_argument("--work", required=True, type=Path, help="folder for the environments and the latest results")
    parser.add_argument(
        "--peer",
        action="append",
        choices=tuple(PEERS),
        help="measure this peer and emotion_hub, and keep the others' latest results; may be repeated",
    )
    parser.add_argument("--faces", type=int, help="use only the first N faces (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of time measurement (default: 3)")
    parser.add_argument("--timed", type=int, default=300, help="faces in the rounds after the first (default: 300)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures here, and the table as .md beside it"
    )
    args = parser.parse_args(argv)
    args.work = args.work.resolve()
    if min(args.rounds, args.timed, 1 if args.faces is None else args.faces) < 1:
        raise InputError(f"--faces {args.faces}, --rounds {args.rounds}, --timed {args.timed}: each must be at least 1")
    split, machine_record = load_split(args.data, "test"), machine()
    pngs, truth = [png(face) for face in split.faces[: args.faces]], split.labels[: args.faces].tolist()
    digest = hashlib.sha256(b"".join(pngs) + bytes(truth)).hexdigest()
    keys = {name: _key(peer, digest, machine_record["processor"], args.rounds) for name, peer in PEERS.items()}
    # emotion_hub is in every run, since ratios refer to it
    chosen = [name for name in PEERS if not args.peer or name in (OURS, *args.peer)]
    with tempfile.TemporaryDirectory() as folder, limited_cores(CORES) as cores:
        for i, content in enumerate(pngs):
            (Path(folder) / f"{i:06d}.png").write_bytes(content)
        measured = _measure(chosen, args, Path(folder), truth)
    for name, part in measured.items():
        if "rows" in part:
            write_json(args.work / name / "result.json", {"key": keys[name], "part": part})
    parts = {
        name: measured[name] if name in measured else _kept(args.work / name / "result.json", keys[name])
        for name in PEERS
    }
    report = {"machine": machine_record, "cores": cores, "faces": len(truth), "rounds": args.rounds, "peers": parts}
    report["ahead"] = compare(report)
    if args.json:
        write_json(args.json, report)
        args.json.with_suffix(".md").write_text(markdown(report) + "\n")
    print(markdown(report))
    return report


if __name__ == "__main__":
    main()
