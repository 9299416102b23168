"""Environments of peer projects: venv and pip for Python, npm for Node.

Each gets exactly the packages in its file of pins.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PeerError", "call", "limited_cores", "worker_command"]

#: Most seconds that a command may take.
TIMEOUT = 3600


class PeerError(Exception):
    """Reason why a peer has no figures."""


def worker_command(script: Path, pins: Path | None, folder: Path) -> list[str]:
    """The command that runs a worker, after its environment in `folder` was installed; without pins, this interpreter.

    An environment is installed again when the pins changed or an installation was interrupted. Raises PeerError
    with the reason and, for a missing program, the command that installs it.
    """
    node = shutil.which("node") if script.suffix == ".js" else None
    if script.suffix == ".js" and not (node and shutil.which("npm")):
        raise PeerError("Node is missing: run apt-get install -y nodejs npm, then this command again")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "installed"
    if pins is not None and not (stamp.is_file() and stamp.read_text() == pins.read_text()):
        print(f"installing {pins.name} into {folder} ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if node:
            shutil.copyfile(pins, folder / "package.json")
            call(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], "npm install", cwd=folder)
        else:
            call([sys.executable, "-m", "venv", str(folder)], "python -m venv")
            # --no-deps: the file of pins names every package
            call([str(python), "-m", "pip", "install", "--no-deps", "-r", str(pins)], "pip install")
        stamp.write_text(pins.read_text())
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for workers, which import ONNX Runtime without emotion_hub
    program = sys.executable
    if node:
        program = node
    elif pins is not None:
        program = str(python)
    return [program, str(script)]


def call(command: list[str], what: str, **options: Any) -> None:
    """Run a command without output; raises PeerError with its error when it fails or takes more than an hour."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{what}: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["no output"]
        raise PeerError(f"{what} ended with {done.returncode}: {errors[-1][:300]}")


@contextmanager
def limited_cores(count: int) -> Iterator[int]:
    """Context that limits this process and its children to `count` cores; yields their number."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:count])
    try:
        yield len(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, cores)
