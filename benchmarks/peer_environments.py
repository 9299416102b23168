"""Environments of other projects: Python's by `venv` and pip, Node's by npm, each with exactly the packages its file of pins names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["PeerError", "call", "worker_command"]

SECONDS = 3600


class PeerError(Exception):
    """Why a peer has no figures."""


def worker_command(script: Path, pins: Path | None, place: Path) -> list[str]:
    """The command that runs a worker, once the environment in `place` holds the pins; without pins it is this interpreter.

    An environment is made once: it is made anew when the pins change, or when its making was cut short. Raises PeerError with the reason and, where a
    program of the system is missing, the command that installs it.
    """
    node = script.suffix == ".js"
    if node and not (shutil.which("node") and shutil.which("npm")):
        raise PeerError("Node is missing: apt-get install -y nodejs npm, then run this again")
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = place / "installed"
    if pins is not None and not (stamp.is_file() and stamp.read_text() == pins.read_text()):
        print(f"installing {pins.name} into {place} ...", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if node:
            shutil.copyfile(pins, place / "package.json")
            call(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], "npm install", cwd=place)
        else:
            call([sys.executable, "-m", "venv", str(place)], "python -m venv")
            call(
                [str(python), "-m", "pip", "install", "--no-deps", "-r", str(pins)], "pip install"
            )  # the file names every package
        stamp.write_text(pins.read_text())
    os.environ.setdefault(
        "ORT_DISABLE_TELEMETRY", "1"
    )  # workers inherit it; they import ONNX Runtime without emotion_hub
    return [shutil.which("node") if node else str(python) if pins else sys.executable, str(script)]


def call(command: list[str], what: str, **options: Any) -> None:
    """Run it, quietly; raises PeerError with what it complained of when it fails or takes more than an hour."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{what}: {error}") from error
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        complaints = [line for line in said if "error" in line.lower()] or said
        raise PeerError(
            f"{what} ended with {done.returncode}: {complaints[-1][:300] if complaints else 'it said nothing'}"
        )
