"""Profile of batch prediction on photos: time per stage, by decoding mode.

    python -m benchmarks.score_profile --photos 300 --json out.json

Photos of 1 to 12 megapixels are composed from packaged example faces on drawn backgrounds: faces of 30, 14 and 5
% of the longer side, and no face, at seven sizes each. These distinct files are linked under as many names as
photos are needed. `predict_many` runs on them with reduced and with full JPEG decoding, alternating, with clocks
around its stages. Stages are wall time and overlap, so that they only roughly add up to the total. Processor time
is that of the whole run, which depends less on other processes.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks.timing import machine
from emotion_hub.batch import BatchSummary, formats, photos, predict_many
from emotion_hub.batch import worker as work
from emotion_hub.batch.parts import Parts
from emotion_hub.detectors import YuNetDetector
from emotion_hub.examples import example_path
from emotion_hub.faces import find_faces
from emotion_hub.images import load_image
from training.data.files import write_json

__all__ = ["draw_photos", "main", "measure"]

#: Megapixels, 4:3.
SIZES = (1, 2, 3, 5, 8, 10, 12)
#: Face heights as shares of the long side; None is a photo without a face.
SHARES = (0.3, 0.14, 0.05, None)
STAGES = ("decode", "detect", "crop and preprocess", "network", "writing")
#: Packaged photos with one face.
EXAMPLES = ("astronaut", "grace_hopper")


def draw_photos(folder: Path, count: int) -> list[dict[str, Any]]:
    """Write `count` JPEG files of quality 90, of which up to 28 are distinct; returns descriptions of these."""
    rng = np.random.default_rng(0)
    examples = [load_image(example_path(name)) for name in EXAMPLES]
    faces = [find_faces(example, YuNetDetector())[0].bbox for example in examples]
    photos_made = []
    for number, (share, size) in enumerate(islice(product(SHARES, SIZES), count)):
        long = round((size * 1e6 * 4 / 3) ** 0.5)
        small = Image.fromarray(rng.integers(60, 200, (9, 12, 3), dtype=np.uint8))
        photo = small.resize((long, long * 3 // 4), Image.Resampling.BICUBIC)
        if share is not None:
            example, (left, top, right, bottom) = examples[number % len(examples)], faces[number % len(examples)]
            scale = share * long / (bottom - top)
            size_in_photo = (round(example.width * scale), round(example.height * scale))
            x = round(photo.width / 2 - scale * (left + right) / 2)
            y = round(photo.height / 2 - scale * (top + bottom) / 2)
            photo.paste(example.resize(size_in_photo, Image.Resampling.BICUBIC), (x, y))
        noise = rng.normal(0, 3, (photo.height, photo.width, 1)).astype(np.float32)
        pixels = np.asarray(photo, dtype=np.float32) + noise
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=90)
        photos_made.append({"pixels": list(photo.size), "face_share": share, "bytes": path.stat().st_size})
    for number, first in zip(range(len(photos_made), count), cycle(range(len(photos_made))), strict=False):
        os.link(folder / f"{first:06d}.jpg", folder / f"{number:06d}.jpg")
    return photos_made


class Clocks:
    """Seconds of functions, without the clocked functions they call, summed by name over all threads.

    `cpu` is the processor time of the whole run.
    """

    def __init__(self) -> None:
        self.cpu = 0.0
        self._inner = threading.local()
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with a clock."""

        def timed(*args: Any, **options: Any) -> Any:
            outer, self._inner.seconds = getattr(self._inner, "seconds", 0.0), 0.0
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                elapsed = time.perf_counter() - started
                with self._lock:
                    self.seconds[name] += elapsed - self._inner.seconds
                    self.calls[name] += 1
                self._inner.seconds = outer + elapsed

        return timed

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context with clocks around the stages of `predict_many`."""
        clocked = [
            (photos, "load_image", "decode"),
            (photos, "load_reduced", "decode"),
            (YuNetDetector, "detect", "detect"),
            (photos, "find_faces", "crop and preprocess"),
            (work, "_planes", "crop and preprocess"),
            (work._ModelQueue, "_run", "network"),
            (formats.CsvFormat, "encode", "writing"),
            (Parts, "write", "writing"),
            (Parts, "merge", "writing"),
        ]
        with ExitStack() as stack:
            for owner, attribute, name in clocked:
                stack.enter_context(patch.object(owner, attribute, self.around(name, getattr(owner, attribute))))
            yield

    def stages(self, count: int) -> dict[str, float]:
        """Milliseconds per photo of each stage."""
        return {name: round(1000 * self.seconds[name] / count, 3) for name in STAGES}


def measure(count: int, model: str = "native48", workers: int = 1, rounds: int = 1) -> dict[str, Any]:
    """Seconds and stages of both decoding modes, and the differences of their results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        distinct = draw_photos(folder, count)

        def run(full_decode: bool, out: Path) -> tuple[BatchSummary, Clocks]:
            clocks, started = Clocks(), time.process_time()
            with clocks.running():
                summary = predict_many(
                    folder,
                    out,
                    models=[model],
                    backend="onnx",
                    workers=workers,
                    full_decode=full_decode,
                    restart=True,
                    progress=True,
                )
            clocks.cpu = time.process_time() - started
            return summary, clocks

        modes = {"reduced": False, "full": True}
        outs = {mode: Path(name) / f"{mode}.csv" for mode in modes}
        runs: dict[str, list[tuple[BatchSummary, Clocks]]] = {mode: [] for mode in modes}
        for _ in range(rounds):
            for mode, full_decode in modes.items():
                runs[mode].append(run(full_decode, outs[mode]))
        differences = _differences(outs["reduced"], outs["full"])
    figures = {mode: _figures(of_mode, count) for mode, of_mode in runs.items()}
    full, reduced = figures["full"], figures["reduced"]
    gains = {
        "speedup": round(full["seconds"] / reduced["seconds"], 3),
        "cpu_speedup": round(full["cpu_milliseconds_per_photo"] / reduced["cpu_milliseconds_per_photo"], 3),
    }
    settings = {"model": model, "photos": count, "workers": workers, "rounds": rounds, "distinct": distinct}
    return {
        **settings,
        "runs": figures,
        **gains,
        "differences": differences,
        "machine": machine("onnxruntime", "pillow"),
    }


