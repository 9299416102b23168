"""What the server makes of the predictor's speed: `python -m benchmarks.load --json out.json`.

A server process answers whole photos for many clients at once; before it and after it the predictor does the same photos in this process, on as many
threads as the server has. Reported are both throughputs and their share, latencies, every status that came, 503s with and without Retry-After, and
the server's memory over the run. The load generator runs on the same machine and takes its part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks.timing import machine, write_json
from emotion_hub.detectors import default_detector
from emotion_hub.examples import example_path
from emotion_hub.images import load_image
from emotion_hub.predictor import EmotionPredictor

__all__ = ["main", "photos", "predictor_speed", "server_speed"]

#: Seconds until a server that just started must be ready: an export to ONNX may be among its first work.
START = 300


def photos(folder: Path | None) -> list[bytes]:
    """The files of a folder, or the packaged photo of an astronaut, as JPEGs of four sizes."""
    if folder is not None:
        return [
            path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")
        ]
    made, whole = [], load_image(example_path("astronaut"))
    for side in (512, 448, 384, 320):
        buffer = io.BytesIO()
        whole.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def predictor_speed(predictor: EmotionPredictor, files: list[bytes], seconds: float, threads: int) -> float:
    """Photos a second of `predictor.predict` on that many threads."""
    until, numbers = time.perf_counter() + seconds, count()

    def work() -> int:
        done = 0
        while time.perf_counter() < until:
            predictor.predict(files[next(numbers) % len(files)])
            done += 1
        return done

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(each.result() for each in [pool.submit(work) for _ in range(threads)])
    return done / (time.perf_counter() - begun)


@contextmanager
def server(arguments: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server process that is ready, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "emotion_hub", "serve", "--no-demo", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url, last = f"http://127.0.0.1:{port}", time.monotonic() + START
    try:
        while not _ready(url):
            if process.poll() is not None or time.monotonic() > last:
                raise SystemExit("the server did not get ready; run its command alone to see why: " + " ".join(command))
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


async def server_speed(
    url: str, process: psutil.Process, files: list[bytes], clients: int, seconds: float, requests: int
) -> dict[str, Any]:
    """What that many clients got who asked again as soon as they were answered, for `seconds` and until `requests` were made.

    A client that is told to come back waits as long as it was told, or to the end.
    """
    seen: Counter[str] = Counter()
    latencies: list[float] = []
    memory: list[tuple[int, int]] = []
    begun, numbers = time.perf_counter(), count()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    def going() -> bool:
        return time.perf_counter() - begun < seconds or len(latencies) < requests

    async def client(http: httpx.AsyncClient) -> None:
        while going():
            sent = time.perf_counter()
            try:
                answer = await http.post(
                    "/predict", content=files[next(numbers) % len(files)], headers={"content-type": "image/jpeg"}
                )
            except httpx.TransportError as error:
                seen[type(error).__name__] += 1
                continue
            name = str(answer.status_code)
            if answer.status_code == 503:
                name += " with Retry-After" if "retry-after" in answer.headers else " without Retry-After"
                await asyncio.sleep(
                    min(float(answer.headers.get("retry-after", 1)), max(0.0, seconds - (time.perf_counter() - begun)))
                )
            elif answer.status_code == 200:
                latencies.append(time.perf_counter() - sent)
            seen[name] += 1

    async def watch() -> None:
        while True:
            memory.append((len(latencies), process.memory_info().rss))
            await asyncio.sleep(0.5)

    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(client(http) for _ in range(clients)))
        watching.cancel()
    spent = time.perf_counter() - begun
    memory.append((len(latencies), process.memory_info().rss))
    failed = sum(n for name, n in seen.items() if name not in ("200", "503 with Retry-After"))
    return {
        "photos_per_second": len(latencies) / spent,
        "seconds": spent,
        "answers": dict(seen),
        "failed": failed,
        "latency_seconds": {
            name: float(np.quantile(latencies, q)) for name, q in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
        if latencies
        else {},
        "memory": _growth(memory),
    }


def _growth(memory: list[tuple[int, int]]) -> dict[str, Any]:
    """Megabytes after the first tenth of the answers, when every thread has worked, and at the end; how much more the end is."""
    last = memory[-1][0]
    warm = next(size for done, size in memory if done >= last / 10)
    return {
        "warm_mb": round(warm / 2**20, 1),
        "end_mb": round(memory[-1][1] / 2**20, 1),
        "growth": round(memory[-1][1] / warm - 1, 4),
        "answers": last,
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of load (default: 60)")
    parser.add_argument(
        "--requests",
        type=int,
        default=0,
        help="go on until this many were answered; 20000 to see whether memory is flat",
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--model", default="native48")
    parser.add_argument("--backend", default="onnx")
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="photos to send (default: the packaged photo of an astronaut, in four sizes)",
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    files, threads = photos(args.photos), os.cpu_count() or 1
    own = EmotionPredictor.from_pretrained(args.model, backend=args.backend)
    alone = max(1.0, args.seconds / 4)
    predictor_speed(own, files, 0.5, threads)  # warm up
    speeds = [predictor_speed(own, files, alone, threads)]
    with server(["--model", args.model, "--backend", args.backend]) as (url, process):
        asyncio.run(server_speed(url, process, files, args.clients, min(5.0, alone), 0))  # warm up
        answered = asyncio.run(server_speed(url, process, files, args.clients, args.seconds, args.requests))
    speeds.append(predictor_speed(own, files, alone, threads))
    result = {
        "predictor_photos_per_second": float(np.mean(speeds)),
        "predictor_runs": speeds,
        "server": answered,
        "share": answered["photos_per_second"] / float(np.mean(speeds)),
        "clients": args.clients,
        "model": args.model,
        "backend": args.backend,
        "detector": default_detector().name,
        "threads": threads,
        "machine": machine("onnxruntime", "fastapi", "uvicorn"),
    }
    print(
        f"predictor {result['predictor_photos_per_second']:.1f} photos/s, server {answered['photos_per_second']:.1f}: {result['share']:.0%}"
    )
    print(f"answers {answered['answers']}, failed {answered['failed']}, memory {answered['memory']}")
    if args.json:
        write_json(args.json, result)
    return result


if __name__ == "__main__":
    main()
