"""Throughput, latency and memory of the server under load.

    python -m benchmarks.load --json out.json

A server process handles whole photos of many concurrent clients. Before and after that, the predictor processes
the same photos in this process, with as many threads as the server has. Reported are both throughputs and their
ratio, latencies, status codes, 503 responses with and without Retry-After, and the memory of the server. The load
generator runs on the same machine and takes a share of it.
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

from benchmarks.timing import machine
from emotion_hub.detectors import default_detector
from emotion_hub.examples import example_path
from emotion_hub.images import is_image_name, load_image
from emotion_hub.predictor import EmotionPredictor
from training.data.files import write_json

__all__ = ["main", "photos", "predictor_speed", "server_speed"]

#: Seconds within which a started server must be ready; it may have to export a model to ONNX first.
START_TIMEOUT = 300


def photos(folder: Path | None) -> list[bytes]:
    """The files of a folder, or the packaged photo of an astronaut as JPEG files of four sizes."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.iterdir()) if is_image_name(path.name)]
    files, photo = [], load_image(example_path("astronaut"))
    for side in (512, 448, 384, 320):
        buffer = io.BytesIO()
        photo.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def predictor_speed(predictor: EmotionPredictor, files: list[bytes], seconds: float, threads: int) -> float:
    """Photos per second of `predictor.predict` on that many threads."""
    deadline, numbers = time.perf_counter() + seconds, count()

    def work() -> int:
        done = 0
        while time.perf_counter() < deadline:
            predictor.predict(files[next(numbers) % len(files)])
            done += 1
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(future.result() for future in [pool.submit(work) for _ in range(threads)])
    return done / (time.perf_counter() - started)


@contextmanager
def server(arguments: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server process that is ready, and the process; it is terminated afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "emotion_hub", "serve", "--no-demo", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_TIMEOUT
    try:
        while not _ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not become ready; run its command to see why: " + " ".join(command))
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
    """Throughput, latencies, statuses and memory with that many clients, each with one request in flight.

    The load lasts `seconds`, and until `requests` were answered. After a 503 a client waits as long as
    Retry-After says, at most until the end.
    """
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    memory: list[tuple[int, int]] = []
    started, numbers = time.perf_counter(), count()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    def running() -> bool:
        return time.perf_counter() - started < seconds or len(latencies) < requests

    async def client(http: httpx.AsyncClient) -> None:
        while running():
            sent = time.perf_counter()
            try:
                response = await http.post(
                    "/predict", content=files[next(numbers) % len(files)], headers={"content-type": "image/jpeg"}
                )
            except httpx.TransportError as error:
                statuses[type(error).__name__] += 1
                continue
            status = str(response.status_code)
            if response.status_code == 503:
                status += " with Retry-After" if "retry-after" in response.headers else " without Retry-After"
                rest = max(0.0, seconds - (time.perf_counter() - started))
                await asyncio.sleep(min(float(response.headers.get("retry-after", 1)), rest))
            elif response.status_code == 200:
                latencies.append(time.perf_counter() - sent)
            statuses[status] += 1

    async def watch_memory() -> None:
        while True:
            memory.append((len(latencies), process.memory_info().rss))
            await asyncio.sleep(0.5)

    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        watcher = asyncio.create_task(watch_memory())
        await asyncio.gather(*(client(http) for _ in range(clients)))
        watcher.cancel()
    elapsed = time.perf_counter() - started
    memory.append((len(latencies), process.memory_info().rss))
    levels = (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    quantiles = {name: float(np.quantile(latencies, q)) for name, q in levels} if latencies else {}
    failed = sum(n for name, n in statuses.items() if name not in ("200", "503 with Retry-After"))
    return {
        "photos_per_second": len(latencies) / elapsed,
        "seconds": elapsed,
        "answers": dict(statuses),
        "failed": failed,
        "latency_seconds": quantiles,
        "memory": _growth(memory),
    }


def _growth(memory: list[tuple[int, int]]) -> dict[str, Any]:
    """Megabytes after the first tenth of the responses and at the end, and the relative growth.

    After the first tenth every thread has worked.
    """
    responses, end = memory[-1]
    warm = next(size for done, size in memory if done >= responses / 10)
    return {
        "warm_mb": round(warm / 2**20, 1),
        "end_mb": round(end / 2**20, 1),
        "growth": round(end / warm - 1, 4),
        "answers": responses,
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="duration of the load (default: 60)")
    parser.add_argument(
        "--requests",
        type=int,
        default=0,
        help="continue until this many requests were answered; 20000 shows whether memory grows",
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
    predictor = EmotionPredictor.from_pretrained(args.model, backend=args.backend)
    baseline_seconds = max(1.0, args.seconds / 4)
    predictor_speed(predictor, files, 0.5, threads)  # warm up
    speeds = [predictor_speed(predictor, files, baseline_seconds, threads)]
    with server(["--model", args.model, "--backend", args.backend]) as (url, process):
        asyncio.run(server_speed(url, process, files, args.clients, min(5.0, baseline_seconds), 0))  # warm up
        served = asyncio.run(server_speed(url, process, files, args.clients, args.seconds, args.requests))
    speeds.append(predictor_speed(predictor, files, baseline_seconds, threads))
    result = {
        "predictor_photos_per_second": float(np.mean(speeds)),
        "predictor_runs": speeds,
        "server": served,
        "share": served["photos_per_second"] / float(np.mean(speeds)),
        "clients": args.clients,
        "model": args.model,
        "backend": args.backend,
        "detector": default_detector().name,
        "threads": threads,
        "machine": machine("onnxruntime", "fastapi", "uvicorn"),
    }
    print(
        f"predictor {result['predictor_photos_per_second']:.1f} photos/s, server {served['photos_per_second']:.1f}: "
        f"{result['share']:.0%}"
    )
    print(f"responses {served['answers']}, failed {served['failed']}, memory {served['memory']}")
    if args.json:
        write_json(args.json, result)
    return result


if __name__ == "__main__":
    main()
