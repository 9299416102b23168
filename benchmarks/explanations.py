"""Time of explanations on the default backends, by network and method.

    python -m benchmarks.explanations --json

writes benchmarks/results/explanations.json. Medians on the embedded checkpoints and one drawn face: what a page shows
first (class activation maps with findings and drawings), each method, and the metrics of a finished map. Processor
time counts all threads of the process; on a busy machine it tells more than wall time. `benchmarks.explain` compares
methods with a forward pass of torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import drawn_face, machine
from emotion_hub.checkpoints import checkpoint_summary
from emotion_hub.explainers import METHODS, Explanation, explain_face, list_methods, score_explanation
from emotion_hub.explainers.finding import alternative_text
from emotion_hub.explainers.overlay import overlay
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from training.data.files import write_json

__all__ = ["NETWORKS", "first_answer", "main", "measure"]

RESULTS = Path(__file__).parent / "results"

#: The two sides of the demo.
NETWORKS = ("native48", "upscale224")

#: Samples of LIME, and the side of a drawn map in pixels, as in the demo.
SAMPLES, SIDE = 400, 224


def first_answer(predictors: Sequence[EmotionPredictor]) -> list[Explanation]:
    """Every quick method on every network, with its finding and its drawing: what the Explain tab shows first."""
    face, explanations = drawn_face(), []
    for predictor in predictors:
        for method in list_methods(predictor):
            if METHODS[method].quick:
                explanation = explain_face(face, predictor, method, metrics="map")
                overlay(explanation, SIDE)
                alternative_text(explanation)
                explanations.append(explanation)
    return explanations


def measure(name: str, repeats: int) -> dict[str, Any]:
    """The times of each method on one embedded checkpoint, of its metrics and of the full metrics of a quick map."""
    predictor, face = embedded_predictor(name), drawn_face()
    methods = {}
    for method in list_methods(predictor):
        options: dict[str, Any] = {"samples": SAMPLES} if method == "lime" else {}
        run = partial(explain_face, face, predictor, method, metrics="map", **options)
        methods[method] = options | _times(run, repeats)
    quick = explain_face(face, predictor, next(iter(methods)), metrics="none")
    metrics = {
        level: _times(partial(score_explanation, quick, predictor, level), repeats) for level in ("map", "fast", "full")
    }
    return {
        "network": checkpoint_summary(name)["model"],
        "backend": predictor.backend_name,
        "methods": methods,
        "metrics": metrics,
    }


def _times(run: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median seconds of wall time and of processor time, after one run that is not counted."""
    run()
    wall, processor = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return {
        "seconds": round(statistics.median(wall), 3),
        "processor_seconds": round(statistics.median(processor), 3),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and write the figures to --json; returns them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each measurement (default: 3)")
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=RESULTS / "explanations.json",
        help="where to write the figures (default: benchmarks/results/explanations.json)",
    )
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {"machine": machine("torch", "onnxruntime", "grad-cam", "lime", "shap")}
    predictors = [embedded_predictor(name) for name in NETWORKS]
    maps = len(first_answer(predictors))
    figures["first_answer"] = {"maps": maps, **_times(partial(first_answer, predictors), args.repeats)}
    print(_line(f"{maps} class activation maps, drawn, with findings", figures["first_answer"]))
    figures["networks"] = {}
    for name in NETWORKS:
        row = figures["networks"][name] = measure(name, args.repeats)
        for method, times in row["methods"].items():
            print(_line(f"{name}, {METHODS[method].title}", times))
        for level, times in row["metrics"].items():
            print(_line(f"{name}, metrics of a finished map, {level}", times))
    figures["lime_on_both"] = {
        "samples": SAMPLES,
        **{
            unit: round(sum(row["methods"]["lime"][unit] for row in figures["networks"].values()), 3)
            for unit in ("seconds", "processor_seconds")
        },
    }
    print(_line(f"LIME with {SAMPLES} samples on both networks", figures["lime_on_both"]))
    if args.json:
        write_json(args.json, figures)
    return figures


def _line(title: str, times: dict[str, Any]) -> str:
    return f"{title}: {times['seconds']:.2f} s, {times['processor_seconds']:.2f} s of processor time"


if __name__ == "__main__":
    main()