def _figures(runs: list[tuple[BatchSummary, Clocks]], count: int) -> dict[str, Any]:
    """Figures of the median run."""
    summary, clocks = sorted(runs, key=lambda run: run[0].seconds)[(len(runs) - 1) // 2]
    return {
        "seconds": summary.seconds,
        "photos_per_second": round(count / summary.seconds, 2),
        "faces": summary.faces,
        "decoded_again": clocks.calls["decode"] - count,
        "cpu_milliseconds_per_photo": round(1000 * clocks.cpu / count, 2),
        "milliseconds_per_photo": clocks.stages(count),
    }


def _differences(reduced: Path, full: Path) -> dict[str, Any]:
    """Differences of two results: photos with another number of faces; changes of labels and probabilities."""
    tables = []
    for path in (reduced, full):
        with path.open(newline="", encoding="utf-8") as file:
            tables.append({(row["picture"], row["face"]): row for row in csv.DictReader(file)})
    first, second = tables
    counts = [{(key[0], row["faces"]) for key, row in table.items()} for table in tables]
    changed = {picture for picture, _ in counts[0] ^ counts[1]}
    faces = [(first[key], second[key]) for key in first if key[0] not in changed and first[key]["label"]]
    changes = [max(abs(float(a[name]) - float(b[name])) for name in a if name.startswith("prob_")) for a, b in faces]
    return {
        "photos_with_another_face_count": len(changed),
        "faces": len(faces),
        "labels_changed": sum(a["label"] != b["label"] for a, b in faces),
        "median_probability_change": round(statistics.median(changes), 4) if changes else None,
        "largest_probability_change": round(max(changes), 4) if changes else None,
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="benchmarks.score_profile", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="native48", help="embedded name, folder or Hub id (default: native48)")
    parser.add_argument("--photos", type=int, default=300, help="number of photos (default: 300)")
    parser.add_argument("--workers", type=int, default=1, help="threads that read photos (default: 1)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each mode; the median counts (default: 1)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    figures = measure(args.photos, args.model, args.workers, args.rounds)
    for mode, run in figures["runs"].items():
        stages = ", ".join(f"{name} {ms:.1f}" for name, ms in run["milliseconds_per_photo"].items())
        cpu = f"{run['cpu_milliseconds_per_photo']:.1f} ms of processor time per photo"
        print(
            f"{mode}: {run['photos_per_second']:.1f} photos/s, {cpu}, {run['decoded_again']} of {figures['photos']} "
            f"decoded again; ms per photo: {stages}"
        )
    print(
        f"speedup of reduced decoding: {figures['speedup']:.2f}, by processor time {figures['cpu_speedup']:.2f}; "
        f"differences: {figures['differences']}"
    )
    if args.json:
        write_json(args.json, figures)
    return figures


if __name__ == "__main__":
    main()
