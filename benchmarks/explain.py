"""Time of explanations relative to a forward pass, and thread safety.

    python -m benchmarks.explain --json out.json

Medians on the embedded checkpoints and one drawn face (the time does not depend on the content of a face): each
method relative to a forward pass of the same network, a sheet of all methods on both checkpoints, and eight
explanations in threads, whose maps must equal those of a sequential run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import drawn_face, machine, median
from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints
from emotion_hub.explainers import METHODS, explain_face, list_methods
from emotion_hub.explainers.overlay import sheet
from emotion_hub.explainers.sheet import explain_all
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from training.data.files import write_json

__all__ = ["main", "measure", "threads_agree"]

SAMPLES = 1000


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Milliseconds of a forward pass and of each method on one embedded checkpoint, and their ratio."""
    predictor, face = embedded_predictor(name, "torch"), drawn_face()
    pixels = predictor.preprocessor(face)[None]
    forward = median(lambda: predictor.backend.logits(pixels), 20 * repeats)
    methods = {}
    for method in list_methods(predictor):
        options: dict[str, Any] = {"samples": SAMPLES} if method == "lime" else {}
        explain_face(face, predictor, method, metrics="none", **options)
        count = repeats if method in ("lime", "shap") else 10 * repeats
        milliseconds = statistics.median(
            explain_face(face, predictor, method, metrics="none", **options).milliseconds for _ in range(count)
        )
        methods[method] = {
            "milliseconds": round(milliseconds, 2),
            "forward_passes": round(milliseconds / forward, 2),
            **options,
        }
    return {"network": checkpoint_summary(name)["model"], "forward_ms": round(forward, 3), "methods": methods}


def threads_agree(predictor: EmotionPredictor, threads: int = 8) -> dict[str, bool]:
    """Whether explanations in threads equal those of a sequential run, bit for bit.

    Predictions made meanwhile must be unchanged too.
    """
    face = drawn_face()
    names = [n for n in METHODS if n in list_methods(predictor)]
    tasks = [(names[i % len(names)], predictor.labels.labels[i % len(predictor.labels)]) for i in range(threads)]

    def run(task: tuple[str, str]) -> np.ndarray:
        method, target = task
        options: dict[str, Any] = {"samples": 200} if method == "lime" else {}
        return explain_face(face, predictor, method, target, metrics="none", **options).heatmap

    sequential, probs = [run(task) for task in tasks], predictor.predict_faces([face])[0].probs
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, task) for task in tasks]
        concurrent_probs = [predictor.predict_faces([face])[0].probs for _ in range(20)]
        maps = [future.result() for future in futures]
    same = all(np.array_equal(a, b) for a, b in zip(sequential, maps, strict=True))
    return {"maps_equal": same, "predictions_equal": all(row == probs for row in concurrent_probs)}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explain", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats",
        type=int,
        default=5,
        help="runs of the slow methods; fast methods run ten times as often (default: 5)",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads for torch (default: 2)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    checkpoints = {name: measure(name, args.repeats) for name in embedded_checkpoints()}
    started = time.perf_counter()
    sheet(explain_all(drawn_face(), whole=True, samples=SAMPLES, metrics="fast"))
    seconds = time.perf_counter() - started
    result = {
        "machine": {**machine("torch"), "threads": args.threads},
        "checkpoints": checkpoints,
        "sheet_seconds": round(seconds, 1),
        "threads": {name: threads_agree(embedded_predictor(name, "torch")) for name in embedded_checkpoints()},
    }
    for name, row in checkpoints.items():
        print(f"{name} ({row['network']}): forward {row['forward_ms']:.2f} ms")
        for method, cost in row["methods"].items():
            print(
                f"  {METHODS[method].title:12} {cost['milliseconds']:9.1f} ms  {cost['forward_passes']:8.1f} "
                "forward passes"
            )
    print(f"a sheet of all methods on both pipelines: {seconds:.1f} s; from eight threads: {result['threads']}")
    if args.json:
        write_json(args.json, result)
    return result


if __name__ == "__main__":
    main()
